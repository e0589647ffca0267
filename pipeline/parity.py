"""The gate before an engine serves: what it finds in pictures that are shipped must agree with a reference.

The reference is the same graph in single precision on another runtime. Encoders are compared by the direction of their
embeddings and by the order in which these rank the other crops; detectors by the boxes read from their output. The
pictures show people of the virtual site (`parity_pictures`), or are the site's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, Protocol

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Boxes, Embeddings, Image, Scores
from reid_pipeline.pipeline.matching import iou
from reid_pipeline.pipeline.runtime import Array, Pixels, Precision

# Cosine of the worst crop. Two float32 libraries agree to 1 - 1e-6; bfloat16 with its 8 bits costs trained encoders
# 0.0005 to 0.002, while a wrong weight, scale or channel order costs far more.
MIN_COSINE: Final[dict[Precision, float]] = {"f32": 0.999, "bf16": 0.995, "f16": 0.995}
# Share of the pairs of crops that are put in the same order by their similarity to a third one.
MIN_ORDER: Final[dict[Precision, float]] = {"f32": 0.999, "bf16": 0.99, "f16": 0.99}
RANK_TIE: Final = 0.1  # similarities nearer than this part of their standard deviation are no order
_LEAST_TIE: Final = 1e-4  # where all crops are alike, rounding in float32 is no order either

# Boxes agree when they overlap so much and their scores differ by no more. Reduced precision moves the boxes of small
# persons by a pixel, and of two overlapping candidates another one may stay.
MIN_IOU: Final[dict[Precision, float]] = {"f32": 0.95, "bf16": 0.75, "f16": 0.75}
MAX_SCORE_DIFFERENCE: Final[dict[Precision, float]] = {"f32": 0.01, "bf16": 0.1, "f16": 0.1}
MIN_BOXES: Final[dict[Precision, float]] = {"f32": 0.99, "bf16": 0.9, "f16": 0.9}  # share of the boxes that agree
ODD_BOXES: Final = 2  # may differ however few there are: one person who is found a little elsewhere
BOXES_A_FRAME: Final = 10  # of each frame the surest boxes count

CROP_SHEET: Final = "parity_crops.jpg"
FRAME_SHEET: Final = "parity_frames.jpg"
CROP_SIZE: Final = (128, 64)  # height, width of the crops in the sheet
FRAME_SIZE: Final = (480, 640)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an engine agrees with the reference, and by how much.

    Attributes:
        agrees: Whether it may serve.
        figures: What was measured, by name.
    """

    agrees: bool
    figures: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        measured = ", ".join(f"{name} {value:.5g}" for name, value in self.figures.items())
        return f"{'agrees' if self.agrees else 'disagrees'} with the reference ({measured or 'no figures'})"


class Trial(Protocol):
    """Pictures as a graph takes them, and how its answers are compared."""

    @property
    def inputs(self) -> Sequence[Pixels]:
        """One ``(1, H, W, 3) uint8`` for each request."""
        ...

    def judge(self, reference: Sequence[Array], candidate: Sequence[Array], precision: Precision) -> Verdict:
        """Compares the outputs for all inputs; the tolerance is that of the candidate's precision."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EncoderTrial:
    """Crops, already of the encoder's size."""

    inputs: tuple[Pixels, ...]

    def judge(self, reference: Sequence[Array], candidate: Sequence[Array], precision: Precision) -> Verdict:
        """See `Trial`."""
        expected, found = (
            np.concatenate([output.reshape(1, -1) for output in each]) for each in (reference, candidate)
        )
        if expected.shape != found.shape or not np.isfinite(found).all():
            return Verdict(False)
        worst, order = cosines(expected, found).min(), order_agreement(expected, found)
        agrees = worst >= MIN_COSINE[precision] and order >= MIN_ORDER[precision]
        return Verdict(bool(agrees), {"lowest cosine": float(worst), "same order": order})


@dataclass(frozen=True, slots=True, eq=False)
class DetectorTrial:
    """Frames, already of the detector's size, and how its output is read."""

    inputs: tuple[Pixels, ...]
    read: Callable[[Array], tuple[Boxes, Scores]]  # best first

    def judge(self, reference: Sequence[Array], candidate: Sequence[Array], precision: Precision) -> Verdict:
        """See `Trial`."""
        if any(
            one.shape != other.shape or not np.isfinite(other).all() for one, other in self._pairs(reference, candidate)
        ):
            return Verdict(False)
        agreeing = [
            share
            for one, other in self._pairs(reference, candidate)
            for share in box_agreement(self.read(one), self.read(other), precision)
        ]
        odd = agreeing.count(False)
        allowed = max((1 - MIN_BOXES[precision]) * len(agreeing), 0 if precision == "f32" else ODD_BOXES)
        return Verdict(odd <= allowed, {"boxes": float(len(agreeing)), "of them differ": float(odd)})

    @staticmethod
    def _pairs(reference: Sequence[Array], candidate: Sequence[Array]) -> list[tuple[Array, Array]]:
        return list(zip(reference, candidate, strict=True))


def cosines(one: Embeddings, other: Embeddings) -> Embeddings:
    """The cosine of each row ``(N,)``; 1 where both are zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both_zero = ~(one.any(axis=1) | other.any(axis=1))
    found = np.einsum("nd,nd->n", one, other) / np.maximum(lengths, 1e-12)
    return np.where(both_zero, 1, found).astype(np.float32)


def order_agreement(one: Embeddings, other: Embeddings) -> float:
    """Share (0-1) of the pairs of rows that both order alike by their similarity to a third row.

    Pairs that the first tells apart by less than `RANK_TIE` do not count; 1 where no pair counts.
    """
    units = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (one, other)]
    similarities = [unit @ unit.T for unit in units]
    spread = similarities[0][~np.eye(len(one), dtype=bool)].std() if len(one) > 1 else 0.0
    gaps = [similarity[:, :, None] - similarity[:, None, :] for similarity in similarities]
    clear = gaps[0] > max(RANK_TIE * spread, _LEAST_TIE)
    return float((gaps[1][clear] > 0).mean()) if clear.any() else 1.0


def box_agreement(one: tuple[Boxes, Scores], other: tuple[Boxes, Scores], precision: Precision) -> list[bool]:
    """Whether each of the surest boxes of either side has its like on the other side, for all that count."""
    return [*_have_partners(one, other, precision), *_have_partners(other, one, precision)]


def _have_partners(one: tuple[Boxes, Scores], other: tuple[Boxes, Scores], precision: Precision) -> list[bool]:
    boxes, scores = one[0][:BOXES_A_FRAME], one[1][:BOXES_A_FRAME]
    overlaps = iou(boxes, other[0]) >= MIN_IOU[precision]
    alike = np.abs(scores[:, None] - other[1][None]) <= MAX_SCORE_DIFFERENCE[precision]
    return [bool(each) for each in (overlaps & alike).any(axis=1)]


def shipped_crops() -> list[Image]:
    """The shipped crops of persons, ``(H, W, 3) uint8`` BGR each."""
    return _cut(CROP_SHEET, CROP_SIZE)


def shipped_frames() -> list[Image]:
    """The shipped frames with persons in them, ``(H, W, 3) uint8`` BGR each."""
    return _cut(FRAME_SHEET, FRAME_SIZE)


def _cut(name: str, size: tuple[int, int]) -> list[Image]:
    content = (files("reid_pipeline.pipeline") / name).read_bytes()
    sheet = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    rows, columns = sheet.shape[0] // size[0], sheet.shape[1] // size[1]
    grid = sheet.reshape(rows, size[0], columns, size[1], 3).swapaxes(1, 2)
    return list(np.ascontiguousarray(grid.reshape(-1, *size, 3)))
