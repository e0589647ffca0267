"""Who of all that were seen may be the one that is searched for: tracklets, ranked by calibrated probability.

A search looks at every tracklet, in blocks, or at those of very many that `search_candidates` chooses. A query has a
look for each model that it is known by, and a tracklet is compared by each model that it was seen with; what counts is
the most that any of them says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.calibration import Calibration
from reid_pipeline.pipeline.tracklet_looks import SeenTracklet, TrackletLooks, read_looks
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter

ENOUGH: Final = 0.5  # below this probability it is rather somebody else


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is searched for.

    Attributes:
        looks: By model hash ``(D,)``: the mean of its looks, so that an inner product is the mean of the similarities.
        camera: Where it was seen; None where that was in several, or is not known.
        own: The tracklets that it is made of. They are not found, nor whom their camera saw beside them.
    """

    looks: Mapping[str, Look]
    camera: str | None = None
    own: tuple[SeenTracklet, ...] = ()

    def leaves_out(self, tracklet: SeenTracklet) -> bool:
        """Whether a tracklet is the query itself, or certainly somebody else."""
        return any(_is_same_or_beside(tracklet, own) for own in self.own)


@dataclass(frozen=True, slots=True)
class Hit:
    """A tracklet that was found: how alike it is, and the probability that it is the one."""

    tracklet: SeenTracklet
    similarity: float
    probability: float

    @property
    def enough_evidence(self) -> bool:
        """Whether it is the one rather than not."""
        return self.probability >= ENOUGH

    @property
    def order(self) -> tuple[float, float, str, int]:
        """What hits are sorted by."""
        return -self.probability, -self.similarity, self.tracklet.camera, self.tracklet.number


@dataclass(frozen=True, slots=True)
class Found:
    """The hits, the best first, and how many tracklets were compared by each model."""

    hits: tuple[Hit, ...]
    compared: Mapping[str, int]


Narrow = Callable[[str, Query, ViewFilter, int], Iterable[ViewFilter]]


def everybody(_model_hash: str, _query: Query, wanted: ViewFilter, _top_k: int) -> Iterable[ViewFilter]:
    """Leaves nobody out who is wanted."""
    return (wanted,)


def search(
    repository: Repository,
    query: Query,
    wanted: ViewFilter,
    top_k: int,
    calibrate: Callable[[str], Calibration],
    narrow: Narrow = everybody,
) -> Found:
    """Ranks the tracklets of a site.

    Args:
        repository: Of the site.
        query: What is searched for.
        wanted: Among which tracklets.
        top_k: How many to give at most.
        calibrate: Gives what similarities mean, by model hash.
        narrow: Gives which of the wanted are worth comparing, by model hash; no tracklet twice.
    """
    tracklets = repository.totals().tracklets
    best: dict[tuple[str, int], Hit] = {}
    compared = dict.fromkeys(query.looks, 0)
    for model_hash, look in query.looks.items():
        calibration = calibrate(model_hash)
        share = calibration.share_among(tracklets)
        for block in _read_blocks(repository, model_hash, narrow(model_hash, query, wanted, top_k)):
            rest = _without(block, query)
            compared[model_hash] += len(rest.tracklets)
            # Row by row, so that a similarity does not depend on the block that it is computed in.
            similarities = np.einsum("nd,d->n", rest.looks, look)
            for hit in _rate(rest, similarities, _Judge(calibration, query.camera, share), top_k):
                key = (hit.tracklet.camera, hit.tracklet.number)
                best[key] = min(hit, best.get(key, hit), key=lambda each: each.order)
            best = dict(sorted(best.items(), key=lambda item: item[1].order)[:top_k])
    return Found(tuple(best.values()), compared)


def _read_blocks(repository: Repository, model_hash: str, parts: Iterable[ViewFilter]) -> Iterator[TrackletLooks]:
    for wanted in parts:
        yield from read_looks(repository, model_hash, wanted)


@dataclass(frozen=True, slots=True)
class _Judge:
    calibration: Calibration
    camera: str | None
    share: float


def _rate(block: TrackletLooks, similarities: Look, judge: _Judge, top_k: int) -> Iterator[Hit]:
    """The best hits of a block."""
    cameras = np.array([each.camera for each in block.tracklets], np.str_)
    probability = np.zeros(len(cameras))
    for camera in np.unique(cameras).tolist():
        there = cameras == camera
        alike = similarities[there].astype(np.float64)
        probability[there] = judge.calibration.probability(alike, judge.camera, camera, judge.share)
    for place in np.lexsort((-similarities, -probability))[:top_k].tolist():
        yield Hit(block.tracklets[place], float(similarities[place]), float(probability[place]))


def _without(block: TrackletLooks, query: Query) -> TrackletLooks:
    keep = [place for place, each in enumerate(block.tracklets) if not query.leaves_out(each)]
    return TrackletLooks(tuple(block.tracklets[place] for place in keep), block.looks[keep])


def _is_same_or_beside(one: SeenTracklet, other: SeenTracklet) -> bool:
    if one.camera != other.camera or one.run_id != other.run_id:
        return False
    return one.number == other.number or (one.first_us <= other.last_us and other.first_us <= one.last_us)
