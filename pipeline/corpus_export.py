"""The corpus as files: ``<camera>/<run>-<tracklet>/<time>.jpg`` and ``manifest.csv``, one line a crop."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from reid_pipeline.pipeline.corpus_import import Report
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.storage.corpus_records import CorpusFilter, CorpusItem, CorpusTracklet
from reid_pipeline.storage.corpus_store import CorpusStore

MANIFEST: Final = "manifest.csv"
_COLUMNS: Final = (
    *("file", "time", "width", "height", "quality"),
    *("camera", "run", "tracklet", "tracklet_begins", "tracklet_ends"),
)


def export_corpus(store: CorpusStore, folder: Path, wanted: CorpusFilter, report: Report) -> tuple[int, int]:
    """Writes crops into a folder, which is made.

    Args:
        store: The corpus.
        folder: Where to.
        wanted: Which tracklets.
        report: Told how many crops are done, of how many.

    Returns:
        How many tracklets and crops were written.

    Raises:
        InputError: The folder holds something, or cannot be written.
    """
    _prepare(folder)
    total = store.stats(wanted).crops
    tracklets, crops = 0, 0
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(_COLUMNS)
        for tracklet, pictures in _by_tracklet(store, wanted):
            rows = [_write(folder, tracklet, place, *each) for place, each in enumerate(pictures, start=1)]
            manifest.writerows(rows)
            tracklets, crops = tracklets + bool(rows), crops + len(rows)
            report(crops, total)
    return tracklets, crops


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty; expected a new or empty folder to export to")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written, {error.strerror}; expected a folder to export to") from error


def _by_tracklet(
    store: CorpusStore, wanted: CorpusFilter
) -> Iterator[tuple[CorpusTracklet, Iterable[tuple[CorpusItem, bytes]]]]:
    tracklets = {each.id: each for each in store.tracklets(wanted)}
    for key, pictures in groupby(store.read(store.items(wanted)), key=lambda picture: picture[0].tracklet):
        if key in tracklets:  # one that has begun since is left out
            yield tracklets[key], pictures


def _write(folder: Path, tracklet: CorpusTracklet, place: int, item: CorpusItem, jpeg: bytes) -> list[str]:
    moment = datetime.fromtimestamp(item.time_us // 1_000_000, UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{moment}.{item.time_us % 1_000_000:06}Z_{place:02}.jpg"
    file = Path(tracklet.camera, f"{tracklet.run}-{tracklet.number}", name)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(jpeg)
    seen = (iso_time(item.time_us), str(item.width), str(item.height), f"{item.quality:.3f}")
    of = (str(tracklet.run), str(tracklet.number), iso_time(tracklet.first_us), iso_time(tracklet.last_us))
    return [file.as_posix(), *seen, tracklet.camera, *of]
