"""The mean look of stored tracklets, read in blocks: however many there are, only a few are in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look, weigh_view
from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import TrackletViews, ViewFilter

_BLOCK: Final = 2_000  # tracklets


@dataclass(frozen=True, slots=True)
class SeenTracklet:
    """A stored tracklet: camera, number, the run that found it, who it is (None: nobody has decided) and its times."""

    camera: str
    number: int
    run_id: int
    identity: int | None
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, eq=False)
class TrackletLooks:
    """N tracklets and the means of their views by one model, weighted by quality: ``(N, D) float32`` of norm 1."""

    tracklets: tuple[SeenTracklet, ...]
    looks: Embeddings


def read_looks(repository: Repository, model_hash: str, wanted: ViewFilter) -> Iterator[TrackletLooks]:
    """Reads tracklets that have views by a model, by camera and number; no block is empty."""
    views = repository.tracklet_views(model_hash, wanted)
    while block := list(islice(views, _BLOCK)):
        yield TrackletLooks(tuple(_seen(each) for each in block), np.stack([mean_look(each) for each in block]))


def read_all_looks(repository: Repository, model_hash: str, wanted: ViewFilter) -> TrackletLooks | None:
    """The same in one block, where `wanted` lets only few in; None where there is none."""
    blocks = list(read_looks(repository, model_hash, wanted))
    if not blocks:
        return None
    tracklets = tuple(each for block in blocks for each in block.tracklets)
    return TrackletLooks(tracklets, np.concatenate([block.looks for block in blocks]))


def mean_look(views: TrackletViews) -> Look:
    """The mean of a tracklet's views ``(D,)``, weighted as everywhere, of norm 1."""
    weighted = [weigh_view(*view) for view in zip(views.vectors, views.qualities.tolist(), strict=True)]
    total: Look = np.sum(weighted, axis=0)
    look: Look = total / max(float(np.linalg.norm(total)), 1e-9)
    return look


def _seen(views: TrackletViews) -> SeenTracklet:
    return SeenTracklet(views.camera, views.number, views.run_id, views.identity, views.first_us, views.last_us)
