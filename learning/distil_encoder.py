"""Learning embeddings from a stronger encoder.

The pupil's embedding of a disturbed crop is to be the teacher's of the clean one.

Sources: fitting the teacher's answers after Hinton et al., "Distilling the Knowledge in a Neural Network", 2015;
keeping the similarities within a batch after Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reid_pipeline.learning.crop_pool import Pool, Size
from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.head_blur import blur_head
from reid_pipeline.pipeline.protocols import Encoder

_RELATION_WEIGHT: Final = 5.0
_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """Disturbed crops ``(N, H, W, 3) uint8`` BGR and the teacher's embeddings ``(N, D) float32`` of the clean ones."""

    crops: NDArray[np.uint8]
    targets: Embeddings


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How batches are made.

    Attributes:
        size: Height and width of the pupil's input.
        batch_size: Crops a step.
        seed: Of the order and the disturbances.
        blurred: Part of the crops (0-1) whose heads are blurred; the teacher has seen them.
    """

    size: Size
    batch_size: int
    seed: int
    blurred: float = 0.0


class EncoderDistillation:
    """The task: see the module.

    Args:
        network: The pupil.
        pool: All crops.
        targets: The teacher's embedding of each.
        plan: How batches are made.

    Raises:
        TrainingError: The pool does not fill a batch.
    """

    def __init__(self, network: EncoderNetwork, pool: Pool, targets: Embeddings, plan: BatchPlan) -> None:
        if len(pool) < plan.batch_size:
            raise TrainingError(
                f"training.batch_size: {plan.batch_size}: expected at most the number of crops, {len(pool)}"
            )
        self.network = network
        self._pool = pool
        self._targets = targets
        self._plan = plan

    def batch(self, step: int) -> EncoderBatch:
        """See `trainer.Task`."""
        plan = self._plan
        rng = np.random.default_rng([plan.seed, step])
        chosen = rng.choice(len(self._pool), plan.batch_size, replace=False)
        blurred = rng.random(plan.batch_size) < plan.blurred
        shown = [
            blur_head(self._pool[row]) if hidden else self._pool[row]
            for row, hidden in zip(chosen, blurred, strict=True)
        ]
        crops = np.stack([disturb(crop, plan.size, rng) for crop in shown])
        return EncoderBatch(crops, self._targets[chosen])

    def losses(self, batch: EncoderBatch, device: torch.device) -> dict[str, Tensor]:
        """See `trainer.Task`: ``embedding`` and ``relation``."""
        crops = normalise(torch.from_numpy(batch.crops).to(device))
        embeddings = functional.normalize(self.network(crops).float(), dim=1)
        return distillation_losses(embeddings, torch.from_numpy(batch.targets).to(device))

    def after_step(self) -> None:
        """See `trainer.Task`: nothing is kept."""


def distillation_losses(embeddings: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Distance from the teacher's embeddings, and from its similarities within the batch.

    Args:
        embeddings: ``(N, D)`` of length one.
        targets: The teacher's, the same.
    """
    apart = embeddings @ embeddings.T - targets @ targets.T
    return {
        "embedding": (1.0 - (embeddings * targets).sum(1)).mean(),
        "relation": _RELATION_WEIGHT * apart.square().mean(),
    }


def disturb(crop: Image, size: Size, rng: np.random.Generator) -> Image:
    """A crop as another detector and another camera would have given it: moved, mirrored, lit, partly hidden.

    No hue is turned: the colour of clothes is what people are told apart by.
    """
    moved = _move(crop, size, rng)
    if rng.random() < 0.5:
        contrast, brightness = rng.uniform(0.75, 1.3), rng.uniform(-15, 15)
        moved = np.asarray(cv2.convertScaleAbs(moved, alpha=contrast, beta=brightness), np.uint8)
    if rng.random() < 0.3:
        _hide(moved, rng)
    return moved


def draw_crops(pool: Pool, batches: int, size: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Batches of disturbed crops, drawn at random from a pool: ``(size, H, W, 3) uint8`` each."""
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        rows = rng.integers(0, len(pool), size)
        yield np.stack([disturb(pool[row], (pool.shape[1], pool.shape[2]), rng) for row in rows])


def _move(crop: Image, size: Size, rng: np.random.Generator) -> Image:
    height, width = crop.shape[:2]
    zoom = rng.uniform(0.9, 1.12)
    mirror = rng.choice((-1.0, 1.0))
    across, down = mirror * zoom * rng.uniform(0.95, 1.05) * size[1] / width, zoom * size[0] / height
    middle = (width * (0.5 + rng.uniform(-0.06, 0.06)), height * (0.5 + rng.uniform(-0.06, 0.06)))
    matrix = np.array(
        [[across, 0, size[1] / 2 - across * middle[0]], [0, down, size[0] / 2 - down * middle[1]]], np.float32
    )
    return np.asarray(cv2.warpAffine(crop, matrix, (size[1], size[0]), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _hide(crop: Image, rng: np.random.Generator) -> None:
    """Covers a part with one colour, in place."""
    height, width = (int(side * rng.uniform(0.1, most)) for side, most in zip(crop.shape[:2], (0.35, 0.6), strict=True))
    top = int(rng.integers(0, crop.shape[0] - height + 1))
    left = int(rng.integers(0, crop.shape[1] - width + 1))
    crop[top : top + height, left : left + width] = rng.integers(0, 256, 3)


def teach(teacher: Encoder, pool: Pool, cache: Path, report: Callable[[int], None] = lambda _: None) -> Embeddings:
    """The teacher's embeddings of a pool, ``(N, D)``; kept in the folder ``cache`` under the hashes of both.

    Args:
        teacher: The encoder.
        pool: The crops, of any size.
        cache: Folder.
        report: Told the number of crops done, now and then.
    """
    digest = hashlib.sha256(pool.tobytes()).hexdigest()
    kept = cache / f"teacher-{teacher.model_hash[:12]}-{digest[:16]}.npy"
    if kept.is_file():
        known: Embeddings = np.load(kept)
        return known
    parts = []
    for start in range(0, len(pool), _CHUNK):
        parts.append(teacher.encode(list(pool[start : start + _CHUNK])))
        report(start + len(parts[-1]))
    embeddings = np.concatenate(parts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(kept.with_suffix(".part.npy"), embeddings)
    kept.with_suffix(".part.npy").replace(kept)
    return embeddings


def shorten(targets: Embeddings, dim: int) -> Embeddings:
    """Embeddings ``(N, D)`` as ones of length ``dim`` that keep their inner products best, of norm 1 again.

    They are turned at random at the end: where embeddings have much in common, the decomposition puts that into a
    single number, many times larger than all others, which a network that starts with equal ones learns too slowly.

    Source: the truncated singular value decomposition, best of all projections by Eckart and Young, 1936.
    """
    _, _, directions = np.linalg.svd(targets.T @ targets)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))
    shorter = targets @ directions[:dim].T @ turn
    unit: Embeddings = (shorter / np.linalg.norm(shorter, axis=1, keepdims=True)).astype(np.float32)
    return unit
