"""Embeddings of pictures that do not change, such as those of a re-ID data set: encoded once for each encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.head_blur import BLUR_VERSION
from reid_pipeline.pipeline.image_folder import encode_images
from reid_pipeline.pipeline.protocols import Encoder
from reid_pipeline.pipeline.runtime import cache_folder


def embed_images(
    paths: Sequence[Path],
    encoder: Encoder,
    progress: Callable[[int, int], None] | None = None,
    *,
    blur_heads: bool = False,
) -> Embeddings:
    """Encodes N pictures to ``(N, D) float32`` of norm 1, or takes what they gave before.

    Args:
        paths: The pictures. One that was written since, by its size and time, is encoded anew with all others.
        encoder: The encoder; its hash tells its embeddings from those of others.
        progress: Told how many are encoded, of how many.
        blur_heads: As in `encode_images`.

    Raises:
        InputError: A picture cannot be read.
    """
    name = _digest(paths, encoder.model_hash) + (f"-{BLUR_VERSION}" if blur_heads else "")
    file = cache_folder() / "embeddings" / f"{name}.npy"
    known = _recall(file)
    if known is not None and known.shape == (len(paths), encoder.dim):
        return known

    def report(done: int) -> None:
        if progress:
            progress(done, len(paths))

    embeddings = encode_images(paths, encoder, report, blur_heads=blur_heads)
    _keep(file, embeddings)
    return embeddings


def _digest(paths: Sequence[Path], model_hash: str) -> str:
    stats = [(path.parent.name, path.name, path.stat()) for path in paths]
    key = (model_hash, [(folder, name, stat.st_size, stat.st_mtime_ns) for folder, name, stat in stats])
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


def _recall(file: Path) -> Embeddings | None:
    try:
        return np.asarray(np.load(file, allow_pickle=False), np.float32)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None


def _keep(file: Path, embeddings: Embeddings) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".part")
    with beside.open("wb") as stream:
        np.save(stream, embeddings, allow_pickle=False)
    beside.replace(file)
