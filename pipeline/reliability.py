"""Whether the probabilities of the second pass come true: what it says of pairs of tracklets against what is so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betaincinv, expit

from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.likeness import MIN_TRACKLETS, Mask, Matrix, find_apart, judge_pairs
from reid_pipeline.pipeline.replay_reid import ReidReplay, record
from reid_pipeline.pipeline.sightings import Sightings
from reid_pipeline.storage.records import GalleryRow

STEP: Final = 1.0  # log-odds of a bin
_TAIL: Final = 0.025


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs of which about the same is said.

    Attributes:
        low: Least log-odds of the bin; it ends `STEP` above.
        pairs: How many are in it, at least one.
        stated: Mean of the stated probabilities.
        same: How many are one person.
    """

    low: float
    pairs: int
    stated: float
    same: int

    @property
    def observed(self) -> float:
        """Part of the pairs that are one person."""
        return self.same / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true part lies with 95 % confidence, if the pairs say nothing about each other.

        They do, as each tracklet is in many of them: in truth it is wider.

        Source:
            Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, 1934.
        """
        others = self.pairs - self.same
        low = float(betaincinv(self.same, others + 1, _TAIL)) if self.same else 0.0
        high = float(betaincinv(self.same + 1, others, 1.0 - _TAIL)) if others else 1.0
        return low, high


@dataclass(frozen=True, slots=True)
class Reliability:
    """Stated and observed over all pairs: `bins` from the least probable on, without empty ones."""

    bins: tuple[ReliabilityBin, ...]

    @property
    def pairs(self) -> int:
        """How many pairs were judged."""
        return sum(each.pairs for each in self.bins)

    @property
    def error(self) -> float:
        """Distance of stated and observed, 0-1, the mean over all pairs: the expected calibration error.

        Source:
            Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3, with other bins.
        """
        return sum(abs(each.stated - each.observed) * each.pairs for each in self.bins) / max(self.pairs, 1)

    def as_dict(self) -> dict[str, object]:
        """What `summary.json` holds."""
        return {
            "pairs": self.pairs,
            "one_person": sum(each.same for each in self.bins),
            "one_person_stated": round(sum(each.stated * each.pairs for each in self.bins), 1),
            "calibration_error": round(self.error, 6),
            "bins": [_fields(each) for each in self.bins],
        }


def measure_reliability(log_odds: Matrix, same: Mask) -> Reliability:
    """Sorts pairs into bins.

    Args:
        log_odds: ``(P,)``, stated that each pair is one person.
        same: ``(P,)``, whether it is.
    """
    places = np.floor(log_odds / STEP).astype(np.int64)
    probability = expit(log_odds)
    bins = []
    for place in np.unique(places).tolist():
        inside = places == place
        stated = float(probability[inside].mean())
        bins.append(ReliabilityBin(place * STEP, int(inside.sum()), stated, int(same[inside].sum())))
    return Reliability(tuple(bins))


def judge_replay(result: ReidReplay, embeddings: Embeddings, memory_us: int) -> Reliability | None:
    """Judges the pairs of a replay again that the second pass judged; None where there were too few tracklets for it.

    Args:
        result: The replay.
        embeddings: ``(C, D)`` of its crops.
        memory_us: How long the association remembers.
    """
    sightings = Sightings(memory_us)
    sightings.restore(_rows(result, embeddings))
    known = sightings.known()
    if len(known) < MIN_TRACKLETS:
        return None
    persons = {tracklet.key: tracklet.person for tracklet in result.tracklets}
    people = np.array([persons[each.key] for each in known])
    cameras = np.unique([each.key[0] for each in known], return_inverse=True)[1].astype(np.int64)
    times = np.array([(each.first_us, each.last_us) for each in known], np.int64)
    apart = find_apart(cameras, times[:, 0], times[:, 1])
    judged = judge_pairs(np.stack([each.look for each in known]), cameras, apart)
    pairs = np.triu(~apart, 1)
    return measure_reliability(judged.log_odds[pairs], (people[:, None] == people[None])[pairs])


def _rows(result: ReidReplay, embeddings: Embeddings) -> Iterator[GalleryRow]:
    for tracklet in result.tracklets:
        identity = result.replayed.identities.get(tracklet.key)
        for view in record(tracklet, embeddings).views if identity is not None else ():
            yield GalleryRow(
                identity or 0,
                *tracklet.key,
                view.time_us,
                view.quality,
                view.embedding,
                tracklet.start_us,
                tracklet.end_us,
            )


def _fields(one: ReliabilityBin) -> dict[str, float]:
    low95, high95 = one.interval
    return {
        "log_odds": one.low,
        "pairs": one.pairs,
        "one_person": one.same,
        "stated": round(one.stated, 6),
        "observed": round(one.observed, 6),
        "observed_low95": round(low95, 6),
        "observed_high95": round(high95, 6),
    }
