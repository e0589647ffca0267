from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from reid_pipeline.dashboard import flows
from reid_pipeline.dashboard.words import moment
from reid_pipeline.pipeline.recent_events import ZoneVisit
from reid_pipeline.storage.traffic import NOBODY, Stays

CAMERAS = ("door", "hall", "yard")
NOON_US = 1_763_640_000_000_000  # 2025-11-20 12:00:00 UTC
SECOND_US = 1_000_000


def stays_of(rows, cameras=CAMERAS):
    table = np.array(rows, np.int64).reshape(-1, 4)
    return Stays(cameras, *(table[:, column] for column in range(4)), whole=True)


def crowd(seed, count=300):
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        begin = NOON_US + chance.randrange(100_000) * SECOND_US
        identity = chance.choice((NOBODY, *range(40)))
        rows.append((chance.randrange(3), identity, begin, begin + chance.randrange(3_000) * SECOND_US // 2))
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_flows_are_those_of_a_slow_walk_from_sighting_to_sighting(seed):
    rows = crowd(seed)
    times = defaultdict(list)
    for identity in range(40):
        own = sorted((begin, end, camera) for camera, who, begin, end in rows if who == identity)
        for before, after in pairwise(own):
            if before[2] != after[2]:
                times[CAMERAS[before[2]], CAMERAS[after[2]]].append(max(after[0] - before[1], 0))
    found = flows.flows(stays_of(rows))
    assert {(each.origin, each.goal): each.count for each in found} == {way: len(each) for way, each in times.items()}
    assert [each.count for each in found] == sorted((each.count for each in found), reverse=True)
    for each in found:
        low, median, high = np.percentile(times[each.origin, each.goal], (10, 50, 90))
        assert (each.low_us, each.median_us, each.high_us) == (round(low), round(median), round(high))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_hours_are_those_of_the_time_zone(zone):
    rows, timezone = crowd(1), ZoneInfo(zone)
    counted, people = Counter(), defaultdict(set)
    for camera, identity, begin, _ in rows:
        key = CAMERAS[camera], moment(begin, timezone).replace(minute=0, second=0, microsecond=0, tzinfo=None)
        counted[key] += 1
        people[key] |= {identity} - {NOBODY}
    found = flows.counts_by_hour(stays_of(rows), timezone)
    assert {(each.camera, each.at): (each.tracklets, each.people) for each in found} == {
        key: (count, len(people[key])) for key, count in counted.items()
    }


def test_days_where_hours_would_be_too_many():
    day = 86_400 * SECOND_US
    rows = [(0, 1, NOON_US + days * day // 2, NOON_US) for days in range(4)]
    found = flows.counts_by_hour(stays_of(rows), ZoneInfo("Asia/Kolkata"), 24)
    assert [(each.at.isoformat(), each.tracklets, each.people) for each in found] == [
        ("2025-11-20T00:00:00", 1, 1),
        ("2025-11-21T00:00:00", 2, 1),
        ("2025-11-22T00:00:00", 1, 1),
    ]
    assert flows.plot_step(stays_of(rows)) == flows.plot_step(stays_of([])) == 1
    assert flows.plot_step(stays_of([*rows, (0, 1, NOON_US + 9 * day, NOON_US)])) == 24


def test_an_hour_that_comes_twice_is_counted_together():
    begin = datetime(2025, 10, 26, 0, 30, tzinfo=UTC).timestamp()  # 02:30 in Berlin, and again an hour later
    rows = [(0, 1, round((begin + hours * 3600) * 1e6), round((begin + hours * 3600) * 1e6)) for hours in range(3)]
    found = flows.counts_by_hour(stays_of(rows), ZoneInfo("Europe/Berlin"))
    assert [(each.at.hour, each.tracklets) for each in found] == [(2, 2), (3, 1)]


def test_heat_is_the_average_of_the_days():
    day = 86_400 * SECOND_US
    rows = [(1, 1, NOON_US, NOON_US), (1, 2, NOON_US + day, NOON_US + day), (1, 3, NOON_US + day, NOON_US + day)]
    assert flows.heat(flows.counts_by_hour(stays_of(rows), UTC)) == (flows.Bar("hall", "12", 1.5),)


def test_shares_of_dwell_times():
    rows = [(0, 1, 0, seconds * SECOND_US) for seconds in (0, 2, 4, 4000)]
    bars = flows.dwell_shares(stays_of(rows, ("door", "hall")))
    assert [each.label for each in bars[: len(flows.dwell_labels())]] == list(flows.dwell_labels())
    shares = {(each.camera, each.label): each.value for each in bars if each.value}
    assert shares == {("door", "under 2 s"): 0.25, ("door", "2 s-5 s"): 0.5, ("door", "over 30 min"): 0.25}


def test_figures_and_ranks_against_slow_ones():
    rows = crowd(5)
    known = {who: [row for row in rows if row[1] == who] for who in {row[1] for row in rows} - {NOBODY}}
    several = sum(len({row[0] for row in own}) > 1 for own in known.values())
    median = round(float(np.median([row[3] - row[2] for row in rows])))
    assert flows.figures(stays_of(rows)) == flows.Figures(len(rows), len(known), several, median)
    dwell = {who: sum(row[3] - row[2] for row in own) for who, own in known.items()}
    cameras = {who: len({row[0] for row in own}) for who, own in known.items()}
    for by, value in (("dwell", dwell), ("cameras", cameras)):
        assert flows.ranked(stays_of(rows), by) == tuple(sorted(known, key=lambda who: (-value[who], who)))


def test_nothing_comes_to_nothing():
    nothing = stays_of([])
    assert flows.flows(nothing) == flows.counts_by_hour(nothing, UTC) == flows.ranked(nothing, "dwell") == ()
    assert flows.figures(nothing) == flows.Figures(0, 0, 0, 0)
    assert flows.heat(()) == ()
    assert not any(each.value for each in flows.dwell_shares(stays_of([], ())))


def test_moves_of_one_person():
    stays = [("door", 0, 5), ("hall", 3, 9), ("hall", 10, 12), ("door", 20, 30), ("hall", 50, 60)]
    found = flows.moves(stays)
    assert found == ((("door", "hall"), 0), (("hall", "door"), 8), (("door", "hall"), 20))
    assert flows.median_times(found) == ((("door", "hall"), 2, 10), (("hall", "door"), 1, 8))
    assert [flows.pause(0), flows.pause(2_000_000)] == ["at once", "2.0 s"]


def test_zones():
    visits = [
        ZoneVisit("hall", "till", 0, None),
        ZoneVisit("hall", "till", 0, None),
        *(ZoneVisit("hall", "till", 0, dwell_s) for dwell_s in (1.0, 2.0, 60.0)),
        ZoneVisit("door", "mat", 0, None),
    ]
    assert flows.zone_entries(visits, ZoneInfo("Asia/Kolkata")) == (
        flows.Bar("door: mat", "1970-01-01T05:00:00", 1),
        flows.Bar("hall: till", "1970-01-01T05:00:00", 2),
    )
    assert flows.zone_figures(visits) == (
        flows.ZoneFigures("door: mat", 1, "", ""),
        flows.ZoneFigures("hall: till", 2, "2.0 s", "1 min"),
    )
