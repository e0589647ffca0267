"""A site in which a few people were seen on several days, for what removes them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reid_pipeline.storage.corpus_records import CollectedCrop, CorpusCrop
from reid_pipeline.storage.records import (
    Changes,
    EventType,
    IdentityEvent,
    NewTracklet,
    TrackletEnd,
    View,
)
from tests.storage.conftest import NOON_US, SampleSite

DAY_US = 86_400_000_000
PEOPLE = 3  # identity n: tracklet n on day n, and tracklet PEOPLE + n on day n + 1


def time_of(number: int) -> int:
    """When a tracklet was seen."""
    return NOON_US + ((number - 1) % PEOPLE + (number - 1) // PEOPLE) * DAY_US


def secret(number: int) -> bytes:
    """Bytes that only a tracklet's crop, its embedding or its crop in the corpus has."""
    return b"\xff\xd8" + f"<picture of tracklet {number}>".encode()


def vector(number: int) -> np.ndarray:
    """The embedding of a tracklet: bytes that are nowhere else."""
    return np.frombuffer(f"vector of tracklet {number:03d}".ljust(64, ".").encode(), "<f4").astype(np.float32)


def fill(site: SampleSite) -> None:
    """Stores the people: identity 1 to `PEOPLE`, two tracklets each."""
    source = site.source().source_id
    for number in range(1, 2 * PEOPLE + 1):
        identity, time_us = (number - 1) % PEOPLE + 1, time_of(number)
        box = replace(site.box_run(number, [number]), times_us=np.array([time_us]))
        found = Changes(
            new_tracklets=(NewTracklet("hall", number, source, site.run_id, number, time_us),),
            boxes=(box,),
            ends=(TrackletEnd("hall", number),),
            views=(
                View("hall", number, number, time_us, 0.5, (1, 2, 3, 4), secret(number), vector(number), "m1", None),
            ),
            corpus=(CollectedCrop("hall", number, CorpusCrop(time_us, secret(number), 4, 8, 1.0, number)),),
            identity_events=(
                *((IdentityEvent(EventType.OPEN, time_us, identity),) if number <= PEOPLE else ()),
                IdentityEvent(EventType.ASSIGN, time_us, identity, camera="hall", number=number),
            ),
        )
        site.write(found)


def traces(site: SampleSite, number: int) -> list[str]:
    """The files in which bytes of a tracklet's pictures or vectors are, anywhere in the data folder."""
    looked_for = (secret(number)[2:], vector(number).tobytes())
    files = [path for path in site.data_dir.rglob("*") if path.is_file()]
    return [path.name for path in files if any(each in path.read_bytes() for each in looked_for)]
