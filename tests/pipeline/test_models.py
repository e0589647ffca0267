import importlib.util
import shutil

import pytest

from reid_pipeline.pipeline.detector import GraphDetector
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import models_folder
from tests.pipeline.builders import brightness_detector, mean_colour_encoder, write_card

BUILDERS = [(build_detector, "detector"), (build_encoder, "encoder")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where models are searched by name."""
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.mark.parametrize(("build", "part"), BUILDERS)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nonsense", "no such file or folder, and no model of this name in .*home/models"),
        ("missing/graph.onnx", "no such file or folder"),
        ("missing.xml", "no such file or folder"),
        ("../colours", "no such file or folder"),
    ],
)
def test_what_cannot_be_found_is_named_with_its_setting(home, build, part, model, message):
    with pytest.raises(ModelError, match=f"^{part}.model: {model}: {message}") as caught:
        build(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("build", "part"), BUILDERS)
def test_a_missing_bundled_model_is_named(home, build, part, monkeypatch, tmp_path):
    monkeypatch.setattr("reid_pipeline.storage.model_registry.bundled_folder", lambda: tmp_path / "none")
    name = {"detector": "bundled-detector", "encoder": "bundled"}[part]
    with pytest.raises(ModelError, match=rf"^{part}\.model: {name}: missing from this installation"):
        build("bundled")


@pytest.mark.parametrize(("build", "part"), BUILDERS)
def test_what_can_be_pulled_says_so(home, build, part):
    with pytest.raises(ModelError, match=rf"^{part}\.model: yolox_nano: .*reid-pipeline model pull yolox_nano"):
        build("yolox_nano")


def test_the_site_comes_first(home, tmp_path):
    write_card(mean_colour_encoder(home / "colours" / "graph.onnx"))
    adapted = write_card(
        mean_colour_encoder(tmp_path / "data" / "models" / "colours" / "graph.onnx", dim=4),
        output={"head": "embedding", "dim": 4},
    )
    assert build_encoder("colours", tmp_path / "data").model.graph.parent == adapted
    assert build_encoder("colours").dim == 3


def test_an_ultralytics_name_in_the_registry_is_used_as_it_is(home):
    brightness_detector(home / "yolo11n" / "graph.onnx")
    assert build_detector("yolo11n").model.graph == home / "yolo11n" / "graph.onnx"


def test_a_pt_file_is_not_loaded_without_trust(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"not loaded")
    with pytest.raises(ModelError, match=r"mine\.pt: a \.pt file can run any code: set detector\.trust: true"):
        build_detector(str(path))


def test_an_encoder_as_pt_file_is_refused(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"not loaded")
    with pytest.raises(ModelError, match=r"mine\.pt: not a model graph: expected an \.xml \(OpenVINO\) or \.onnx file"):
        build_encoder(str(path))


@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is not None, reason="ultralytics is installed")
@pytest.mark.parametrize("name", ["yolo11n", "yolo26n.pt"])
def test_an_ultralytics_name_needs_the_extra(home, name):
    with pytest.raises(
        ModelError, match=rf"{name}: Ultralytics models need torch: pip install 'reid-pipeline\[learning\]'"
    ):
        build_detector(name)


def test_a_model_is_found_by_path_and_by_name(home, tmp_path):
    folder = write_card(mean_colour_encoder(home / "colours" / "graph.onnx"))
    by_name, by_folder, by_file = (
        build_encoder(model) for model in ("colours", str(folder), str(folder / "graph.onnx"))
    )
    assert isinstance(by_name, GraphEncoder)
    assert by_name.model_hash == by_folder.model_hash == by_file.model_hash
    shutil.move(folder, tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="colours: no such file or folder"):
        build_encoder("colours")


def test_a_detector_takes_the_lowest_score(tmp_path):
    assert isinstance(build_detector(str(brightness_detector(tmp_path / "graph.onnx")), 0.5), GraphDetector)


def test_a_name_does_not_lead_into_a_folder(home):
    write_card(mean_colour_encoder(home / "colours" / "old" / "graph.onnx"))
    with pytest.raises(ModelError, match="colours/old: no such file or folder"):
        build_encoder("colours/old")


def test_models_folder_without_a_setting(monkeypatch, tmp_path):
    monkeypatch.delenv("REID_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / ".local" / "share" / "reid-pipeline" / "models"
