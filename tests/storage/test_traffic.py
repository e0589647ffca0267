from __future__ import annotations

import random

import pytest

from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent, NewTracklet
from reid_pipeline.storage.traffic import NOBODY, Traffic
from tests.storage.conftest import NOON_US, SECOND_US

CAMERAS = ("door", "hall", "yard")


@pytest.fixture
def crowd(site):
    chance = random.Random(2)
    sources = {camera: site.source(camera).source_id for camera in ("yard", "hall", "door")}
    events = [IdentityEvent(EventType.OPEN, NOON_US, identity) for identity in range(1, 6)]
    tracklets = []
    for number in range(1, 31):
        camera, begin_us = chance.choice(CAMERAS), NOON_US + chance.randrange(20) * SECOND_US
        tracklets.append(NewTracklet(camera, number, sources[camera], site.run_id, 1, begin_us))
        if number % 3:
            events.append(
                IdentityEvent(EventType.ASSIGN, begin_us, chance.randrange(1, 6), camera=camera, number=number)
            )
    site.write(Changes(new_tracklets=tuple(tracklets), identity_events=tuple(events)))
    return site


def slow_stays(site, cameras):
    rows = site.rows(
        "SELECT t.id, c.name, t.identity, t.first_us, t.last_us FROM tracklets t JOIN cameras c ON c.id = t.camera_id"
    )
    rows = sorted((row for row in rows if row[1] in cameras), key=lambda row: (-row[3], -row[0]))
    return [(name, NOBODY if identity is None else identity, *times) for _, name, identity, *times in rows]


def listed(stays):
    names = [stays.cameras[position] for position in stays.camera.tolist()]
    return list(zip(names, stays.identity.tolist(), stays.first_us.tolist(), stays.last_us.tolist(), strict=True))


@pytest.mark.parametrize("seen", [CAMERAS, ("hall",), ()])
@pytest.mark.parametrize("cameras", [(), ("yard", "hall")])
def test_stays_are_those_that_may_be_seen_the_newest_first(crowd, seen, cameras):
    traffic = Traffic(crowd.database, Access("ada", Role.VIEWER, None if seen == CAMERAS else frozenset(seen)))
    expected = slow_stays(crowd, set(seen) & set(cameras or CAMERAS))
    assert listed(traffic.stays(cameras=cameras)) == expected
    begin_us, end_us = NOON_US + 5 * SECOND_US, NOON_US + 12 * SECOND_US
    inside = [each for each in expected if begin_us <= each[2] < end_us]
    assert listed(traffic.stays(begin_us, end_us, cameras)) == inside
    some = traffic.stays(cameras=cameras, limit=4)
    assert (listed(some), some.whole) == (expected[:4], len(expected) <= 4)
    assert set(traffic.stays().cameras) <= set(seen)


def test_the_newest_is_that_of_cameras_that_may_be_seen(crowd):
    for seen in (CAMERAS, ("hall",), ("nowhere",)):
        access = Access("ada", Role.VIEWER, None if seen == CAMERAS else frozenset(seen))
        newest = max((each[2] for each in slow_stays(crowd, seen)), default=None)
        assert Traffic(crowd.database, access).newest_us() == newest
