"""What "alike" means, learnt from people who are certainly different; and the looks of one frame's boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes
from reid_pipeline.pipeline.protocols import Appearance

Look = NDArray[np.float32]


_LEAST_QUALITY: Final = 1e-3  # a view of no quality still tells a direction


def weigh_view(embedding: Look, quality: float) -> Look:
    """A view ``(D,)`` of norm 1 as it counts in the sum of a person's views: by its quality, 0-1."""
    weighted: Look = embedding * np.float32(max(quality, _LEAST_QUALITY))
    return weighted


class AppearanceScale:
    """Expresses a similarity of looks in standard deviations above that of two different people.

    Every encoder has its own range of inner products, and every camera its own light. The similarities of people who
    are certainly different, as those in one frame are, show where "different" lies; no threshold on a cosine is needed.

    Args:
        prior: Mean and standard deviation to begin with, from the encoder's card; None where it tells none.
    """

    # Where the encoders that were tried start. A prior is worth as much as so many observed pairs.
    _USUAL, _USUAL_PAIRS, _PRIOR_PAIRS = (0.5, 0.12), 10.0, 40.0
    _MEMORY = 2000.0  # pairs; older ones fade, so that the scale follows the light of the day

    def __init__(self, prior: tuple[float, float] | None = None) -> None:
        self._prior_mean, self._prior_deviation = prior or self._USUAL
        self._prior_pairs = self._USUAL_PAIRS if prior is None else self._PRIOR_PAIRS
        self._pairs = 0.0
        self._mean = 0.0
        self._variance = 0.0

    def learn(self, similarity: float) -> None:
        """Takes in the similarity of two people who are certainly different."""
        self._mix(1, similarity, 0.0)

    def learn_all(self, similarities: NDArray[np.float32]) -> None:
        """Takes in the similarities ``(N,)`` of several people who are certainly different."""
        if len(similarities):
            self._mix(len(similarities), float(similarities.mean()), float(similarities.var()))

    def _mix(self, pairs: int, mean: float, variance: float) -> None:
        """Adds pairs whose mean and variance are known."""
        self._pairs = min(self._pairs + pairs, self._MEMORY)
        share = min(pairs / self._pairs, 1.0)
        delta = mean - self._mean
        self._mean += share * delta
        self._variance += share * (variance - self._variance + (1.0 - share) * delta**2)

    def score(self, similarity: float) -> float:
        """Deviations above the mean of different people: 0 is usual for two people, 2 is rare."""
        mean, deviation = self.different()
        return (similarity - mean) / deviation

    def similarity(self, score: float) -> float:
        """The similarity that has a score."""
        mean, deviation = self.different()
        return mean + score * deviation

    def different(self) -> tuple[float, float]:
        """Mean and standard deviation of the similarity of two different people."""
        # Mean and variance are mixed with the prior each on its own: an encoder whose mean lies elsewhere is not
        # thereby one that spreads wide.
        trust = self._pairs / (self._pairs + self._prior_pairs)
        mean = self._prior_mean + trust * (self._mean - self._prior_mean)
        variance = self._prior_deviation**2 + trust * (self._variance - self._prior_deviation**2)
        return mean, math.sqrt(variance)


class LookOdds:
    """How much more likely a similarity of looks is of one person than of two, within one camera.

    Both are normally distributed here. Who is different is seen in every frame (`AppearanceScale`); who is the same is
    seen where motion leaves no doubt. Beside each other they say how far an encoder can be trusted in this camera: one
    that hardly tells people apart gives odds near nought.
    """

    # Where the encoders that were tried start, in deviations of different people; worth as many observed pairs.
    _USUAL, _USUAL_PAIRS = (3.5, 1.2), 20.0
    _MEMORY = 500.0  # pairs; older ones fade
    # What motion leaves no doubt of is seen from the same side; looks of one person spread wider after a turn.
    _WIDER = 1.3
    _LEAST_DEVIATION, _LEAST_DISTANCE = 0.7, 1.0  # in deviations of different people

    def __init__(self) -> None:
        self._different = AppearanceScale()
        self._pairs = 0.0
        self._mean = 0.0
        self._variance = 0.0

    def learn_different(self, similarity: float) -> None:
        """Takes in the similarity of two people."""
        self._different.learn(similarity)

    def learn_same(self, similarity: float) -> None:
        """Takes in the similarity of two looks of one person."""
        self._pairs = min(self._pairs + 1.0, self._MEMORY)
        share, delta = 1.0 / self._pairs, similarity - self._mean
        self._mean += share * delta
        self._variance += share * ((1.0 - share) * delta**2 - self._variance)

    def log_odds(self, similarity: float) -> float:
        """Logarithm of the ratio of the two likelihoods: above 0 it is rather one person.

        It never falls as the similarity grows: beyond the mean of the same person it stays, and below the usual
        strangers too.
        """
        mean, deviation = self._different.different()
        same_mean, same_deviation = self._same(mean, deviation)
        within = min(max(similarity, mean - deviation), same_mean)
        other, same = (within - mean) / deviation, (within - same_mean) / same_deviation
        return (other**2 - same**2) / 2.0 + math.log(deviation / same_deviation)

    def _same(self, mean: float, deviation: float) -> tuple[float, float]:
        """Mean and standard deviation of the similarity of one person's looks, given those of different people."""
        trust = self._pairs / (self._pairs + self._USUAL_PAIRS)
        usual = mean + self._USUAL[0] * deviation
        usual_variance = (self._USUAL[1] * deviation) ** 2
        spread = math.sqrt(usual_variance + trust * (self._variance - usual_variance))
        same_mean = max(usual + trust * (self._mean - usual), mean + self._LEAST_DISTANCE * deviation)
        # Wider than this, to be as unlike as usual strangers would speak for one person.
        most = math.sqrt(deviation * (same_mean - mean + deviation))
        return same_mean, min(max(self._WIDER * spread, self._LEAST_DEVIATION * deviation), most)


class Looks:
    """The embeddings of one frame's boxes, computed when first asked for."""

    def __init__(self, boxes: Boxes, appearance: Appearance | None) -> None:
        self._boxes = boxes
        self._appearance = appearance
        self._known: dict[int, Look] = {}

    def fetch(self, columns: Iterable[int]) -> None:
        """Encodes those boxes in one go that are not known yet; without an encoder nothing becomes known."""
        missing = [column for column in columns if column not in self._known]
        if missing and self._appearance is not None:
            embeddings = self._appearance(self._boxes[missing])
            self._known.update(zip(missing, embeddings, strict=True))

    def get(self, column: int) -> Look | None:
        """The look of one box, if it was fetched."""
        return self._known.get(column)

    def known(self) -> Iterable[tuple[int, Look]]:
        """All pairs (box, look) so far."""
        return self._known.items()
