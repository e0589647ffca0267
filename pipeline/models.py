"""Names and paths of models made into detectors and encoders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from reid_pipeline.pipeline.datatypes import WEAK_SCORE
from reid_pipeline.pipeline.detector import GraphDetector
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.pipeline.runtime_choice import AUTO, RuntimeOptions
from reid_pipeline.pipeline.ultralytics_export import export_detector
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_registry import ModelRegistry

_ULTRALYTICS_NAME: Final = re.compile(r"yolo(?!x)[a-z0-9_-]*")


def build_detector(
    model: str, min_score: float = WEAK_SCORE, *, options: RuntimeOptions = AUTO, data_dir: Path | None = None
) -> GraphDetector:
    """Builds the detector that a setting names.

    Args:
        model: ``bundled``, a path to a model, a name in the registry, or the name of an Ultralytics model.
        min_score: Candidates below it (0-1) are not reported.
        options: How it is computed, and whether a ``.pt`` file, which can run any code, may be loaded.
        data_dir: The folder of the site, whose models are searched first.

    Raises:
        ModelError: There is no such model, or it cannot be used.
    """
    if _is_ultralytics(model, data_dir):
        return GraphDetector(load_model(export_detector(model)), min_score, options)
    path = find_model(model, "detector", data_dir)
    if path.suffix == ".pt":
        if not options.trust:
            raise ModelError(
                f"detector.model: {model}: a .pt file can run any code: set detector.trust: true if you trust it"
            )
        path = export_detector(str(path))
    return GraphDetector(load_model(path), min_score, options)


def build_encoder(model: str | Path, data_dir: Path | None = None, *, options: RuntimeOptions = AUTO) -> GraphEncoder:
    """Builds the encoder that a setting names: ``bundled``, a path to a model with its card, or a registry name.

    Raises:
        ModelError: There is no such model, or it cannot be used.
    """
    return GraphEncoder(load_model(find_model(str(model), "encoder", data_dir)), options)


def _is_ultralytics(model: str, data_dir: Path | None) -> bool:
    if not _ULTRALYTICS_NAME.fullmatch(model.removesuffix(".pt")) or Path(model).exists():
        return False
    return ModelRegistry(data_dir).find_name(model) is None
