import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from reid_pipeline.pipeline.models import build_detector
from reid_pipeline.pipeline.ultralytics_export import export_detector
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model

INSTALLED = importlib.util.find_spec("ultralytics") is not None
# In a process of its own, so that torch does not stay in that of the tests.
MAKE_MODEL = "import sys; from ultralytics import YOLO; YOLO(sys.argv[1]).save(sys.argv[2])"


@pytest.mark.skipif(INSTALLED, reason="ultralytics is installed")
@pytest.mark.parametrize("suffix", ["", ".pt"])
def test_without_the_extra_the_message_says_what_to_install(tmp_path, suffix):
    model = tmp_path / f"mine{suffix}"
    model.write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"Ultralytics models need torch: pip install 'reid-pipeline\[learning\]'"):
        export_detector(str(model))


@pytest.mark.learning
@pytest.mark.skipif(not INSTALLED, reason="ultralytics is not installed")
class TestExport:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory):
        """A YOLO with random weights."""
        folder = tmp_path_factory.mktemp("yolo")
        path = folder / "tiny.pt"
        environment = {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false", "HOME": str(folder)}
        command = [sys.executable, "-c", MAKE_MODEL, "yolo11n.yaml", str(path)]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return path

    def test_a_trusted_file_becomes_a_detector(self, model):
        detector = build_detector(str(model), trust=True)
        image = np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)
        prepared = detector.prepare(image)
        found = detector.submit(prepared, (360, 640), lambda: None).result()
        assert prepared.shape == (384, 640, 3)  # made rectangular
        assert found.boxes.shape == (len(found), 4)
        assert list(model.parent.glob("*.onnx")) == []

    def test_the_export_is_kept_with_its_card(self, model):
        folder = export_detector(str(model))
        card = load_model(folder).card
        written = (folder / "model.json").stat().st_mtime_ns
        assert (card.task, card.output.head, card.output.person_class) == ("detect", "ultralytics", 0)
        assert export_detector(str(model)) == folder
        assert (folder / "model.json").stat().st_mtime_ns == written

    def test_a_broken_file_is_one_line(self, tmp_path):
        path = tmp_path / "broken.pt"
        path.write_bytes(b"no model")
        with pytest.raises(ModelError, match=r"broken\.pt: cannot be exported: ") as caught:
            export_detector(str(path))
        assert "\n" not in str(caught.value)
