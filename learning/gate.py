"""The gate: a new encoder replaces the serving one only where that is shown to be better.

Both are examined on tracklets that neither was trained on (`label_free`). The new one must not have collapsed, must not
lean on the cameras more, must not tell strangers apart worse, and must find people better by more than what chance
gives, in their own camera and there and back through others: each by paired bootstrap over the tracklets. An encoder
that was trained on one camera's people finds those better and nobody across. Where the site has a labelled set, it must
not have got worse on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.learning.label_free import Evidence, Floats

FINDING: Final = ("retrieval", "round_trip")  # the figures that must have become better, where they can be measured
_DRAWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What counts as better.

    Attributes:
        fewest: Held-out tracklets of two crops or more that are needed to say anything.
        least_rank: Part of the old effective rank that must be left, 0-1.
        most_cosine: Mean similarity of two crops from which an encoder counts as collapsed.
        most_bias: How many times more camera bias is borne.
        most_loss: Points of the true positive rate that may be lost, 0-1.
        most_labelled_loss: Points of mAP on the labelled set that may be lost, in per cent.
        noise: What each figure gains without any learning (`measure_noise`), 0-1: that much counts as nothing.
        doubt: Probability that a gain is chance, 0-1.
    """

    fewest: int = 25
    least_rank: float = 0.7
    most_cosine: float = 0.6
    most_bias: float = 1.05
    most_loss: float = 0.005
    most_labelled_loss: float = 0.5
    noise: Mapping[str, float] = field(default_factory=dict)
    doubt: float = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after, and the interval of their difference that holds nine draws of ten."""

    before: float
    after: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        promoted: Whether the new encoder is to serve.
        reason: Why, in one sentence.
        before: The figures of the serving encoder.
        after: Those of the new one.
        changes: The three that the decision rests on.
    """

    promoted: bool
    reason: str
    before: dict[str, float]
    after: dict[str, float]
    changes: dict[str, Change]

    def as_dict(self) -> dict[str, object]:
        """For reports and `--json`."""
        return asdict(self)


def judge(
    serving: Evidence, candidate: Evidence, settings: GateSettings, labelled: tuple[float, float] | None = None
) -> Verdict:
    """Decides between two encoders.

    Args:
        serving: Of the encoder that serves.
        candidate: Of the new one, on the same tracklets.
        settings: What counts as better.
        labelled: mAP of both on the site's labelled set, in per cent; None where it has none.
    """
    before, after = serving.figures(), candidate.figures()
    if len(serving.halves) < settings.fewest:
        reason = f"{len(serving.halves)} held-out tracklets of two crops or more: expected at least {settings.fewest}"
        return Verdict(False, reason, before, after, {})
    changes = compare(serving, candidate, settings.doubt)
    fault = _find_fault(before, after, changes, settings) or _find_labelled_fault(labelled, settings)
    if fault is not None:
        return Verdict(False, fault, before, after, changes)
    measured = [name for name in FINDING if np.isfinite(changes[name].gain)]  # one camera alone has no round trips
    if any(changes[name].low <= settings.noise.get(name, 0.0) for name in measured):
        gains = ", ".join(f"{name} {changes[name].gain:+.3f}" for name in measured)
        return Verdict(False, f"not shown to be better: {gains}: within what chance gives", before, after, changes)
    told = ", ".join(f"{name} {changes[name].before:.3f} to {changes[name].after:.3f}" for name in measured)
    return Verdict(True, f"better on held-out tracklets: {told}", before, after, changes)


def _find_fault(
    before: dict[str, float], after: dict[str, float], changes: dict[str, Change], settings: GateSettings
) -> str | None:
    """What forbids the new encoder, if anything does."""
    if not all(np.isfinite(after[name]) for name in ("effective_rank", "mean_cosine", "retrieval")):
        return "its embeddings are no numbers"
    if after["effective_rank"] < settings.least_rank * before["effective_rank"]:
        return f"collapsed: effective rank {before['effective_rank']:.1f} to {after['effective_rank']:.1f}"
    if after["mean_cosine"] > max(settings.most_cosine, before["mean_cosine"]):
        return f"collapsed: two crops have a similarity of {after['mean_cosine']:.2f} on average"
    if after["camera_bias"] > settings.most_bias * max(before["camera_bias"], 1.0):
        return f"leans on the cameras: bias {before['camera_bias']:.2f} to {after['camera_bias']:.2f}"
    for name, bearable in (("true_positive_rate", settings.most_loss), ("retrieval", 0.0), ("round_trip", 0.0)):
        if changes[name].high < -bearable:
            return f"worse: {name} {changes[name].before:.3f} to {changes[name].after:.3f}"
    return None


def _find_labelled_fault(labelled: tuple[float, float] | None, settings: GateSettings) -> str | None:
    if labelled is None or labelled[1] >= labelled[0] - settings.most_labelled_loss:
        return None
    return f"worse on the labelled set: mAP {labelled[0]:.1f} to {labelled[1]:.1f}"


def compare(serving: Evidence, candidate: Evidence, doubt: float, seed: int = 0) -> dict[str, Change]:
    """The three figures of both, with intervals by paired bootstrap over tracklets: both see the same draws.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    figures: dict[str, Callable[[Evidence, Floats], float]] = {
        "true_positive_rate": Evidence.true_positive_rate,
        "retrieval": Evidence.retrieval,
        "round_trip": Evidence.round_trip,
    }
    rng = np.random.default_rng(seed)
    size = len(serving.halves)
    draws = [np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64) for _ in range(_DRAWS)]
    everybody = np.ones(size)
    changes = {}
    for name, figure in figures.items():
        differences = [figure(candidate, weights) - figure(serving, weights) for weights in draws]
        low, high = np.nanquantile(differences, [doubt, 1.0 - doubt]) if np.isfinite(differences).any() else (0.0, 0.0)
        changes[name] = Change(figure(serving, everybody), figure(candidate, everybody), float(low), float(high))
    return changes


def measure_noise(usual: Evidence, equally_good: Sequence[Evidence]) -> dict[str, float]:
    """How much the figures of finding differ between encoders of which none is better.

    Args:
        usual: Of an encoder.
        equally_good: The same encoder on the same tracklets with crops disturbed in ways that do not matter.
    """
    everybody = np.ones(len(usual.halves))
    figures = {"retrieval": Evidence.retrieval, "round_trip": Evidence.round_trip}
    return {
        name: max((abs(figure(each, everybody) - figure(usual, everybody)) for each in equally_good), default=0.0)
        for name, figure in figures.items()
    }
