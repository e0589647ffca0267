"""Brings ground truth and prediction to the form that the tracking scores are computed on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.box_overlap import box_overlap
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.mot_format import BoxTracks, PointTracks, TrackKeys

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TrackingSequence:
    """Ground truth beside prediction, one entry of each tuple a timestep.

    Attributes:
        truth_ids: ``(G,) int64`` each: who is there, numbered from 0 without gaps.
        predicted_ids: ``(P,) int64`` each: who is said to be there, numbered from 0 without gaps.
        similarities: ``(G, P) float64`` each, in 0-1.
        truth_count: Different ids in the ground truth.
        predicted_count: Different ids in the prediction.
    """

    truth_ids: tuple[Indices, ...]
    predicted_ids: tuple[Indices, ...]
    similarities: tuple[NDArray[np.float64], ...]
    truth_count: int
    predicted_count: int

    def __post_init__(self) -> None:
        shapes = [(len(truth), len(predicted)) for truth, predicted in self.pairs()]
        if shapes != [similarity.shape for similarity in self.similarities]:
            raise ValueError("similarities: expected one (G, P) matrix for each timestep")

    def pairs(self) -> zip[tuple[Indices, Indices]]:
        """Goes through the ids of ground truth and prediction, timestep by timestep."""
        return zip(self.truth_ids, self.predicted_ids, strict=True)

    @property
    def truth_rows(self) -> Indices:
        """``(truth_count,)``: in how many timesteps each id of the ground truth is."""
        return np.bincount(np.concatenate([*self.truth_ids, _NOBODY]), minlength=self.truth_count)

    @property
    def predicted_rows(self) -> Indices:
        """``(predicted_count,)``: in how many timesteps each predicted id is."""
        return np.bincount(np.concatenate([*self.predicted_ids, _NOBODY]), minlength=self.predicted_count)

    @property
    def is_one_sided(self) -> bool:
        """Whether the ground truth or the prediction has nobody at all."""
        return self.truth_count == 0 or self.predicted_count == 0


@dataclass(frozen=True, slots=True)
class MatchRule:
    """How near is near: by the overlap of boxes, or by the distance of foot points.

    Attributes:
        foot_px: The distance of two foot points that has similarity 0.5; None: boxes, by intersection over union.
    """

    foot_px: float | None = None

    @classmethod
    def parse(cls, text: str) -> MatchRule:
        """Reads ``iou`` or ``foot:PIXELS``.

        Raises:
            InputError: It is neither.
        """
        if text == "iou":
            return cls()
        kind, _, number = text.partition(":")
        try:
            pixels = float(number)
        except ValueError:
            pixels = math.nan
        if kind != "foot" or not (0 < pixels < math.inf):
            raise InputError(f"match is {text!r}; expected iou or foot:PIXELS with a number above 0, such as foot:50")
        return cls(pixels)


def match_boxes(truth: BoxTracks, predicted: BoxTracks) -> TrackingSequence:
    """Compares boxes by intersection over union; see `_align` for the timesteps."""
    return _align(truth.keys, predicted.keys, lambda g, p: box_overlap(truth.boxes[g], predicted.boxes[p]))


def match_points(truth: PointTracks, predicted: PointTracks, foot_px: float) -> TrackingSequence:
    """Compares foot points: similarity ``max(0, 1 - d / (2 * foot_px))``, so 0.5 at the distance ``foot_px``."""

    def similarity(g: Indices, p: Indices) -> NDArray[np.float64]:
        offsets = truth.points[g][:, np.newaxis] - predicted.points[p][np.newaxis]
        distance: NDArray[np.float64] = np.linalg.norm(offsets, axis=-1)
        return np.maximum(0.0, 1.0 - distance / (2 * foot_px))

    return _align(truth.keys, predicted.keys, similarity)


_Similarity = Callable[[Indices, Indices], NDArray[np.float64]]
_NOBODY = np.empty(0, np.int64)


def _align(truth: TrackKeys, predicted: TrackKeys, similarity: _Similarity) -> TrackingSequence:
    """Makes each frame of each camera that has a row one timestep: all cameras' frames one after the other, by name.

    Ids hold over all cameras. Frames without any row change no score, so they are not there.
    """
    steps, count = _timesteps(truth, predicted)
    truth_rows = _split(steps[: len(truth)], count)
    predicted_rows = _split(steps[len(truth) :], count)
    truth_names, truth_ids = np.unique(truth.ids, return_inverse=True)
    predicted_names, predicted_ids = np.unique(predicted.ids, return_inverse=True)
    return TrackingSequence(
        truth_ids=tuple(truth_ids[rows] for rows in truth_rows),
        predicted_ids=tuple(predicted_ids[rows] for rows in predicted_rows),
        similarities=tuple(similarity(g, p) for g, p in zip(truth_rows, predicted_rows, strict=True)),
        truth_count=len(truth_names),
        predicted_count=len(predicted_names),
    )


def _timesteps(truth: TrackKeys, predicted: TrackKeys) -> tuple[Indices, int]:
    """Gives the timestep of each row of the ground truth, then of the prediction, and how many timesteps there are."""
    _, cameras = np.unique(np.concatenate([truth.cameras, predicted.cameras]), return_inverse=True)
    frames = np.concatenate([truth.frames, predicted.frames])
    found, steps = np.unique(np.stack([cameras, frames], axis=1), axis=0, return_inverse=True)
    return steps.reshape(-1), len(found)


def _split(steps: Indices, count: int) -> list[Indices]:
    """Lists the rows of each timestep in the order of the file."""
    order = np.argsort(steps, kind="stable")
    return np.split(order, np.searchsorted(steps[order], np.arange(1, count)))
