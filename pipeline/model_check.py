"""Whether a model really works: it is loaded and used once."""

from __future__ import annotations

from typing import Final

import numpy as np

from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.detector import GraphDetector
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model

_MIN_SCORE: Final = 0.1
_MIN_LIKENESS: Final = 0.99  # cosine of the embeddings of two graphs that hold the same network


def check_works(model: Model) -> None:
    """Loads a model with a card and lets it look at one picture of noise.

    Raises:
        ModelError: It cannot be loaded or used, or gives no numbers.
    """
    try:
        _use(model)
    except RuntimeError as error:  # of the library that runs it
        reason = " ".join(str(error).split())
        raise ModelError(f"{model.graph}: cannot be run: {reason[:200]}") from error


def check_alike(model: Model, other: Model) -> None:
    """Makes sure that two encoders give the same embeddings, but for rounding.

    Raises:
        ModelError: They do not.
    """
    crops = [_noise(256, 128, seed) for seed in range(2)]
    alike = float((_embed(model, crops) * _embed(other, crops)).sum(axis=1).min())
    if not alike >= _MIN_LIKENESS:
        raise ModelError(f"{other.graph}: its embeddings differ from those of {model.name}: cosine {alike:.3f}")


def _use(model: Model) -> None:
    if model.card is None or model.card.task == "detect":
        detector = GraphDetector(model, _MIN_SCORE)
        frame = _noise(480, 640)
        detector.submit(detector.prepare(frame), (480, 640), lambda: None).result()
    elif not np.isfinite(_embed(model, [_noise(256, 128)])).all():
        raise ModelError(f"{model.graph}: gives no numbers")


def _embed(model: Model, crops: list[Image]) -> Embeddings:
    return GraphEncoder(model).encode(crops)


def _noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
