"""HOTA, CLEAR and Identity scores of tracks. They agree with TrackEval 1.3.0 to 1e-6.

Source:
    HOTA: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021.
    CLEAR: Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance, 2008.
    Identity: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reid_pipeline.pipeline.tracking_sequence import Indices, TrackingSequence

_ALPHAS = np.arange(0.05, 0.99, 0.05)  # rounded as in TrackEval
_THRESHOLD = 0.5
# Similarities that are equal to a threshold but for rounding count as equal, as in TrackEval.
_EPSILON = float(np.finfo(np.float64).eps)
# A track that goes on outweighs any similarity, which is at most 1 a box.
_CONTINUATION = 1000.0


@dataclass(frozen=True, slots=True)
class Hota:
    """HOTA and its two parts, detection and association accuracy: means over the thresholds 0.05 to 0.95, in 0-1."""

    hota: float
    det_a: float
    ass_a: float


@dataclass(frozen=True, slots=True)
class Clear:
    """MOTA (at most 1, can be negative) and the number of identity switches."""

    mota: float
    idsw: int


@dataclass(frozen=True, slots=True)
class Identity:
    """F1, precision and recall of the identities under the best one-to-one assignment of whole tracks, in 0-1."""

    idf1: float
    idp: float
    idr: float


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """All scores of one sequence."""

    hota: Hota
    clear: Clear
    identity: Identity

    def as_dict(self) -> dict[str, float]:
        """Names the scores as the command prints them."""
        return {
            "HOTA": self.hota.hota,
            "DetA": self.hota.det_a,
            "AssA": self.hota.ass_a,
            "IDF1": self.identity.idf1,
            "IDP": self.identity.idp,
            "IDR": self.identity.idr,
            "MOTA": self.clear.mota,
            "IDSW": self.clear.idsw,
        }


def score_tracking(sequence: TrackingSequence) -> TrackingScores:
    """Computes all scores. Where the ground truth or the prediction is empty, each of them is 0, as in TrackEval."""
    return TrackingScores(hota(sequence), clear(sequence), identity(sequence))


def hota(sequence: TrackingSequence) -> Hota:
    """Computes HOTA, DetA and AssA, each the mean over 19 localisation thresholds."""
    if sequence.is_one_sided:
        return Hota(0.0, 0.0, 0.0)
    truth, predicted, similarity = _hota_matches(sequence)
    truth_rows, predicted_rows = sequence.truth_rows, sequence.predicted_rows
    pairs, pair_of = np.unique(truth * sequence.predicted_count + predicted, return_inverse=True)
    pair_truth, pair_predicted = np.divmod(pairs, sequence.predicted_count)

    hit = similarity >= _ALPHAS[:, np.newaxis] - _EPSILON  # (thresholds, matches)
    hits = hit.sum(axis=1)
    together = np.stack([np.bincount(pair_of[row], minlength=len(pairs)) for row in hit])  # (thresholds, pairs)
    either = truth_rows[pair_truth] + predicted_rows[pair_predicted] - together
    det_a = hits / (truth_rows.sum() + predicted_rows.sum() - hits)
    ass_a = (together * (together / either)).sum(axis=1) / np.maximum(1, hits)
    return Hota(float(np.sqrt(det_a * ass_a).mean()), float(det_a.mean()), float(ass_a.mean()))


def clear(sequence: TrackingSequence) -> Clear:
    """Computes MOTA and counts identity switches, at similarity 0.5.

    Tracks of the timestep before go on where they can; only then does similarity decide. A switch is counted against
    the last match of the same person, however long ago.
    """
    if sequence.is_one_sided:
        return Clear(0.0, 0)
    last = np.full(sequence.truth_count, -1)
    just_before = np.full(sequence.truth_count, -1)
    hits = switches = 0
    for (truth, predicted), similarity in zip(sequence.pairs(), sequence.similarities, strict=True):
        if not similarity.size:
            continue
        goes_on = just_before[truth][:, np.newaxis] == predicted
        weight = np.where(similarity < _THRESHOLD - _EPSILON, 0.0, _CONTINUATION * goes_on + similarity)
        rows, columns = _assign(weight)
        kept = weight[rows, columns] > _EPSILON
        persons, tracks = truth[rows[kept]], predicted[columns[kept]]
        switches += int(np.count_nonzero((last[persons] >= 0) & (last[persons] != tracks)))
        last[persons] = tracks
        just_before[:] = -1
        just_before[persons] = tracks
        hits += len(persons)
    truth_total = int(sequence.truth_rows.sum())
    false_positives = int(sequence.predicted_rows.sum()) - hits
    return Clear((hits - false_positives - switches) / truth_total, switches)


def identity(sequence: TrackingSequence) -> Identity:
    """Computes IDF1, IDP and IDR, at similarity 0.5.

    Leaving a person and a track single costs their lengths; joining them costs that less twice their common
    timesteps. So the cheapest assignment is the one with the most common timesteps.
    """
    if sequence.is_one_sided:
        return Identity(0.0, 0.0, 0.0)
    together = np.zeros((sequence.truth_count, sequence.predicted_count))
    for (truth, predicted), similarity in zip(sequence.pairs(), sequence.similarities, strict=True):
        rows, columns = np.nonzero(similarity >= _THRESHOLD)
        together[truth[rows], predicted[columns]] += 1
    hits = float(together[_assign(together)].sum())
    truth_total, predicted_total = int(sequence.truth_rows.sum()), int(sequence.predicted_rows.sum())
    return Identity(idf1=2 * hits / (truth_total + predicted_total), idp=hits / predicted_total, idr=hits / truth_total)


def _hota_matches(sequence: TrackingSequence) -> tuple[Indices, Indices, NDArray[np.float64]]:
    """Matches each timestep once for all thresholds.

    Returns:
        Truth ids, predicted ids and similarities of all matches, ``(M,)`` each.
    """
    alignment = _alignment(sequence)
    truths, tracks, similarities = [], [], []
    for (truth, predicted), similarity in zip(sequence.pairs(), sequence.similarities, strict=True):
        rows, columns = _assign(alignment[np.ix_(truth, predicted)] * similarity)
        truths.append(truth[rows])
        tracks.append(predicted[columns])
        similarities.append(similarity[rows, columns])
    return np.concatenate(truths), np.concatenate(tracks), np.concatenate(similarities)


def _alignment(sequence: TrackingSequence) -> NDArray[np.float64]:
    """Says how well whole tracks fit, ``(truth_count, predicted_count)`` in 0-1.

    Source: TrackEval's global alignment score: the Jaccard index of two tracks, each common timestep weighted by how
    much of all similarity in its row and column the pair has.
    """
    common = np.zeros((sequence.truth_count, sequence.predicted_count))
    for (truth, predicted), similarity in zip(sequence.pairs(), sequence.similarities, strict=True):
        whole = similarity.sum(axis=0) + similarity.sum(axis=1, keepdims=True) - similarity
        share = np.divide(similarity, whole, out=np.zeros_like(similarity), where=whole > _EPSILON)
        common[np.ix_(truth, predicted)] += share
    return common / (sequence.truth_rows[:, np.newaxis] + sequence.predicted_rows - common)


def _assign(weight: NDArray[np.float64]) -> tuple[Indices, Indices]:
    """Finds the one-to-one assignment of the largest total weight."""
    rows, columns = linear_sum_assignment(weight, maximize=True)
    return rows.astype(np.int64), columns.astype(np.int64)
