"""Names and paths of models made into detectors and encoders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from reid_pipeline.pipeline.detector import GraphDetector
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.ultralytics_export import export_detector
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model, models_folder

WEAK_SCORE: Final = 0.1  # weaker detections are noise; ByteTrack's lower threshold
_ULTRALYTICS_NAME: Final = re.compile(r"yolo[a-z0-9_-]*")


def build_detector(model: str, min_score: float = WEAK_SCORE, *, trust: bool = False) -> GraphDetector:
    """Builds the detector that a setting names.

    Args:
        model: A path to a model, the name of a folder in `models_folder`, or the name of an Ultralytics model.
        min_score: Candidates below it (0-1) are not reported.
        trust: Whether a ``.pt`` file, which can run any code, may be loaded.

    Raises:
        ModelError: There is no such model, or it cannot be used.
    """
    path = _find(model, "detector")
    if path is None and _ULTRALYTICS_NAME.fullmatch(model.removesuffix(".pt")):
        return GraphDetector(load_model(export_detector(model)), min_score)
    if path is None:
        raise _unknown("detector", model)
    if path.suffix == ".pt":
        if not trust:
            raise ModelError(
                f"detector.model: {model}: a .pt file can run any code: set detector.trust: true if you trust it"
            )
        path = export_detector(str(path))
    return GraphDetector(load_model(path), min_score)


def build_encoder(model: str) -> GraphEncoder:
    """Builds the encoder that a setting names: a path to a model with its card, or a folder in `models_folder`.

    Raises:
        ModelError: There is no such model, or it cannot be used.
    """
    path = _find(model, "encoder")
    if path is None:
        raise _unknown("encoder", model)
    return GraphEncoder(load_model(path))


def _find(model: str, part: str) -> Path | None:
    if model == "bundled":
        raise ModelError(f"{part}.model: bundled: no weights are bundled yet: give the path of a model")
    if Path(model).exists():
        return Path(model)
    named = models_folder() / model
    if Path(model).name == model and named.is_dir():
        return named
    if Path(model).name != model or Path(model).suffix in (".xml", ".onnx"):
        raise _unknown(part, model)
    return None


def _unknown(part: str, model: str) -> ModelError:
    return ModelError(f"{part}.model: {model}: no such file or folder, and no model of this name in {models_folder()}")
