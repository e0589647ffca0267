"""Zones: who walks into which part of a camera's picture, how long they stay, and when they leave.

A person stands where the bottom centre of the box is. Two things make a box lie: it trembles, and it loses its lower
half for a moment behind somebody else. So a zone is left only by a foot that is clearly outside, by `MARGIN` of the
box's height, which is what trembling grows with; and both ways count only after `SETTLE_US`. That is a time and not a
number of frames, so that a zone behaves alike at every frame rate, whatever sampling leaves out; as one sighting lasts
no time, it always takes two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.events import Box
from reid_pipeline.pipeline.privacy import Polygon
from reid_pipeline.pipeline.protocols import TrackedBoxes

SETTLE_US: Final = 500_000  # between the first and the last of the sightings that show a change
MARGIN: Final = 0.05  # of the box's height, outside the outline

Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """A part of one camera's picture.

    Attributes:
        name: Unique in its camera.
        points: ``(K, 2)``, K at least 3: x and y in 0-1 of the picture's width and height.
        dwell_us: How long somebody has to stay for a ``dwell`` event; None for no such event.
    """

    name: str
    points: Polygon
    dwell_us: int | None = None

    def outline(self, size: Size) -> NDArray[np.float32]:
        """The corners ``(K, 2)`` in pixels of a picture of ``size``: height, width."""
        return (self.points * (size[1], size[0])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ZoneEvent:
    """What happened, and the sighting that it is about, which may be older than the frame that tells it.

    Attributes:
        type: enter: the first sighting inside. dwell: the first one after ``dwell_us``, once a visit. leave: the last
            sighting inside.
        zone: Name of the zone.
        tracklet: Number of the tracklet.
        frame: Number of the sighting's frame.
        time_us: Capture time of the sighting.
        box: x1 y1 x2 y2 in pixels, of the sighting.
        dwell_s: Seconds since the enter; None for an enter.
    """

    type: Literal["enter", "dwell", "leave"]
    zone: str
    tracklet: int
    frame: int
    time_us: int
    box: Box
    dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Sighting:
    frame: int
    time_us: int
    box: Box


@dataclass(slots=True)
class _Visit:
    """One stay of one tracklet in one zone; until `entered` it is only a guess."""

    first: _Sighting
    last: _Sighting  # of those inside
    entered: bool = False
    lingered: bool = False
    outside_us: int | None = None  # time of the first sighting outside since `last`


class ZoneWatch:
    """Watches the zones of one camera, frame by frame; skipped frames do no harm.

    Args:
        zones: In the order in which the events of one frame come.
    """

    def __init__(self, zones: Sequence[Zone] = ()) -> None:
        self._zones = tuple(zones)
        self._visits: dict[tuple[int, str], _Visit] = {}  # by tracklet and zone
        self._size: Size = (0, 0)
        self._outlines: list[NDArray[np.float32]] = []

    def update(self, frame: Frame, tracked: TrackedBoxes) -> list[ZoneEvent]:
        """Takes the next frame's boxes and tells what has become certain."""
        if not self._zones:
            return []
        self._fit((frame.image.shape[0], frame.image.shape[1]))
        events: list[ZoneEvent] = []
        for number, (x1, y1, x2, y2) in zip(tracked.numbers, tracked.boxes.tolist(), strict=True):
            sighting = _Sighting(frame.index, frame.time_us, (x1, y1, x2, y2))
            for zone, outline in zip(self._zones, self._outlines, strict=True):
                events += self._see(zone, number, sighting, self._depth(outline, sighting.box))
        return events + self.end(tracked.ended)

    def end(self, numbers: Iterable[int]) -> list[ZoneEvent]:
        """Ends tracklets: whoever is inside leaves where they were last seen."""
        visits = [
            (zone, number, visit)
            for number in (numbers if self._zones else ())
            for zone in self._zones
            if (visit := self._visits.pop((number, zone.name), None))
        ]
        return [_event("leave", zone, number, visit) for zone, number, visit in visits if visit.entered]

    def _fit(self, size: Size) -> None:
        if size != self._size:
            self._size = size
            self._outlines = [zone.outline(size) for zone in self._zones]

    def _depth(self, outline: NDArray[np.float32], box: Box) -> float:
        """How far inside the outline the foot is, in heights of the box; below 0 outside, 0 on the outline."""
        x1, y1, x2, y2 = box
        height, width = self._size
        foot = min(max((x1 + x2) / 2, 0.0), float(width)), min(max(y2, 0.0), float(height))
        return cv2.pointPolygonTest(outline, foot, measureDist=True) / max(y2 - y1, 1.0)

    def _see(self, zone: Zone, number: int, sighting: _Sighting, depth: float) -> Iterator[ZoneEvent]:
        visit = self._visits.get((number, zone.name))
        if visit is None:
            if depth >= 0:
                self._visits[number, zone.name] = _Visit(sighting, sighting)
            return
        if depth >= (-MARGIN if visit.entered else 0):
            yield from _stay(zone, number, visit, sighting)
            return
        if not visit.entered:
            del self._visits[number, zone.name]
        elif visit.outside_us is None:
            visit.outside_us = sighting.time_us
        elif sighting.time_us - visit.outside_us >= SETTLE_US:
            del self._visits[number, zone.name]
            yield _event("leave", zone, number, visit)


def _stay(zone: Zone, number: int, visit: _Visit, sighting: _Sighting) -> Iterator[ZoneEvent]:
    visit.last, visit.outside_us = sighting, None
    stayed_us = sighting.time_us - visit.first.time_us
    if not visit.entered and stayed_us >= SETTLE_US:
        visit.entered = True
        yield ZoneEvent("enter", zone.name, number, visit.first.frame, visit.first.time_us, visit.first.box)
    if visit.entered and not visit.lingered and zone.dwell_us is not None and stayed_us >= zone.dwell_us:
        visit.lingered = True
        yield _event("dwell", zone, number, visit)


def _event(kind: Literal["dwell", "leave"], zone: Zone, number: int, visit: _Visit) -> ZoneEvent:
    last = visit.last
    dwell_s = round((last.time_us - visit.first.time_us) / 1_000_000, 3)
    return ZoneEvent(kind, zone.name, number, last.frame, last.time_us, last.box, dwell_s)
