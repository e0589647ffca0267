import hashlib
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from reid_pipeline.storage.download import MIRROR
from reid_pipeline.storage.errors import DownloadFailed, ModelError
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_catalogue import CatalogueFile, CatalogueModel, pull_model, read_catalogue
from reid_pipeline.storage.model_registry import ModelRegistry, is_model_name
from tests.file_server import serve_files
from tests.pipeline.builders import real_data

GRAPH, WEIGHTS = b"graph" * 100, b"weights" * 1000


def file(name, content):
    url = f"https://nowhere.invalid/zoo/{name}"
    return {"name": name, "url": url, "size": len(content), "sha384": hashlib.sha384(content).hexdigest()}


WANTED = CatalogueModel.model_validate(
    {
        "task": "reid",
        "licence": "MIT",
        "trained_on": ["colours"],
        "input": {"height": 16, "width": 8, "resize": "stretch", "colour": "BGR"},
        "output": {"head": "embedding", "dim": 3},
        "files": [file("net.xml", GRAPH), file("net.bin", WEIGHTS)],
    }
)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve_files() as server:
        server.files = {"/zoo/net.xml": GRAPH, "/zoo/net.bin": WEIGHTS}
        monkeypatch.setenv(MIRROR, server.address)
        yield server


@pytest.mark.parametrize("name", read_catalogue())
def test_every_entry_makes_sense(name):
    entry = read_catalogue()[name]
    assert is_model_name(name)
    assert (entry.output.head == "embedding") == (entry.task == "reid")
    assert entry.files[0].name.endswith((".xml", ".onnx"))
    assert [each.name.split(".")[0] for each in entry.files] == [name] * len(entry.files)
    assert all(urlsplit(each.url).path.endswith(each.name) for each in entry.files)
    assert "Apache-2.0" in entry.licence


def test_an_entry_needs_one_hash_and_https():
    right = file("a.onnx", b"") | {"size": 1}
    CatalogueFile.model_validate(right)
    for change in (
        {"sha384": None},
        {"sha256": "0" * 64},
        {"url": "http://a/a.onnx"},
        {"name": "../a.onnx"},
        {"size": 0},
    ):
        with pytest.raises(ValidationError):
            CatalogueFile.model_validate(right | change)


def test_a_pulled_model_is_complete_or_not_there(server, tmp_path):
    registry, seen = ModelRegistry(home=tmp_path / "models", bundled=tmp_path / "none"), []
    model = pull_model("net", WANTED, registry, lambda done, total: seen.append((done, total)))
    assert model == load_model(registry.find("net"))
    assert (model.name, model.licence, model.card.trained_on) == ("net", "MIT", ("colours",))
    assert seen[-1] == (WANTED.size, WANTED.size)
    assert [path.name for path in registry.home.iterdir()] == ["net"]
    with pytest.raises(ModelError, match="exists"):
        pull_model("net", WANTED, registry, lambda *_: None)


def test_an_interrupted_pull_goes_on(server, tmp_path):
    registry = ModelRegistry(home=tmp_path, bundled=tmp_path / "none")
    del server.files["/zoo/net.bin"]
    with pytest.raises(DownloadFailed, match="404"):
        pull_model("net", WANTED, registry, lambda *_: None)
    assert registry.find_name("net") is None
    assert registry.entries() == []
    server.files["/zoo/net.bin"] = WEIGHTS
    server.asked.clear()
    pull_model("net", WANTED, registry, lambda *_: None)
    assert [path for path, _ in server.asked] == ["/zoo/net.bin"]


def test_wrong_bytes_leave_no_model_and_other_models_alone(server, tmp_path):
    registry = ModelRegistry(home=tmp_path)
    (tmp_path / "other").mkdir()
    server.files["/zoo/net.bin"] = WEIGHTS[::-1]
    with pytest.raises(DownloadFailed, match="not the file that was expected"):
        pull_model("net", WANTED, registry, lambda *_: None)
    assert registry.find_name("net") is None
    assert (tmp_path / "other").is_dir()


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in read_catalogue() if name.startswith("person-reidentification")])
def test_hashes_are_those_of_the_real_files(name, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9")  # nothing is fetched where the files are there and right
    (tmp_path / f".pull-{name}").mkdir()
    for each in read_catalogue()[name].files:
        (tmp_path / f".pull-{name}" / each.name).symlink_to(real_data("weights", name, each.name))
    model = pull_model(name, read_catalogue()[name], ModelRegistry(home=tmp_path), lambda *_: None)
    assert model.identity == load_model(real_data("weights", name)).identity
