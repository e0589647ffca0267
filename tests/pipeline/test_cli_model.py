import hashlib
import json

import pytest

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.storage import model_catalogue
from reid_pipeline.storage.download import MIRROR
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_catalogue import CatalogueModel
from tests.file_server import closed_address, serve_files
from tests.pipeline.builders import (
    brightness_detector,
    constant_output,
    mean_colour_encoder,
    real_data,
    write_card,
)
from tests.storage.model_folders import make_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def run(home, capfd):
    """Runs a command with --json and gives back its exit code and its object, or its last line on stderr."""

    def call(*arguments):
        code = run_command_line(["model", *map(str, arguments), "--json"])
        output = capfd.readouterr()
        return code, json.loads(output.out) if output.out else output.err.strip().splitlines()[-1]

    return call


def test_list_names_all_and_survives_broken_ones(run, home, tmp_path):
    base = make_model(home / "colours", licence="MIT")
    make_model(tmp_path / "data" / "models" / "adapted", b"adapted", parent=base)
    (home / "empty").mkdir()
    code, answer = run("list", "--data", tmp_path / "data")
    models = {model["name"]: model for model in answer["models"]}
    assert code == 0
    assert set(models) >= {"colours", "adapted", "empty"}
    assert (models["colours"]["where"], models["colours"]["task"], models["colours"]["hash"]) == ("home", "reid", base)
    assert (models["adapted"]["where"], models["adapted"]["parent"]) == ("site", base)
    assert "expected model.json" in models["empty"]["error"]
    assert "yolox_nano" in answer["pullable"]


def test_lists_and_cards_for_people(home, capfd):
    make_model(home / "colours", scores=[{"dataset": "dusk", "mAP": 12.5, "conditions": "own crops"}])
    (home / "empty").mkdir()
    assert run_command_line(["model", "list"]) == 0
    output = capfd.readouterr().out
    assert "colours" in output
    assert "broken: " in output
    assert "yolox_nano" in output
    assert run_command_line(["model", "card", "colours"]) == 0
    output = capfd.readouterr().out
    assert "dataset: dusk, mAP: 12.5, conditions: own crops" in output
    assert "MIT" in output


def test_card_by_name_and_path(run, home):
    identity = make_model(home / "colours", scores=[{"dataset": "dusk", "mAP": 12.5}], calibration={"bins": [0, 1]})
    code, card = run("card", "colours")
    assert code == 0
    assert (card["hash"], card["licence"], card["output"]["dim"]) == (identity, "MIT", 3)
    assert card["scores"] == [{"dataset": "dusk", "mAP": 12.5}]
    assert card["calibration"] == {"bins": [0.0, 1.0]}
    assert list(card["files"]) == ["graph.onnx"]
    assert run("card", home / "colours")[1]["hash"] == identity
    code, line = run("card", "colour")
    assert code == 2
    assert "did you mean colours?" in line


# pull


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A catalogue with one small model, on a server of its own."""
    content = mean_colour_encoder(tmp_path / "made" / "net.onnx").read_bytes()
    entry = {
        "task": "reid",
        "licence": "MIT",
        "trained_on": ["nothing"],
        "input": {"height": 16, "width": 8, "resize": "stretch", "colour": "RGB"},
        "output": {"head": "embedding", "dim": 3},
        "files": [
            {
                "name": "net.onnx",
                "url": "https://nowhere.invalid/net.onnx",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
    }
    models = {"net": CatalogueModel.model_validate(entry)}
    monkeypatch.setattr(model_catalogue, "read_catalogue", lambda: models)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve_files() as server:
        server.files["/net.onnx"] = content
        monkeypatch.setenv(MIRROR, server.address)
        yield server


def test_pull_brings_a_model_that_works(run, home, catalogue):
    code, answer = run("pull", "net")
    assert (code, answer["done"], answer["path"]) == (0, "pulled", str(home / "net"))
    assert GraphEncoder(load_model(home / "net")).model_hash == answer["hash"]
    catalogue.asked.clear()
    code, again = run("pull", "net")
    assert (code, again["done"], again["hash"]) == (0, "here already", answer["hash"])
    assert catalogue.asked == []


def test_pull_without_a_network_fails_in_one_line(run, catalogue, monkeypatch):
    monkeypatch.setenv(MIRROR, closed_address())
    code, line = run("pull", "net")
    assert code == 1
    assert "not reachable" in line
    assert "model import" in line


def test_pull_of_wrong_bytes_fails(run, home, catalogue):
    catalogue.files["/net.onnx"] = b"something else"
    code, line = run("pull", "net")
    assert code == 1
    assert "/net.onnx: " in line
    assert not (home / "net").exists()


def test_pull_of_an_unknown_name(run, catalogue):
    code, line = run("pull", "nonsense")
    assert code == 2
    assert "nonsense: not in the catalogue: expected one of net, or an Ultralytics name" in line


# import


def test_import_of_a_folder_keeps_its_hash(run, home, tmp_path):
    folder = write_card(mean_colour_encoder(tmp_path / "colours" / "graph.onnx"), parent="abc", scores=[])
    (folder / "junk.txt").write_text("not part of the model")
    code, answer = run("import", folder, "--name", "mine")
    assert code == 0
    assert (answer["name"], answer["path"], answer["parent"]) == ("mine", str(home / "mine"), "abc")
    assert answer["hash"] == load_model(folder).identity
    assert sorted(file.name for file in (home / "mine").iterdir()) == ["graph.onnx", "model.json"]
    code, line = run("import", folder, "--name", "mine")
    assert code == 2
    assert "exists: choose another name with --name" in line


def test_import_of_a_bare_detector_recognises_it(run, home, tmp_path):
    graph = brightness_detector(tmp_path / "bright.onnx")
    code, answer = run("import", graph, "--licence", "CC0", "--trained-on", "dusk", "--trained-on", "dawn")
    assert code == 0
    assert (answer["task"], answer["output"]["head"], answer["licence"]) == ("detect", "ultralytics", "CC0")
    assert answer["trained_on"] == ["dusk", "dawn"]
    assert load_model(home / "bright").card.task == "detect"


def test_import_of_a_bare_encoder_asks_for_its_input(run, tmp_path):
    graph = mean_colour_encoder(tmp_path / "colours.onnx", None)
    line_to_type = f"reid-pipeline model import {graph} --task reid --input RGB --size 256x128 --normalise imagenet"
    for given in ((), ("--task", "reid"), ("--task", "reid", "--input", "RGB", "--normalise", "imagenet")):
        code, line = run("import", graph, *given)
        assert code == 2
        assert line_to_type in line


def test_import_of_a_bare_encoder(run, home, tmp_path):
    graph = mean_colour_encoder(tmp_path / "colours.onnx")
    code, answer = run("import", graph, "--task", "reid", "--input", "BGR", "--normalise", "imagenet")
    assert code == 0
    assert answer["output"] == {"head": "embedding", "dim": 3, "person_class": 0}
    assert (answer["input"]["height"], answer["input"]["width"]) == (16, 8)
    assert answer["input"]["mean"] == [0.406, 0.456, 0.485]
    assert GraphEncoder(load_model(home / "colours")).dim == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--task", "reid", "--input", "RGB", "--normalise", "mine"),
            "--normalise: mine: expected one of imagenet, lup",
        ),
        (("--task", "reid", "--input", "RGB", "--normalise", "none", "--size", "64x64"), "64x64 does not fit"),
        (("--task", "detect"), "output [1, 3]: no head fits"),
        (("--size", "64"), "expected height and width in pixels"),
        (("--name", "../mine"), "not a name for a model"),
    ],
)
def test_import_with_wrong_options(run, home, tmp_path, given, message):
    code, line = run("import", mean_colour_encoder(tmp_path / "colours.onnx"), *given)
    assert code == 2
    assert message in line
    assert not (home / "colours").exists()


def test_import_contradicting_the_card(run, tmp_path):
    folder = write_card(mean_colour_encoder(tmp_path / "colours" / "graph.onnx"))
    assert "its card says task reid" in run("import", folder, "--task", "detect")[1]
    assert "leave out --input, --size and --normalise" in run("import", folder, "--input", "RGB")[1]


def test_import_of_what_does_not_work_leaves_nothing(run, home, tmp_path):
    folder = write_card(
        mean_colour_encoder(tmp_path / "colours" / "graph.onnx"), output={"head": "embedding", "dim": 9}
    )
    code, line = run("import", folder)
    assert code == 2
    assert "embeddings of length 3: the card says 9" in line
    assert not home.exists()


def test_import_of_a_checkpoint_without_torch(run, tmp_path, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.cli_model._CHECKPOINT_READER", "reid_pipeline.learning.none")
    (tmp_path / "r50.pth").write_bytes(b"")
    code, line = run("import", tmp_path / "r50.pth")
    assert code == 2
    assert "checkpoints need PyTorch: pip install 'reid-pipeline[learning]'" in line


def test_a_detectors_checkpoint_needs_trust(run, tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"")
    code, line = run("import", tmp_path / "mine.pt", "--task", "detect")
    assert code == 2
    assert "can run any code: add --trust" in line


# export


def test_export_as_it_is_keeps_the_hash(run, home, tmp_path):
    write_card(mean_colour_encoder(home / "colours" / "graph.onnx"))
    code, answer = run("export", "colours", "--out", tmp_path / "out")
    assert code == 0
    assert load_model(tmp_path / "out").identity == answer["hash"] == load_model(home / "colours").identity


@pytest.mark.parametrize(
    ("options", "files"),
    [
        (("--format", "openvino"), {"graph.xml", "graph.bin"}),
        (("--format", "openvino", "--precision", "fp16"), {"graph.xml", "graph.bin"}),
        (("--format", "onnx"), {"graph.onnx"}),
        (("--format", "onnx", "--precision", "fp16"), {"graph.onnx"}),
    ],
)
def test_export_to_another_format_has_the_source_as_parent(run, home, tmp_path, options, files):
    folder = write_card(
        mean_colour_encoder(home / "colours" / "graph.onnx", dim=64), output={"head": "embedding", "dim": 64}
    )
    code, answer = run("export", "colours", "--out", tmp_path / "out", *options)
    assert code == 0
    assert answer["parent"] == load_model(folder).identity
    assert {file.name for file in (tmp_path / "out").iterdir()} == {*files, "model.json"}


def test_export_of_a_detector(run, home, tmp_path):
    write_card(
        brightness_detector(home / "bright" / "graph.onnx"),
        task="detect",
        input={"height": 64, "width": 64, "resize": "letterbox", "colour": "RGB"},
        output={"head": "ultralytics"},
    )
    assert run("export", "bright", "--out", tmp_path / "out", "--format", "openvino")[0] == 0


def test_export_does_not_overwrite(run, home, tmp_path):
    write_card(mean_colour_encoder(home / "colours" / "graph.onnx"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    code, line = run("export", "colours", "--out", tmp_path / "out")
    assert code == 2
    assert "expected a folder that is not there yet, or is empty" in line
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["precious"]


def test_export_of_a_graph_without_a_card(run, tmp_path):
    code, line = run("export", constant_output(tmp_path / "graph.onnx", [1, 84, 84]), "--out", tmp_path / "out")
    assert code == 2
    assert "has no card: reid-pipeline model import" in line


def test_int8_needs_pictures(run, home, tmp_path):
    write_card(mean_colour_encoder(home / "colours" / "graph.onnx"))
    assert run("export", "colours", "--out", tmp_path / "out", "--precision", "int8")[0] == 2
    (tmp_path / "crops").mkdir()
    code, line = run(
        "export", "colours", "--out", tmp_path / "o", "--precision", "int8", "--calibration", tmp_path / "crops"
    )
    assert code == 2
    assert "0 images to calibrate" in line


@pytest.mark.data
def test_a_real_encoder_in_openvinos_format_agrees(run, tmp_path):
    folder = real_data("weights", "osnet_x0_25_msmt17")
    code, answer = run("export", folder, "--out", tmp_path / "out", "--format", "openvino", "--precision", "fp16")
    assert code == 0
    assert answer["parent"] == load_model(folder).identity


# promote and rollback


def test_promote_and_rollback(run, home, tmp_path):
    base = make_model(home / "colours")
    child = make_model(tmp_path / "data" / "models" / "night-1", b"1", parent=base)
    data = ("--data", tmp_path / "data")
    code, answer = run("promote", "night-1", *data, "--reason", "mAP +2")
    assert (code, answer["serving"], answer["previous"]) == (0, child, base)
    models = {model["name"]: model for model in run("list", *data)[1]["models"]}
    assert models["night-1"]["serving"]
    assert not models["colours"]["promoted"]
    code, answer = run("rollback", *data)
    assert (code, answer["serving"], answer["previous"]) == (0, base, child)
    code, line = run("rollback", *data)
    assert code == 2
    assert "nothing to roll back" in line


def test_promotion_for_people(home, tmp_path, capfd):
    base = make_model(home / "colours")
    make_model(tmp_path / "data" / "models" / "night-1", b"1", parent=base)
    data = ["--data", str(tmp_path / "data")]
    assert run_command_line(["model", "promote", "night-1", *data]) == 0
    assert capfd.readouterr().out == "night-1 serves from the next run on.\n"
    assert run_command_line(["model", "rollback", *data]) == 0
    assert capfd.readouterr().out == "night-1 no longer serves; from the next run on: colours.\n"


def test_promote_refuses_what_does_not_descend(run, home, tmp_path):
    make_model(home / "colours")
    code, line = run("promote", "colours", "--data", tmp_path)
    assert code == 2
    assert "has no parent" in line
    assert run("promote", "colours")[0] == 2
