import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from reid_pipeline.pipeline.models import build_detector
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions
from reid_pipeline.pipeline.ultralytics_export import export_detector
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model

INSTALLED = importlib.util.find_spec("ultralytics") is not None
# In a process of its own, so that torch does not stay in that of the tests.
MAKE_MODEL = """
import sys
from ultralytics import YOLO
model = YOLO("yolo11n.yaml")
if sys.argv[2:]:
    model.model.names[int(sys.argv[2])] = "person"
model.save(sys.argv[1])
"""
needs_extra = pytest.mark.skipif(not INSTALLED, reason="ultralytics is not installed")


@pytest.mark.skipif(INSTALLED, reason="ultralytics is installed")
@pytest.mark.parametrize("suffix", ["", ".pt"])
def test_without_the_extra_the_message_says_what_to_install(tmp_path, suffix):
    model = tmp_path / f"mine{suffix}"
    model.write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"Ultralytics models need torch: pip install 'reid-pipeline\[learning\]'"):
        export_detector(str(model))


def make_model(path, *person_class):
    """Saves a YOLO with random weights."""
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(path.parent), "YOLO_AUTOINSTALL": "false"}
    command = [sys.executable, "-c", MAKE_MODEL, str(path), *person_class]
    subprocess.run(command, cwd=path.parent, env=environment, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("yolo") / "tiny.pt", "2")


@needs_extra
@pytest.mark.learning
def test_a_trusted_file_becomes_a_detector(model):
    detector = build_detector(str(model), options=RuntimeOptions(trust=True))
    image = np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    prepared = detector.prepare(image)
    found = detector.submit(prepared, (360, 640), lambda: None).result()
    assert prepared.shape == (384, 640, 3)  # made rectangular
    assert found.boxes.shape == (len(found), 4)
    assert list(model.parent.glob("*.onnx")) == []


@needs_extra
@pytest.mark.learning
def test_the_export_is_kept_with_its_card(model):
    folder = export_detector(str(model))
    card = load_model(folder).card
    written = (folder / "model.json").stat().st_mtime_ns
    assert (card.task, card.output.head, card.output.person_class) == ("detect", "ultralytics", 2)
    assert export_detector(str(model)) == folder
    assert (folder / "model.json").stat().st_mtime_ns == written


@needs_extra
@pytest.mark.learning
def test_a_model_without_persons_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"tiny\.pt: cannot be exported: its classes have no person"):
        export_detector(str(make_model(tmp_path / "tiny.pt")))


@needs_extra
@pytest.mark.learning
def test_a_broken_file_is_one_line(tmp_path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.pt: cannot be exported: ") as caught:
        export_detector(str(path))
    assert "\n" not in str(caught.value)
