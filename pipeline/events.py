"""`events.ndjson`: what happened, one JSON object a line, appended when it is stored for good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from reid_pipeline.configs.output_settings import EventName
from reid_pipeline.storage.line_file import LineFile

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Event:
    """One line. Fields that do not apply are null.

    Attributes:
        type: new, update (an identity was found), end, merge, split; enter, dwell, leave of a zone; alert for somebody
            who may be on a watch list; camera for a change of a camera's state.
        time: ISO-8601 with milliseconds, UTC: the capture time.
        camera: Name of the camera.
        frame: Frame number, from 1.
        tracklet: Number of the tracklet in its camera.
        identity: Number of the identity over the site.
        probability: That the identity is right, 0-1.
        box: x1 y1 x2 y2 in pixels.
        state: Of a camera.
        detail: Why, in words.
        other: The second identity: of a merge the older, which stays; of a split the one that the tracklet leaves.
        zone: Name of the zone. Then time, frame and box are of the sighting that `zones.ZoneEvent` tells.
        dwell_s: Seconds in the zone so far; of an enter null.
        watch: Of an alert the number of the watch list's entry.
    """

    type: EventName
    time: str
    camera: str
    frame: int | None = None
    tracklet: int | None = None
    identity: int | None = None
    probability: float | None = None
    box: Box | None = None
    state: str | None = None
    detail: str | None = None
    other: int | None = None
    zone: str | None = None
    dwell_s: float | None = None
    watch: int | None = None


def iso_time(time_us: int) -> str:
    """Microseconds since 1970 UTC as ISO-8601 with milliseconds.

    Example:
        >>> iso_time(1_500_000)
        '1970-01-01T00:00:01.500Z'
    """
    moment = datetime.fromtimestamp(time_us // 1000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_line(event: Event) -> str:
    """An event as one line of JSON."""
    return json.dumps(asdict(event))


class EventFile:
    """Appends events to a file. Only one thread may use it; another process may take lines out at the same time."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)

    def append(self, events: Sequence[Event]) -> None:
        """Writes whole lines, and nothing for no event."""
        self._file.append([event_line(event) for event in events])

    def expire(self, before_us: int) -> int:
        """Takes out what happened before a time; returns how many events went."""
        before = iso_time(before_us)
        return self._file.keep(lambda line: _time_of(line) >= before)


def _time_of(line: str) -> str:
    """Of an event; of a line that a lost power supply has torn, before all others."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(line)["time"])
    return ""
