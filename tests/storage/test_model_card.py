import hashlib
import json

import pytest

from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, OutputCard, load_model

INPUT = {"height": 256, "width": 128, "resize": "stretch", "colour": "RGB"}
OUTPUT = {"head": "embedding", "dim": 8}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make(folder, **changes):
    """A model of two files with its card; a change of None leaves a key out."""
    folder.mkdir(exist_ok=True)
    (folder / "net.xml").write_bytes(b"graph")
    (folder / "net.bin").write_bytes(b"weights")
    card = {
        "name": "net",
        "task": "reid",
        "graph": "net.xml",
        "sha256": {"net.xml": sha256(b"graph"), "net.bin": sha256(b"weights")},
        "input": INPUT,
        "output": OUTPUT,
        "licence": "MIT",
        "trained_on": ["Market-1501"],
        "scores": [],
    } | changes
    (folder / "model.json").write_text(json.dumps({key: value for key, value in card.items() if value is not None}))
    return folder


def hash_of(folder):
    model = load_model(folder)
    return model.hash(model.card.input, model.card.output)


def test_a_folder_and_its_graph_are_the_same_model(tmp_path):
    folder = make(tmp_path / "net")
    model = load_model(folder)
    assert model == load_model(folder / "net.xml")
    assert (model.name, model.licence, model.graph) == ("net", "MIT", folder / "net.xml")
    assert (model.card.output.dim, model.card.input.pixel_scale) == (8, 1.0)


def test_hash_by_hand(tmp_path):
    parts = {
        "files": {"net.bin": sha256(b"weights"), "net.xml": sha256(b"graph")},
        "input": INPUT | {"pixel_scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3},
        "output": OUTPUT | {"person_class": 0},
    }
    assert hash_of(make(tmp_path)) == sha256(json.dumps(parts, sort_keys=True).encode())


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"input": INPUT | {"colour": "BGR"}}, False),
        ({"input": INPUT | {"mean": [0, 0, 1]}}, False),
        ({"input": INPUT | {"pixel_scale": 1.0}}, True),  # the default, written out
        ({"output": OUTPUT | {"dim": 9}}, False),
        ({"licence": "Apache-2.0"}, True),
        ({"name": "other", "trained_on": [], "parent": "older", "scores": [{"mAP": 70}]}, True),
    ],
)
def test_the_hash_changes_with_what_the_model_computes(tmp_path, change, same):
    assert (hash_of(make(tmp_path / "a")) == hash_of(make(tmp_path / "b", **change))) is same


def test_other_weights_are_another_model(tmp_path):
    folder = make(tmp_path / "b", sha256={"net.xml": sha256(b"graph"), "net.bin": sha256(b"tuned")})
    (folder / "net.bin").write_bytes(b"tuned")
    assert hash_of(folder) != hash_of(make(tmp_path / "a"))


def test_files_beside_the_graph_do_not_change_the_hash(tmp_path):
    files = {"net.xml": sha256(b"graph"), "net.bin": sha256(b"weights"), "labels.txt": sha256(b"person")}
    folder = make(tmp_path / "b", sha256=files)
    (folder / "labels.txt").write_bytes(b"person")
    assert hash_of(folder) == hash_of(make(tmp_path / "a"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": {"net.xml": "0" * 64}}, r"sha256\.net\.xml: 000000000000… is expected but the file has \w{12}…"),
        ({"sha256": {"net.bin": sha256(b"weights")}}, "sha256: expected an entry for the graph net.xml"),
        ({"sha256": {"net.xml": sha256(b"graph"), "gone.bin": "0"}}, r"sha256\.gone\.bin: no such file"),
        ({"sha256": {"net.xml": sha256(b"graph"), "../net/net.bin": "0"}}, r"sha256\.\.\./net/net\.bin: no such file"),
        ({"output": {"head": "embedding"}}, "output.dim: missing: expected the length of an embedding"),
        ({"output": {"head": "ultralytics"}}, "output.head: 'ultralytics' does not fit task 'reid'"),
        ({"task": "detect"}, "output.head: 'embedding' does not fit task 'detect'"),
        ({"task": "sing"}, "task: 'sing'"),
        ({"output": {"head": "detr"}}, "output.head: 'detr'"),
        ({"output": {"head": "embedding", "dim": 0}}, "output.dim: '0'"),
        ({"input": INPUT | {"resize": "crop"}}, "input.resize: 'crop'"),
        ({"input": INPUT | {"height": -1}}, "input.height: '-1'"),
        ({"input": INPUT | {"mean": [1, 2]}}, "input.mean.2"),
        ({"graph": "../net.xml"}, r"graph: '\.\./net\.xml'"),
        ({"graph": "net.pt"}, r"graph: 'net\.pt'"),
        ({"input": None}, "input: .*[Ff]ield required"),
    ],
)
def test_a_card_that_is_wrong_is_refused(tmp_path, changes, message):
    folder = make(tmp_path / "net", **changes)
    with pytest.raises(ModelError, match=rf"net/model\.json: {message}") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"[]", b"\xff\xfe", b"{"])
def test_a_card_that_is_no_json_is_refused(tmp_path, content):
    (make(tmp_path / "net") / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"net/model\.json: file: ") as caught:
        load_model(tmp_path / "net")
    assert "\n" not in str(caught.value)


def test_a_graph_without_a_card(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"graph")
    model = load_model(tmp_path / "net.onnx")
    assert (model.card, model.name, model.licence) == (None, "net", "unknown")
    assert model.files == (("net.onnx", sha256(b"graph")),)
    assert load_model(tmp_path) == model


def test_a_graph_beside_the_card_of_another(tmp_path):
    (make(tmp_path) / "other.onnx").write_bytes(b"other")
    assert load_model(tmp_path / "other.onnx").card is None


def test_a_card_and_the_graph_alone_hash_alike(tmp_path):
    folder = make(tmp_path)
    carded = hash_of(folder)
    (folder / "model.json").unlink()
    alone = load_model(folder / "net.xml")
    assert alone.hash(InputCard(**INPUT), OutputCard(**OUTPUT)) == carded


def test_a_graph_without_its_weights(tmp_path):
    (tmp_path / "net.xml").write_bytes(b"graph")
    with pytest.raises(ModelError, match=r"net\.xml: its weights net\.bin are missing beside it"):
        load_model(tmp_path / "net.xml")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a.onnx", "b.onnx"], r"exactly one \.xml or \.onnx file, found a\.onnx, b\.onnx"),
        (["readme.txt"], r"exactly one \.xml or \.onnx file, found none"),
    ],
)
def test_a_folder_must_be_clear(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_bytes(b"graph")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.onnx", r"gone\.onnx: no such model: expected a folder with model\.json"),
        ("notes.txt", r"notes\.txt: not a model graph: expected an \.xml"),
    ],
)
def test_a_path_to_something_else(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / name)
