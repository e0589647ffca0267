"""How good an encoder is on a site whose people nobody has named: figures from held-out tracklets alone.

What a tracker knows for sure stands in for labels. The two halves of a tracklet are one person; tracklets that one
camera saw at one time are two. From these:

- `true_positive_rate`: part of the tracklets whose halves are more alike than (nearly) all pairs of co-visible people.
- `retrieval`: average precision with which a first half finds its second half among those of all tracklets.
- `round_trip`: part of the tracklets that come back to themselves from their nearest neighbour in another camera. Same
  person or not, who is not told from others across cameras does not find the way back.
- `camera_bias`: share of the own camera among the nearest neighbours, over what chance would give; 1 is none.
- `effective_rank`, `mean_cosine`: whether embeddings still fill their space. A collapsed encoder scores 1 and 1.

Sources: the effective rank after Roy and Vetterli, "The effective rank: A measure of effective dimensionality", 2007;
the way there and back after Wang et al., "Learning Correspondence from the Cycle-Consistency of Time", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.learning.material import Material, Rows, find_covisible
from reid_pipeline.pipeline.datatypes import Embeddings

Floats = NDArray[np.float64]

FALSE_POSITIVE_RATE: Final = 1e-3
_NEAREST: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an encoder makes of T held-out tracklets, one entry for each that has two crops or more, H of them.

    Attributes:
        halves: ``(H,)``, similarity of the two halves.
        strangers: ``(S,)``, similarities of co-visible tracklets.
        pairs: ``(S, 2)``, which ones, by position among the H.
        precision: ``(H,)``, average precision of finding the second half: 1 over its rank.
        returned: ``(H,)``, part of the other cameras from which it came back, 0-1; nan where there is no other.
        camera_bias: See the module.
        effective_rank: See the module.
        mean_cosine: See the module.
    """

    halves: Floats
    strangers: Floats
    pairs: Rows
    precision: Floats
    returned: Floats
    camera_bias: float
    effective_rank: float
    mean_cosine: float

    def figures(self) -> dict[str, float]:
        """The figures by name."""
        everybody = np.ones(len(self.halves))
        return {
            "true_positive_rate": self.true_positive_rate(everybody),
            "retrieval": self.retrieval(everybody),
            "round_trip": self.round_trip(everybody),
            "camera_bias": self.camera_bias,
            "effective_rank": self.effective_rank,
            "mean_cosine": self.mean_cosine,
        }

    def true_positive_rate(self, weights: Floats) -> float:
        """See the module; ``weights (H,)`` say how often each tracklet counts.

        Where there are too few strangers for a false positive rate of `FALSE_POSITIVE_RATE`, the likest is the limit.
        """
        if not len(self.strangers):
            return float("nan")
        order = np.argsort(-self.strangers, kind="stable")
        counts = np.cumsum(weights[self.pairs[order]].prod(axis=1))
        beyond = np.searchsorted(counts, FALSE_POSITIVE_RATE * counts[-1], side="right")
        limit = self.strangers[order[min(beyond, len(order) - 1)]]
        return float(np.average(self.halves > limit, weights=weights))

    def retrieval(self, weights: Floats) -> float:
        """See the module, 0-1."""
        return float(np.average(self.precision, weights=weights))

    def round_trip(self, weights: Floats) -> float:
        """See the module, 0-1."""
        known = ~np.isnan(self.returned) & (weights > 0)
        return float(np.average(self.returned[known], weights=weights[known])) if known.any() else float("nan")


def examine(embeddings: Embeddings, held_out: Material) -> Evidence:
    """Examines an encoder by its embeddings ``(N, D)`` of norm 1 of the held-out crops."""
    first, second, rows = mean_halves(embeddings, held_out)
    cameras = held_out.cameras[rows]
    among = np.full(len(held_out), -1)
    among[rows] = np.arange(len(rows))
    pairs = among[find_covisible(held_out)]
    pairs = pairs[(pairs >= 0).all(axis=1)]
    alike = np.asarray(first @ second.T, np.float64)
    own = np.diag(alike)
    rank = 1 + (alike > own[:, None]).sum(axis=1) + ((alike == own[:, None]).sum(axis=1) - 1) / 2.0
    return Evidence(
        own.copy(),
        alike[pairs[:, 0], pairs[:, 1]],
        pairs,
        1.0 / rank,
        _return(first, second, cameras),
        _camera_bias(first, second, cameras),
        _effective_rank(embeddings),
        _mean_cosine(embeddings),
    )


def mean_halves(embeddings: Embeddings, held_out: Material) -> tuple[Embeddings, Embeddings, Rows]:
    """Means of the first and of the second half of each tracklet of two crops or more ``(H, D)``, and which it is."""
    begins = held_out.begins()
    counts = np.diff(begins)
    rows = np.flatnonzero(counts >= 2)
    starts, ends = begins[:-1][rows], begins[1:][rows]
    cuts = np.stack([starts, (starts + ends) // 2], axis=1).ravel()
    ends_of = np.stack([(starts + ends) // 2, ends], axis=1).ravel()
    sums = np.concatenate([np.zeros((1, embeddings.shape[1])), np.cumsum(embeddings, axis=0, dtype=np.float64)])
    means = sums[ends_of] - sums[cuts]
    means = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return means[0::2], means[1::2], rows


def _return(first: Embeddings, second: Embeddings, cameras: Rows) -> Floats:
    """To the nearest in each other camera and back: whether the second half of the same tracklet is the nearest."""
    came_back = np.zeros(len(first))
    tried = np.zeros(len(first))
    for camera in np.unique(cameras):
        mine = np.flatnonzero(cameras == camera)
        for other in np.unique(cameras[cameras != camera]):
            there = np.flatnonzero(cameras == other)
            visited = there[(first[mine] @ first[there].T).argmax(axis=1)]
            back = mine[(first[visited] @ second[mine].T).argmax(axis=1)]
            came_back[mine] += back == mine
            tried[mine] += 1
    return np.divide(came_back, tried, out=np.full(len(first), np.nan), where=tried > 0)


def _camera_bias(first: Embeddings, second: Embeddings, cameras: Rows) -> float:
    """Nearest neighbours in the own camera, the own tracklet left out, over their number by chance."""
    alike = first @ second.T
    np.fill_diagonal(alike, -np.inf)
    near = np.argsort(-alike, axis=1, kind="stable")[:, : min(_NEAREST, len(first) - 1)]
    if not near.size:
        return 1.0
    own = (cameras[near] == cameras[:, None]).mean(axis=1)
    expected = (np.bincount(cameras)[cameras] - 1) / (len(cameras) - 1)
    return float(own.sum() / max(expected.sum(), 1e-9))


def _effective_rank(embeddings: Embeddings) -> float:
    """The exponential of the entropy of the covariance's eigenvalues; nan where the embeddings are no numbers."""
    if not np.isfinite(embeddings).all():
        return float("nan")
    centred = embeddings - embeddings.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T.astype(np.float64) @ centred).clip(1e-12)
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _mean_cosine(embeddings: Embeddings) -> float:
    """Mean similarity of two crops."""
    count = len(embeddings)
    total = float(np.square(embeddings.sum(axis=0, dtype=np.float64)).sum())
    return (total - count) / max(count * (count - 1), 1)
