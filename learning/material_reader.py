"""A site's corpus as `Material`: all crops decoded once, at a network's input size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from reid_pipeline.learning.crop_pool import Pool, Size, fit
from reid_pipeline.learning.errors import ThinMaterial
from reid_pipeline.learning.material import Material, Rows
from reid_pipeline.storage.corpus_records import CorpusItem, CorpusTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import open_database


def read_material(
    data_dir: Path,
    size: Size,
    report: Callable[[int, int], None] = lambda *_: None,
    most_bytes: int | None = None,
) -> Material:
    """Reads the corpus of a site.

    Args:
        data_dir: Folder of the site.
        size: Height and width of the crops in pixels.
        report: Told how many crops of how many are read, now and then.
        most_bytes: Of the crops in memory; the newest tracklets that fit in. None: all.

    Raises:
        DataDirError: There is no site.
        ThinMaterial: Its corpus is empty.
    """
    with open_database(data_dir, create=False) as database:
        store = CorpusStore(database)
        tracklets = {each.id: each for each in store.tracklets()}
        if most_bytes is not None:
            tracklets = _newest(tracklets, store, most_bytes // (3 * size[0] * size[1]))
        items = [item for item in store.items() if item.tracklet in tracklets]  # a run may add some meanwhile
        pool = np.empty((len(items), *size, 3), np.uint8)
        kept = list(_decode(store, items, pool, report))
    if not kept:
        raise ThinMaterial(f"{data_dir}: the corpus is empty: `run` the site, or: reid-pipeline corpus import PATH")
    return _assemble(kept, tracklets, pool[: len(kept)])


def _newest(tracklets: dict[int, CorpusTracklet], store: CorpusStore, most_crops: int) -> dict[int, CorpusTracklet]:
    """The last tracklets to begin, as many as have no more crops than that together."""
    counts = Counter(item.tracklet for item in store.items())
    kept = {}
    for each in reversed(tracklets.values()):  # they come in order of their beginnings
        most_crops -= counts[each.id]
        if most_crops < 0:
            break
        kept[each.id] = each
    return kept


def _decode(
    store: CorpusStore, items: list[CorpusItem], pool: Pool, report: Callable[[int, int], None]
) -> Iterator[CorpusItem]:
    """Fills a pool with the crops, one after the other, and gives those that could be read."""
    place = 0
    for item, jpeg in store.read(items):
        crop = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if crop is None:
            continue
        pool[place] = fit(np.asarray(crop, np.uint8), (pool.shape[1], pool.shape[2]))
        place += 1
        if place % 500 == 0:
            report(place, len(items))
        yield item
    report(len(items), len(items))


def _assemble(items: list[CorpusItem], tracklets: dict[int, CorpusTracklet], pool: Pool) -> Material:
    ids = np.array([item.tracklet for item in items])
    first = np.concatenate([[True], ids[1:] != ids[:-1]])  # items come tracklet by tracklet
    known = [tracklets[each] for each in ids[first].tolist()]
    names = tuple(sorted({each.camera for each in known}))
    return Material(
        crops=pool,
        tracklets=(np.cumsum(first) - 1).astype(np.int64),
        times_us=_column([item.time_us for item in items]),
        cameras=_column([names.index(each.camera) for each in known]),
        camera_names=names,
        runs=_column([each.run for each in known]),
        first_us=_column([each.first_us for each in known]),
        last_us=_column([each.last_us for each in known]),
    )


def _column(values: list[int]) -> Rows:
    return np.array(values, np.int64)
