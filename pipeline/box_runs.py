"""The boxes of one camera's tracklets as they are stored: complete, and only once it is known whose they are.

Before a tracklet begins there is a trail that leads to it (`beginnings`), and short gaps are filled in. While it is
uncertain whether a tracklet still is who it was, because it has crossed somebody, its boxes wait; when that is decided
they go to whom they belong.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.beginnings import Beginnings, Sighting
from reid_pipeline.pipeline.datatypes import Boxes, Detections, Frame, Scores
from reid_pipeline.pipeline.matching import iou
from reid_pipeline.pipeline.motion import to_centres
from reid_pipeline.pipeline.protocols import TrackedBoxes

LONGEST_GAP: Final = 10  # frames; a tracklet that was unseen for less is filled in along a straight line
LONGEST_WAIT_US: Final = 5_000_000  # who is uncertain for longer is taken for who it was
_WEAK: Final = 0.4  # score of a box that may be another's as well
_MOST_BEGUN: Final = 64
_ASIDE: Final = 0.5  # box heights
_SPEED: Final = 1.0  # the same a second, of a walker
_GROWTH: Final = 1.5  # of the height on the way


@dataclass(frozen=True, slots=True, eq=False)
class TrackletBoxRun:
    """Boxes that are added to a tracklet at once, those found or filled in among them; oldest first."""

    number: int
    frames: NDArray[np.int32]
    times_us: NDArray[np.int64]
    boxes: Boxes
    scores: Scores


@dataclass(slots=True)
class _Line:
    """A tracklet: its last box that was given out, and those that wait."""

    last: Sighting
    waiting: list[Sighting] = field(default_factory=list)

    @property
    def newest(self) -> Sighting:
        return self.waiting[-1] if self.waiting else self.last


class BoxRuns:
    """Puts together what is stored of each tracklet of one camera."""

    def __init__(self) -> None:
        self._beginnings = Beginnings()
        self._lines: dict[int, _Line] = {}
        self._begun: deque[Sighting] = deque(maxlen=_MOST_BEGUN)  # where the newest tracklets began

    def take(self, frame: Frame, detections: Detections, tracked: TrackedBoxes) -> tuple[TrackletBoxRun, ...]:
        """What can be given out after a frame: one run for a tracklet at most, and all that is left where it ends.

        Args:
            frame: The frame.
            detections: All that the tracker was given.
            tracked: What it said.
        """
        found = self._hand_over(tracked.handed)
        runs = []
        for number, box, score in zip(tracked.numbers, tracked.boxes, tracked.scores.tolist(), strict=True):
            now = Sighting(frame.index, frame.time_us, box, score)
            if number not in self._lines:
                trail = found.pop(number, None) or self._trail(now, tracked.numbers)
                self._lines[number] = _Line(now)
                self._begun.append([*trail, now][0])
                runs.append(_box_run(number, _bridged([*trail, now])))
                continue
            line = self._lines[number]
            line.waiting.append(now)
            if number not in tracked.unsure or now.time_us - line.last.time_us > LONGEST_WAIT_US:
                runs.append(_give_out(number, line))
        runs += self.end(tracked.ended)
        self._beginnings.note(frame.index, frame.time_us, detections, tracked.boxes)
        return tuple(runs)

    def end(self, numbers: Iterable[int]) -> list[TrackletBoxRun]:
        """What is left of tracklets that have ended."""
        lines = [(number, self._lines.pop(number)) for number in numbers]
        for _, line in lines:
            line.waiting = self._until_somebody_began(line)
        return [_give_out(number, line) for number, line in lines if line.waiting]

    def last_frame(self, number: int) -> int:
        """Frame of the last box of an open tracklet that was given out."""
        return self._lines[number].last.frame

    def _until_somebody_began(self, line: _Line) -> list[Sighting]:
        """What waits, but not beside a tracklet that began where this one can have gone: it may be the same person."""
        began = [each.frame for each in self._begun if line.last.frame < each.frame and _is_reached(line.last, each)]
        return [each for each in line.waiting if each.frame < min(began, default=math.inf)]

    def _trail(self, now: Sighting, seen: Sequence[int]) -> list[Sighting]:
        """What leads to the beginning of a tracklet; if somebody was lost there it does not reach back to before that.

        It may be the same person, who cannot be in two tracklets at once.
        """
        trail = self._beginnings.trail(now.time_us, now.box)
        for line in (line for number, line in self._lines.items() if number not in seen):
            beside = [each for each in trail if each.frame <= line.newest.frame]
            if beside and _overlap(beside[-1], line.newest) > 0.0:
                trail = trail[len(beside) :]
        return trail

    def _hand_over(self, handed: Sequence[tuple[int, int]]) -> dict[int, list[Sighting]]:
        """Gives what waits to whom it belongs; returns that of new tracklets."""
        found: dict[int, list[Sighting]] = {}
        cuts = {pair: self._changed_after(*pair) for pair in handed}
        moved = {pair: [each for each in self._lines[pair[0]].waiting if each.frame > cuts[pair]] for pair in handed}
        for one, other in handed:
            line = self._lines[one]
            line.waiting = [each for each in line.waiting if each.frame <= cuts[one, other]]
        for (one, other), sightings in moved.items():
            line_of_other = self._lines.get(other)
            if line_of_other is None:
                found[other] = sightings
                continue
            before = [each for each in line_of_other.waiting if each.frame <= cuts[one, other]]
            line_of_other.waiting = before + sightings
        return found

    def _changed_after(self, one: int, other: int) -> int:
        """The last frame in which the boxes of `one` were still its own, before they were those of `other`."""
        line, rival = self._lines[one], self._lines.get(other)
        if rival is not None and rival.newest.frame >= line.newest.frame:
            return _closest(line, rival)
        jump = _largest_jump([line.last, *line.waiting])
        return jump if rival is None else max(jump, rival.last.frame)


def _closest(line: _Line, rival: _Line) -> int:
    """The frame in which the waiting boxes of two overlapped most."""
    others = {each.frame: each for each in rival.waiting}
    both = [(_overlap(each, others[each.frame]), each.frame) for each in line.waiting if each.frame in others]
    return max(both)[1] if both else rival.newest.frame


def _largest_jump(sightings: Sequence[Sighting]) -> int:
    """The frame after which somebody's boxes fit least to those before, or were hardly detected on the way there."""
    steps = [_overlap(one, other) * min(one.score, other.score) for one, other in pairwise(sightings)]
    place = int(np.argmin(steps)) if steps else 0
    while place > 0 and sightings[place].score < _WEAK:
        place -= 1
    return sightings[place].frame


def _is_reached(one: Sighting, other: Sighting) -> bool:
    """Whether somebody can have walked from one place to the other."""
    (x, y, _, height), (other_x, other_y, _, other_height) = to_centres(np.stack([one.box, other.box])).tolist()
    reach = height * (_ASIDE + _SPEED * (other.time_us - one.time_us) / 1e6)
    growth = max(height, other_height) / max(min(height, other_height), 1e-9)
    return bool(math.hypot(other_x - x, other_y - y) < reach and growth < _GROWTH)


def _overlap(one: Sighting, other: Sighting) -> float:
    return float(iou(one.box[None], other.box[None])[0, 0])


def _give_out(number: int, line: _Line) -> TrackletBoxRun:
    run = _box_run(number, _bridged([line.last, *line.waiting])[1:])
    line.last, line.waiting = line.waiting[-1], []
    return run


def _box_run(number: int, sightings: Sequence[Sighting]) -> TrackletBoxRun:
    return TrackletBoxRun(
        number,
        np.array([each.frame for each in sightings], np.int32),
        np.array([each.time_us for each in sightings], np.int64),
        np.array([each.box for each in sightings], np.float32),
        np.array([each.score for each in sightings], np.float32),
    )


def _bridged(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Sightings, with the frames between them filled in where they are few."""
    filled = [(*_between(one, other), other) for one, other in pairwise(sightings)]
    return [*sightings[:1], *chain.from_iterable(filled)]


def _between(one: Sighting, other: Sighting) -> Iterator[Sighting]:
    gap = other.frame - one.frame
    if gap > LONGEST_GAP:
        return
    for step in range(1, gap):
        part = step / gap
        time_us = one.time_us + round((other.time_us - one.time_us) * part)
        box = one.box + (other.box - one.box) * np.float32(part)
        yield Sighting(one.frame + step, time_us, box, min(one.score, other.score))
