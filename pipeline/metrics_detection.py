"""Scores of finding persons in images, the COCO way, for one class.

Detections are taken best first; each claims the unclaimed person that it overlaps with most, if that is enough. The
average precision is the mean, over 101 recalls from 0 to 1, of the best precision at that recall or a higher one.
Unlike COCO's own code, an image may have more than 100 detections and no person is marked as a crowd.

Source: Lin et al., Microsoft COCO: Common Objects in Context, 2014, and its evaluation code, pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.box_overlap import box_overlap
from reid_pipeline.pipeline.datatypes import Boxes, Detections
from reid_pipeline.pipeline.errors import InputError

DEFAULT_MIN_CONFIDENCE = 0.4

# Rounded as in pycocotools: a recall of exactly 0.6 must fall on the same side.
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedImage:
    """What was found in one image beside what is there: ``truth (G, 4)``, boxes of all persons."""

    found: Detections
    truth: Boxes

    def __post_init__(self) -> None:
        if self.truth.ndim != 2 or self.truth.shape[1] != 4:
            raise ValueError(f"truth: expected (G, 4), got {self.truth.shape}")


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Scores in 0-1.

    Attributes:
        ap50: Average precision at an overlap of 0.5.
        ap50_95: Mean of the average precisions at overlaps 0.50, 0.55, ... 0.95.
        precision: Of the detections at or above the confidence asked for, those that are right at an overlap of 0.5;
            0 when there are none.
        recall: Of the persons, those found by these detections.
    """

    ap50: float
    ap50_95: float
    precision: float
    recall: float

    def as_dict(self) -> dict[str, float]:
        """Names the scores as the command prints them."""
        return {
            "AP50": self.ap50,
            "AP50_95": self.ap50_95,
            "precision": self.precision,
            "recall": self.recall,
        }


def evaluate_detections(
    images: Sequence[JudgedImage], min_confidence: float = DEFAULT_MIN_CONFIDENCE
) -> DetectionScores:
    """Scores the detections of all images together.

    Args:
        images: Detections of any confidence: average precision needs the weak ones too.
        min_confidence: Weaker detections do not count for precision and recall.

    Raises:
        InputError: There is no person in any image, so nothing can be found.
    """
    persons = sum(len(image.truth) for image in images)
    if not persons:
        raise InputError(f"no person is labelled in {len(images)} images; expected at least one")
    scores = np.concatenate([image.found.scores for image in images])
    right = np.concatenate([_claims(image) for image in images], axis=1)
    order = np.argsort(-scores, kind="stable")
    precisions = [_average_precision(row[order], persons) for row in right]
    confident = scores >= np.float32(min_confidence)
    hits = int(right[0, confident].sum())
    return DetectionScores(
        ap50=precisions[0],
        ap50_95=float(np.mean(precisions)),
        precision=hits / max(1, int(confident.sum())),
        recall=hits / persons,
    )


def _claims(image: JudgedImage) -> NDArray[np.bool_]:
    """Says which detections are right at each threshold, ``(thresholds, N)`` in the order given."""
    right = np.zeros((len(_THRESHOLDS), len(image.found)), np.bool_)
    if not right.size or not len(image.truth):
        return right
    overlap = box_overlap(image.found.boxes, image.truth)
    free = np.ones((len(_THRESHOLDS), len(image.truth)), np.bool_)
    every = np.arange(len(_THRESHOLDS))
    for index in np.argsort(-image.found.scores, kind="stable"):
        open_overlap = np.where(free, overlap[index], -1.0)
        best = open_overlap.argmax(axis=1)
        enough = open_overlap[every, best] >= _THRESHOLDS
        right[:, index] = enough
        free[every[enough], best[enough]] = False
    return right


def _average_precision(right: NDArray[np.bool_], persons: int) -> float:
    """Averages precision over 101 recalls; ``right (N,)`` is in order of falling confidence."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / persons, _RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[at].mean())
