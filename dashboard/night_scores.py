"""The scores of nights, that need no labels, as rows of a plot and as words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from reid_pipeline.storage.learning_runs import LearningRun

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "retrieval": (
        "People found again",
        "How well one half of a visit finds its other half among all other halves; 1 is always first.",
    ),
    "round_trip": (
        "There and back",
        "The part of visits that come back to themselves from their nearest in another camera; 1 is all.",
    ),
    "true_positive_rate": (
        "Told from strangers",
        "The part of visits known again with fewer than one mistake in 1,000 people seen beside them; 1 is all.",
    ),
}
"""What decides, each with its title and its meaning. Higher is better."""


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of one night: of the encoder that served, and of the new one.

    Attributes:
        night: Number of the learning run.
        time_us: When it began.
        figure: A key of `FIGURES`.
        before: Of the one that served.
        after: Of the new one.
        promoted: Whether that serves since.
    """

    night: int
    time_us: int
    figure: str
    before: float
    after: float
    promoted: bool


def scores(runs: Iterable[LearningRun]) -> tuple[Score, ...]:
    """The figures of all nights that were examined, oldest first."""
    found = [each for run in runs for each in _scores_of(run)]
    return tuple(sorted(found, key=lambda score: (score.time_us, score.night)))


def difference(run: LearningRun, figure: str) -> str:
    """A figure before and after in words; empty where it was not measured.

    Example:
        A run whose figure went from 0.694 to 0.734 gives ``0.694 → 0.734``.
    """
    score = next((each for each in _scores_of(run) if each.figure == figure), None)
    return "" if score is None else f"{score.before:.3f} → {score.after:.3f}"


def _scores_of(run: LearningRun) -> list[Score]:
    before, after = (_numbers(run.end.figures.get(key)) for key in ("before", "after"))
    return [
        Score(run.id, run.started_us, figure, before[figure], after[figure], run.end.promoted)
        for figure in FIGURES
        if figure in before and figure in after
    ]


def _numbers(found: object) -> Mapping[str, float]:
    """What of a report's figures is a number: what could not be measured is null there."""
    if not isinstance(found, dict):
        return {}
    known = {key: value for key, value in found.items() if isinstance(value, int | float)}
    return {key: float(value) for key, value in known.items() if math.isfinite(value)}
