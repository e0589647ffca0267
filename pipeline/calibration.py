"""What the similarity of two tracklets means on a site: the probability that they are one person.

One similarity alone says this less well than `likeness.judge_pairs`, which looks at all tracklets at once and is too
slow for it; but a search has nothing else. So at the end of a run the newest tracklets are judged, and a logistic
regression learns from that what their plain similarities mean. It expresses them in deviations above the mean of their
two cameras, as each camera has its own light; turned back to similarities it gives an intercept and a slope a pair of
cameras.

Nobody says who is who, so this is as right as the judgement: see the reliability plot of `replay --from-reid`.
Source: a logistic curve through scores after Platt, "Probabilistic Outputs for Support Vector Machines", 1999; with
probabilities in place of labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from reid_pipeline.pipeline.appearance import AppearanceScale
from reid_pipeline.pipeline.likeness import Mask, Matrix, find_apart, fit_logistic, judge_if_telling
from reid_pipeline.pipeline.tracklet_looks import TrackletLooks, read_all_looks
from reid_pipeline.storage.calibrations import CalibrationRecord
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter

NEWEST: Final = 400  # tracklets: with more the end of a run would take longer than a second
ENOUGH_PAIRS: Final = 200  # of two cameras; with fewer their mean is that of all pairs of cameras
# Of three encoders on Market-1501, with 684 tracklets: two deviations above strangers more is e^4 times as likely.
_USUAL_SLOPE, _USUAL_INTERCEPT, _USUAL_SHARE, _USUAL_TRACKLETS = 2.0, -8.0, 0.011, 684


@dataclass(frozen=True, slots=True)
class Calibration:
    """What similarities by one encoder mean.

    Attributes:
        prior: What they mean as far as the encoder's card tells.
        learnt: What the site has taught; empty where it has not yet.
    """

    prior: CalibrationRecord
    learnt: tuple[CalibrationRecord, ...] = ()

    def probability(
        self, similarities: Matrix, camera_a: str | None, camera_b: str | None, share: float | None = None
    ) -> Matrix:
        """The probability ``(N,)`` that two tracklets with these similarities are one person; grows with them.

        Args:
            similarities: ``(N,)``, inner products of mean looks.
            camera_a: Where one was seen; None: elsewhere than the other.
            camera_b: Where the other was.
            share: Part of the pairs that are one person; as it was when this was learnt if left out.
        """
        record = self._find(camera_a, camera_b)
        log_odds = record.intercept + record.slope * similarities
        if share is not None:
            log_odds = log_odds + (logit(share) - logit(record.share))
        return np.asarray(expit(log_odds), np.float64)

    def share_among(self, tracklets: int) -> float:
        """Part of the pairs that is one person where there are so many tracklets.

        Somebody is seen a few times, however many others are: the more tracklets, the smaller the part.
        """
        record = self.learnt[0] if self.learnt else self.prior
        return record.share * min(1.0, record.tracklets / max(tracklets, 1))

    def _find(self, camera_a: str | None, camera_b: str | None) -> CalibrationRecord:
        one_camera = camera_a is not None and camera_a == camera_b
        pair = None if camera_a is None or camera_b is None else (min(camera_a, camera_b), max(camera_a, camera_b))
        found = {(each.cameras, each.one_camera): each for each in self.learnt}
        return (pair and found.get((pair, one_camera))) or found.get((None, one_camera)) or self.prior


def prior_of(different: tuple[float, float] | None) -> CalibrationRecord:
    """What similarities mean before a site has taught anything.

    Args:
        different: Mean and standard deviation of the similarity of strangers, as the encoder's card says, if it does.
    """
    scale = AppearanceScale(different)
    mean = scale.similarity(0.0)
    slope = _USUAL_SLOPE / (scale.similarity(1.0) - mean)
    return CalibrationRecord(
        cameras=None,
        one_camera=False,
        intercept=_USUAL_INTERCEPT - slope * mean,
        slope=slope,
        share=_USUAL_SHARE,
        tracklets=_USUAL_TRACKLETS,
        pairs=0,
        fitted_us=0,
    )


def load_calibration(
    repository: Repository, model_hash: str, different: tuple[float, float] | None = None
) -> Calibration:
    """What is known of an encoder's similarities on a site; `different` as in `prior_of`."""
    return Calibration(prior_of(different), repository.calibrations(model_hash))


def refit_calibration(repository: Repository, model_hash: str, fitted_us: int) -> bool:
    """Learns from the newest tracklets of a site; False, and all stays as it was, where they do not tell enough."""
    sample = read_all_looks(repository, model_hash, ViewFilter(newest=NEWEST))
    records = () if sample is None else fit_calibration(sample, fitted_us)
    if records:
        repository.replace_calibrations(model_hash, records)
    return bool(records)


def fit_calibration(sample: TrackletLooks, fitted_us: int) -> tuple[CalibrationRecord, ...]:
    """Learns from tracklets; empty where they are too few, or the same person is not told from strangers."""
    times = np.array([(each.first_us, each.last_us) for each in sample.tracklets], np.int64)
    names, cameras = np.unique([each.camera for each in sample.tracklets], return_inverse=True)
    apart = find_apart(cameras.astype(np.int64), times[:, 0], times[:, 1])
    judged = judge_if_telling(sample.looks, cameras.astype(np.int64), apart)
    if judged is None:
        return ()
    rows, columns = np.nonzero(np.triu(~apart, 1))
    pairs = _Pairs(
        (sample.looks @ sample.looks.T)[rows, columns].astype(np.float64),
        judged.probability[rows, columns],
        np.sort(np.stack([cameras[rows], cameras[columns]], axis=1), axis=1),
    )
    records = _fit(pairs, [str(name) for name in names], len(cameras), fitted_us)
    return records if records[0].slope > 0 else ()


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Similarities ``(P,)``, judged probabilities ``(P,)`` and the two cameras ``(P, 2)`` of each, in order."""

    similarities: Matrix
    probability: Matrix
    cameras: NDArray[np.intp]


def _fit(pairs: _Pairs, names: Sequence[str], tracklets: int, fitted_us: int) -> tuple[CalibrationRecord, ...]:
    deviations = np.zeros_like(pairs.similarities)
    groups = list(_groups(pairs.cameras))
    scales = []
    for group in groups:  # from the coarse to the fine: the finest that has enough pairs counts
        mean, deviation = _mean_and_deviation(pairs.similarities[group.pairs])
        scales.append((mean, deviation))
        deviations[group.pairs] = (pairs.similarities[group.pairs] - mean) / deviation
    features = np.stack([np.ones_like(deviations), deviations], axis=1)
    intercept, slope = fit_logistic(features, pairs.probability).tolist()
    return tuple(
        CalibrationRecord(
            cameras=None if group.cameras is None else (names[group.cameras[0]], names[group.cameras[1]]),
            one_camera=group.one_camera,
            intercept=intercept - slope * mean / deviation,
            slope=slope / deviation,
            share=float(pairs.probability.mean()),
            tracklets=tracklets,
            pairs=int(group.pairs.sum()),
            fitted_us=fitted_us,
        )
        for group, (mean, deviation) in zip(groups, scales, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Pairs ``(P,)`` of two cameras, or of all that are within one camera, or of all others."""

    pairs: Mask
    cameras: tuple[int, int] | None
    one_camera: bool


def _groups(cameras: NDArray[np.intp]) -> Iterator[_Group]:
    within = cameras[:, 0] == cameras[:, 1]
    for one_camera in (False, True):
        if (within == one_camera).any():
            yield _Group(within == one_camera, None, one_camera)
    for first, second in np.unique(cameras, axis=0).tolist():
        both = (cameras == (first, second)).all(axis=1)
        if both.sum() >= ENOUGH_PAIRS:
            yield _Group(both, (first, second), first == second)


def _mean_and_deviation(similarities: Matrix) -> tuple[float, float]:
    return float(similarities.mean()), max(float(similarities.std()), 1e-3)
