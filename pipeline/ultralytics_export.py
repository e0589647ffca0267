"""Ultralytics models exported once to ONNX and kept: the run itself never imports torch.

The export runs in a process of its own, so that torch's memory goes with it, with the library's telemetry switched off.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from reid_pipeline.pipeline.runtime import cache_folder
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import CARD_NAME

_TIMEOUT_S: Final = 900

# Run as `python -c`: argument 1 is the model. The graph lands in the working folder, its description on stdout.
_PROGRAM: Final = """
import json, sys
from ultralytics import YOLO, settings
settings.update({"sync": False})
model = YOLO(sys.argv[1])
if model.task != "detect":
    sys.exit(f"task {model.task}: expected a detector")
persons = [index for index, name in model.names.items() if name == "person"]
if not persons:
    sys.exit("its classes have no person")
path = model.export(format="onnx", imgsz=640, dynamic=False, simplify=False, verbose=False)
print(json.dumps({"path": str(path), "person_class": persons[0]}))
"""


def export_detector(model: str) -> Path:
    """Exports an Ultralytics detector, or finds the export of an earlier time.

    Args:
        model: A name such as ``yolo26n`` (the library downloads it), or the path of a ``.pt`` file that is trusted.

    Returns:
        A model folder with a card.

    Raises:
        ModelError: The extra ``learning`` is missing, or the model cannot be had or exported.
    """
    file = Path(model)
    key = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else file.stem
    folder = cache_folder() / "exports" / f"{file.stem}-{key}"
    if (folder / CARD_NAME).is_file():
        return folder
    if importlib.util.find_spec("ultralytics") is None:
        raise ModelError(
            f"detector.model: {model}: Ultralytics models need torch: pip install 'reid-pipeline[learning]', "
            "or give an .onnx or OpenVINO file"
        )
    with tempfile.TemporaryDirectory() as work:
        answer = _export(model, Path(work))
        _keep(answer, file.stem, folder)
    return folder


def _export(model: str, work: Path) -> dict[str, object]:
    source = model
    if Path(model).is_file():  # the library writes beside its input
        source = str(shutil.copy(model, work))
    elif not model.endswith(".pt"):
        source = f"{model}.pt"
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(work), "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    command = [sys.executable, "-c", _PROGRAM, source]
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.CalledProcessError as error:
        lines = (error.stderr.strip() or "no reason given").splitlines()
        raise ModelError(f"detector.model: {model}: cannot be exported: {lines[-1][:200]}") from error
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise ModelError(f"detector.model: {model}: cannot be exported: {error}") from error
    return answer


def _keep(answer: dict[str, object], name: str, folder: Path) -> None:
    """Moves the graph into the cache and writes its card; the card comes last, so a torn export is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"{name}.onnx"
    shutil.move(str(answer["path"]), graph)
    card = {
        "name": name,
        "task": "detect",
        "graph": graph.name,
        "sha256": {graph.name: hashlib.sha256(graph.read_bytes()).hexdigest()},
        "input": {"height": 640, "width": 640, "resize": "letterbox", "colour": "RGB", "pixel_scale": 1 / 255},
        "output": {"head": _head(graph), "person_class": answer["person_class"]},
        "licence": "AGPL-3.0 (Ultralytics)",
        "trained_on": ["as its author says"],
        "parent": None,
    }
    (folder / CARD_NAME).write_text(json.dumps(card, indent=1))


def _head(graph: Path) -> str:
    from reid_pipeline.pipeline.detector import describe_detector
    from reid_pipeline.storage.model_card import load_model

    return describe_detector(load_model(graph))[1].head
