"""The newest lines of `events.ndjson` about zones, for figures: the file may be large, so only its end is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.site_files import EVENTS

MOST_BYTES: Final = 4_000_000
"""Some 15,000 events: they are read in a tenth of a second."""


@dataclass(frozen=True, slots=True)
class ZoneVisit:
    """Somebody entered a zone, or left it; of who left, how long they were in it.

    Attributes:
        camera: Name of the camera.
        zone: Name of the zone.
        time_us: Capture time.
        dwell_s: None: they entered.
    """

    camera: str
    zone: str
    time_us: int
    dwell_s: float | None


def recent_zone_visits(
    data_dir: Path, access: Access, since_us: int = 0, until_us: int | None = None, most_bytes: int = MOST_BYTES
) -> tuple[ZoneVisit, ...]:
    """The entries and exits at the end of the events, in the order of the file.

    Args:
        data_dir: Of the site.
        access: Of who looks: events of other cameras are left out.
        since_us: From when on.
        until_us: Until when, excluded; None: for ever.
        most_bytes: How much of the file is read.

    Raises:
        NotAllowed: They may see nothing.
    """
    access.require(Permission.SEE)
    visits = (_visit(line) for line in _last_lines(data_dir / EVENTS, most_bytes))
    return tuple(
        visit
        for visit in visits
        if visit is not None
        and access.sees(visit.camera)
        and since_us <= visit.time_us
        and (until_us is None or visit.time_us < until_us)
    )


def _last_lines(path: Path, most_bytes: int) -> Iterator[bytes]:
    """The whole lines among the last bytes of a file; none where there is no file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(size - most_bytes, 0)
        file.seek(max(begin - 1, 0))
        if begin:
            file.readline()
        yield from file.readlines()


def _visit(line: bytes) -> ZoneVisit | None:
    """None for other events, and for a line that is being written."""
    if b'"enter"' not in line and b'"leave"' not in line:
        return None
    with suppress(ValueError, KeyError, TypeError):
        event = json.loads(line)
        if event["type"] in ("enter", "leave"):
            dwell_s = None if event["type"] == "enter" else float(event["dwell_s"])
            time_us = round(datetime.fromisoformat(event["time"]).timestamp() * 1_000_000)
            return ZoneVisit(str(event["camera"]), str(event["zone"]), time_us, dwell_s)
    return None
