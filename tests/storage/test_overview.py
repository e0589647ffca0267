from __future__ import annotations

import random

import pytest

from reid_pipeline.storage import overview
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent, NewTracklet
from tests.storage.conftest import NOON_US, SECOND_US

CAMERAS = ("door", "hall", "yard")
ANYBODY = Access("ada", Role.VIEWER)


@pytest.fixture(params=[3, 500])
def crowd(site, request, monkeypatch):
    """60 tracklets of 12 people, of whom none is known in each fifth; many begin at one time."""
    monkeypatch.setattr(overview, "_AT_ONCE", request.param)  # several looks back
    chance = random.Random(4)
    sources = {camera: site.source(camera).source_id for camera in CAMERAS}
    events = [IdentityEvent(EventType.OPEN, NOON_US, identity) for identity in range(1, 13)]
    tracklets = []
    for number in range(1, 61):
        camera, begin_us = chance.choice(CAMERAS), NOON_US + chance.randrange(30) * SECOND_US
        tracklets.append(NewTracklet(camera, number, sources[camera], site.run_id, 1, begin_us))
        if number % 5:
            events.append(
                IdentityEvent(EventType.ASSIGN, begin_us, chance.randrange(1, 13), camera=camera, number=number)
            )
    site.write(Changes(new_tracklets=tuple(tracklets), identity_events=tuple(events)))
    return site


def slow_people(site, cameras, since_us, until_us, seen):
    rows = site.rows(
        "SELECT t.first_us, t.id, t.identity, c.name FROM tracklets t JOIN cameras c ON c.id = t.camera_id "
        "WHERE t.identity IS NOT NULL"
    )
    newest = {}
    for first_us, row, identity, camera in rows:
        if camera in cameras and camera in seen and since_us <= first_us < until_us:
            newest[identity] = max(newest.get(identity, (0, 0)), (first_us, row))
    return sorted(newest, key=newest.get, reverse=True)


@pytest.mark.parametrize("seen", [CAMERAS, ("hall",), ("door", "yard")])
@pytest.mark.parametrize("cameras", [(), ("hall", "yard")])
@pytest.mark.parametrize(("since", "until"), [(None, None), (5, 21)])
def test_people_come_page_by_page_each_once(crowd, seen, cameras, since, until):
    access = ANYBODY if seen == CAMERAS else Access("ada", Role.VIEWER, frozenset(seen))
    reader = Overview(crowd.database, access)
    begin, end = (None if each is None else NOON_US + each * SECOND_US for each in (since, until))
    found, before = [], None
    while page := reader.people(5, begin, end, cameras, before):
        assert len(page) <= 5
        found += [each.identity for each in page]
        before = page[-1].turn
    assert found == slow_people(crowd, cameras or CAMERAS, begin or 0, end or 2**62, seen)


def test_what_is_told_of_people_is_what_may_be_seen(crowd):
    reader = Overview(crowd.database, Access("ada", Role.VIEWER, frozenset({"hall"})))
    rows = crowd.rows(
        "SELECT t.identity FROM tracklets t JOIN cameras c ON c.id = t.camera_id "
        "WHERE c.name = 'hall' AND t.identity IS NOT NULL"
    )
    people = reader.people(50)
    assert {each.cameras for each in people} == {("hall",)}
    assert {each.identity: each.tracklets for each in people} == {
        identity: rows.count((identity,)) for (identity,) in rows
    }
    some = (people[3].identity, 10**9, people[0].identity)
    assert [each.identity for each in reader.describe(some)] == [people[3].identity, people[0].identity]
