"""Who of all that were seen may be the one that is searched for: tracklets, ranked by calibrated probability.

A search looks at every tracklet, in blocks, or at those of very many that `search_candidates` chooses. A query has a
look for each model that it is known by, and a tracklet is compared by each model that it was seen with; what counts is
the most that any of them says.

A query of several pictures or sightings is the mean of their looks: a tracklet is as alike as it is to each of them on
average. That ranks better than the likest one, and its probability stays as calibrated: log-odds grow evenly with the
similarity, so the mean of the similarities is the mean of the log-odds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.calibration import Calibration
from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.reranking import rerank
from reid_pipeline.pipeline.tracklet_looks import SeenTracklet, TrackletLooks, read_looks
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter

ENOUGH: Final = 0.5  # below this probability it is rather somebody else
RERANKED: Final = 200  # hits that are put in a better order


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is searched for.

    Attributes:
        looks: By model hash ``(D,)``: the mean of its looks, so that an inner product is the mean of the similarities.
        camera: Where it was seen; None where that was in several, or is not known.
        own: The tracklets that it is made of. They are not found, nor whom their camera saw beside them.
        counts: By model hash: of how many looks it is the mean; 1 where that is not said.
        rejected: Tracklets that somebody said are another person.
    """

    looks: Mapping[str, Look]
    camera: str | None = None
    own: tuple[SeenTracklet, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    rejected: frozenset[TrackletKey] = frozenset()

    def leaves_out(self, tracklet: SeenTracklet) -> bool:
        """Whether a tracklet is the query itself, or certainly somebody else."""
        rejected = (tracklet.camera, tracklet.number) in self.rejected
        return rejected or any(_is_same_or_beside(tracklet, own) for own in self.own)


def combine(queries: Sequence[Query]) -> Query:
    """One query for one person out of several, at least one: every picture and every tracklet counts alike."""
    looks, counts = {}, {}
    for model_hash in dict.fromkeys(each for query in queries for each in query.looks):
        known = [
            (query.looks[model_hash], query.counts.get(model_hash, 1)) for query in queries if model_hash in query.looks
        ]
        counts[model_hash] = sum(count for _, count in known)
        total: Look = np.sum([look * np.float32(count) for look, count in known], axis=0)
        looks[model_hash] = total / np.float32(counts[model_hash])
    cameras = {query.camera for query in queries}
    own = tuple(dict.fromkeys(each for query in queries for each in query.own))
    rejected = frozenset().union(*(query.rejected for query in queries))
    return Query(looks, cameras.pop() if len(cameras) == 1 else None, own, counts, rejected)


def refine(query: Query, accepted: Sequence[Query], rejected: Iterable[TrackletKey]) -> Query:
    """A query after somebody has looked at its hits.

    Args:
        query: What was searched for.
        accepted: Queries of the hits that are the person: their looks join in; whom a camera saw beside them goes.
        rejected: The hits that are not. They are not found again; nothing follows for those seen beside them.
    """
    return replace(combine([query, *accepted]), rejected=query.rejected | frozenset(rejected))


@dataclass(frozen=True, slots=True)
class Hit:
    """A tracklet that was found: how alike it is, and the probability that it is the one.

    ``model_hash`` is the model that says so, ``look`` ``(D,)`` the mean of the tracklet's views by it.
    """

    tracklet: SeenTracklet
    similarity: float
    probability: float
    model_hash: str = field(repr=False)
    look: Look = field(compare=False, repr=False)

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
            judge = _Judge(calibration, model_hash, query.camera, share)
            for hit in _rate(rest, similarities, judge, top_k):
                key = (hit.tracklet.camera, hit.tracklet.number)
                best[key] = min(hit, best.get(key, hit), key=lambda each: each.order)
            best = dict(sorted(best.items(), key=lambda item: item[1].order)[:top_k])
    return Found(tuple(best.values()), compared)


def reorder(query: Query, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Puts the first `RERANKED` of some hits in the order that their neighbourhoods say; see `reranking`.

    The probabilities stay as they are calibrated, and nobody comes before somebody with enough evidence who has not:
    the order changes only among those whom the evidence does not part. Neighbourhoods are of one model; where hits are
    by several, those of each change places among themselves.

    Args:
        query: What was searched for.
        hits: As `search` has found them, the best first.
    """
    placed = list(hits)
    for model_hash in dict.fromkeys(hit.model_hash for hit in hits[:RERANKED]):
        places = [place for place, hit in enumerate(hits[:RERANKED]) if hit.model_hash == model_hash]
        mine = [hits[place] for place in places]
        look = query.looks[model_hash] / max(float(np.linalg.norm(query.looks[model_hash])), 1e-9)
        distances = rerank(look, np.stack([hit.look for hit in mine])).tolist()
        order = sorted(
            range(len(mine)), key=lambda row: (not mine[row].enough_evidence, distances[row], mine[row].order)
        )
        for place, row in zip(places, order, strict=True):
            placed[place] = mine[row]
    return tuple(placed)


def _read_blocks(repository: Repository, model_hash: str, parts: Iterable[ViewFilter]) -> Iterator[TrackletLooks]:
    for wanted in parts:
        yield from read_looks(repository, model_hash, wanted)


@dataclass(frozen=True, slots=True)
class _Judge:
    calibration: Calibration
    model_hash: str
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
        alike, likely = float(similarities[place]), float(probability[place])
        yield Hit(block.tracklets[place], alike, likely, judge.model_hash, block.looks[place])


def _without(block: TrackletLooks, query: Query) -> TrackletLooks:
    keep = [place for place, each in enumerate(block.tracklets) if not query.leaves_out(each)]
    return TrackletLooks(tuple(block.tracklets[place] for place in keep), block.looks[keep])


def _is_same_or_beside(one: SeenTracklet, other: SeenTracklet) -> bool:
    if one.camera != other.camera or one.run_id != other.run_id:
        return False
    return one.number == other.number or (one.first_us <= other.last_us and other.first_us <= one.last_us)
