"""What many tracklets come to: who goes from where to where and in what time, when it is busy, how long people stay.

Pure calculations on `storage.traffic.Stays`; pages show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.dashboard.words import moment, span
from reid_pipeline.pipeline.recent_events import ZoneVisit
from reid_pipeline.storage.traffic import NOBODY, Stays

HOUR_US: Final = 3_600_000_000
_LONGEST_BY_HOUR_US: Final = 8 * 24 * HOUR_US
# Steps that are read at a glance; the last one has no end.
DWELL_STEPS_S: Final = (2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)


@dataclass(frozen=True, slots=True)
class Flow:
    """People who went from one camera to another.

    Attributes:
        origin: The camera that they left.
        goal: The one where they were seen next.
        count: How often.
        low_us: One in ten is faster. A time of 0: seen there before the other camera had lost them.
        median_us: Half are faster.
        high_us: One in ten is slower.
    """

    origin: str
    goal: str
    count: int
    low_us: int
    median_us: int
    high_us: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A number of one camera or zone, for one bar of a plot."""

    camera: str
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class HourCount:
    """What a camera saw in an hour or a day, which begins at `at` in the site's time zone."""

    camera: str
    at: datetime
    tracklets: int
    people: int


def flows(stays: Stays) -> tuple[Flow, ...]:
    """From each tracklet of a person to the next one, where that is in another camera; the most frequent first."""
    known = stays.identity != NOBODY
    order = np.lexsort((stays.last_us[known], stays.first_us[known], stays.identity[known]))
    identity, camera, first, last = (
        each[known][order] for each in (stays.identity, stays.camera, stays.first_us, stays.last_us)
    )
    moves = np.flatnonzero((identity[1:] == identity[:-1]) & (camera[1:] != camera[:-1]))
    pairs = camera[moves] * _cameras(stays) + camera[moves + 1]
    times = np.maximum(first[moves + 1] - last[moves], 0)
    found = [_flow(stays.cameras, int(pair), times[pairs == pair]) for pair in np.unique(pairs)]
    return tuple(sorted(found, key=lambda flow: (-flow.count, flow.origin, flow.goal)))


def _flow(cameras: Sequence[str], pair: int, times: NDArray[np.int64]) -> Flow:
    low, median, high = np.percentile(times, (10, 50, 90))
    origin, goal = divmod(pair, len(cameras))
    return Flow(cameras[origin], cameras[goal], len(times), round(low), round(median), round(high))


def pause(time_us: int) -> str:
    """The time of a way in words; none where somebody was in both cameras at once."""
    return span(time_us) if time_us else "at once"


def counts_by_hour(stays: Stays, timezone: tzinfo, step: int = 1) -> tuple[HourCount, ...]:
    """Tracklets that began, and different people among them, by hour and camera; hours without any are left out.

    Args:
        stays: The tracklets.
        timezone: Hours are those of this one, also where it is half an hour off.
        step: How many hours are counted together, from midnight on; 24 for days.
    """
    hour = (stays.first_us + _offset_us(stays, timezone)) // HOUR_US // step * step
    keys, position = np.unique(hour * _cameras(stays) + stays.camera, return_inverse=True)
    tracklets = np.bincount(position, minlength=len(keys))
    known = stays.identity != NOBODY
    people = _distinct(position[known], stays.identity[known], len(keys))
    places = [divmod(key, _cameras(stays)) for key in keys.tolist()]
    return tuple(
        HourCount(stays.cameras[camera], _hour(at), int(count), int(who))
        for (at, camera), count, who in zip(places, tracklets, people, strict=True)
    )


def heat(counts: Sequence[HourCount]) -> tuple[Bar, ...]:
    """How many tracklets a camera sees in each hour of the day, on the average of the days that there are."""
    days = max(len({each.at.date() for each in counts}), 1)
    sums: dict[tuple[str, int], int] = {}
    for each in counts:
        key = each.camera, each.at.hour
        sums[key] = sums.get(key, 0) + each.tracklets
    return tuple(Bar(camera, f"{hour:02}", value / days) for (camera, hour), value in sorted(sums.items()))


def dwell_shares(stays: Stays) -> tuple[Bar, ...]:
    """Which share of a camera's tracklets lasts how long, 0 to 1; the labels are `dwell_labels`."""
    step = np.searchsorted(np.array(DWELL_STEPS_S) * 1_000_000, stays.last_us - stays.first_us, side="right")
    labels = dwell_labels()
    found = []
    for position, camera in enumerate(stays.cameras):
        counts = np.bincount(step[stays.camera == position], minlength=len(labels))
        total = max(int(counts.sum()), 1)
        found += [Bar(camera, label, count / total) for label, count in zip(labels, counts.tolist(), strict=True)]
    return tuple(found)


def dwell_labels() -> tuple[str, ...]:
    """The steps of `dwell_shares` in their order."""
    names = [f"{each} s" if each < 60 else f"{each // 60} min" for each in DWELL_STEPS_S]
    between = [f"{low}-{high}" for low, high in pairwise(names)]
    return (f"under {names[0]}", *between, f"over {names[-1]}")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told above the plots: tracklets, different people, how long half of the tracklets are at most."""

    tracklets: int
    people: int
    in_several: int
    median_dwell_us: int


def figures(stays: Stays) -> Figures:
    """Counts of all together; `in_several` are people who were seen by more than one camera."""
    known = stays.identity != NOBODY
    people, position = np.unique(stays.identity[known], return_inverse=True)
    cameras = _distinct(position, stays.camera[known], len(people))
    dwell = np.median(stays.last_us - stays.first_us) if len(stays) else 0
    return Figures(len(stays), len(people), int((cameras > 1).sum()), round(float(dwell)))


def ranked(stays: Stays, by: str) -> tuple[int, ...]:
    """The identities of some tracklets, those first that stayed longest or were in most cameras; then by number.

    Args:
        stays: The tracklets.
        by: ``dwell`` or ``cameras``.
    """
    known = stays.identity != NOBODY
    identity, position = np.unique(stays.identity[known], return_inverse=True)
    if by == "dwell":
        value = np.bincount(position, weights=(stays.last_us - stays.first_us)[known], minlength=len(identity))
    else:
        value = _distinct(position, stays.camera[known], len(identity)).astype(np.float64)
    return tuple(identity[np.lexsort((identity, -value))].tolist())


def _distinct(group: NDArray[np.intp], value: NDArray[np.int64], groups: int) -> NDArray[np.intp]:
    """How many different values, none below 0, each group has."""
    values = int(value.max(initial=0)) + 1
    return np.bincount(np.unique(group * values + value) // values, minlength=groups)


def _cameras(stays: Stays) -> int:
    return max(len(stays.cameras), 1)


def _offset_us(stays: Stays, timezone: tzinfo) -> NDArray[np.int64]:
    """How far the time zone is from UTC at the beginning of each stay; it changes at whole quarters of an hour."""
    quarter, position = np.unique(stays.first_us // (HOUR_US // 4), return_inverse=True)
    offsets = [moment(each * (HOUR_US // 4), timezone).utcoffset() or timedelta() for each in quarter.tolist()]
    return np.array([each // timedelta(microseconds=1) for each in offsets], np.int64)[position]


def _hour(number: int) -> datetime:
    """The beginning of an hour of the time zone, by its number since 1970."""
    return datetime(1970, 1, 1) + timedelta(hours=number)


Move = tuple[tuple[str, str], int]  # from and to, and the time between


def moves(stays: Sequence[tuple[str, int, int]]) -> tuple[Move, ...]:
    """The ways of one person from camera to camera, in order of time.

    Args:
        stays: Camera, begin and end of each sighting, in order of time.
    """
    return tuple(
        ((before[0], after[0]), max(after[1] - before[2], 0))
        for before, after in pairwise(stays)
        if before[0] != after[0]
    )


def median_times(found: Sequence[Move]) -> tuple[tuple[tuple[str, str], int, int], ...]:
    """Each way once, in the order of their first use: how often, and the median time."""
    times: dict[tuple[str, str], list[int]] = {}
    for way, time_us in found:
        times.setdefault(way, []).append(time_us)
    return tuple((way, len(each), round(float(np.median(each)))) for way, each in times.items())


def plot_step(stays: Stays) -> int:
    """How many hours a bar of a plot is about: a day where there would be too many for the eye."""
    longest = int(np.ptp(stays.first_us)) if len(stays) else 0
    return 24 if longest > _LONGEST_BY_HOUR_US else 1


def zone_entries(visits: Sequence[ZoneVisit], timezone: tzinfo) -> tuple[Bar, ...]:
    """How many entered each zone in each hour, which the label tells as ISO-8601 in the time zone."""
    counts: dict[tuple[str, str], int] = {}
    for each in visits:
        if each.dwell_s is None:
            hour = moment(each.time_us, timezone).replace(minute=0, second=0, microsecond=0, tzinfo=None)
            key = f"{each.camera}: {each.zone}", hour.isoformat()
            counts[key] = counts.get(key, 0) + 1
    return tuple(Bar(name, hour, count) for (name, hour), count in sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class ZoneFigures:
    """A zone: how many entered it, and how long those were in it who left it, in words."""

    name: str
    entries: int
    median_stay: str
    longest_stay: str


def zone_figures(visits: Sequence[ZoneVisit]) -> tuple[ZoneFigures, ...]:
    """Each zone by camera and name."""
    stays: dict[str, list[float]] = {}
    entries: dict[str, int] = {}
    for each in visits:
        name = f"{each.camera}: {each.zone}"
        own = stays.setdefault(name, [])
        if each.dwell_s is None:
            entries[name] = entries.get(name, 0) + 1
        else:
            own.append(each.dwell_s)
    return tuple(
        ZoneFigures(
            name, entries.get(name, 0), _seconds(np.median(own) if own else None), _seconds(max(own, default=None))
        )
        for name, own in sorted(stays.items())
    )


def _seconds(value: float | np.floating[Any] | None) -> str:
    return "" if value is None else span(round(float(value) * 1_000_000))
