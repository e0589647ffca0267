from __future__ import annotations

import pytest

from reid_pipeline.pipeline.events import Event, EventFile, iso_time
from reid_pipeline.pipeline.recent_events import ZoneVisit, recent_zone_visits
from reid_pipeline.storage.permissions import Access, Role

ANYBODY = Access("ada", Role.VIEWER)
SECOND_US = 1_000_000


def event(kind, second, camera="hall", zone="till", dwell_s=None):
    return Event(kind, iso_time(second * SECOND_US), camera, zone=zone, dwell_s=dwell_s)


EVENTS = (
    event("new", 1, zone=None),
    event("enter", 2),
    event("enter", 3, "door", "mat"),
    event("dwell", 4, dwell_s=2.0),
    event("leave", 5, dwell_s=3.0),
    event("leave", 6, "door", "mat", 3.5),
)
VISITS = (
    ZoneVisit("hall", "till", 2 * SECOND_US, None),
    ZoneVisit("door", "mat", 3 * SECOND_US, None),
    ZoneVisit("hall", "till", 5 * SECOND_US, 3.0),
    ZoneVisit("door", "mat", 6 * SECOND_US, 3.5),
)


@pytest.fixture
def folder(tmp_path):
    EventFile(tmp_path / "events.ndjson").append(EVENTS)
    return tmp_path


def test_entries_and_exits_are_found(folder):
    assert recent_zone_visits(folder, ANYBODY) == VISITS


def test_only_what_may_be_seen_and_was_asked_for(folder):
    viewer = Access("ada", Role.VIEWER, frozenset({"door"}))
    assert recent_zone_visits(folder, viewer) == (VISITS[1], VISITS[3])
    assert recent_zone_visits(folder, ANYBODY, 3 * SECOND_US, 6 * SECOND_US) == VISITS[1:3]


def test_only_the_end_of_the_file_is_read_in_whole_lines(folder):
    content = (folder / "events.ndjson").read_bytes()
    sizes = [len(line) + 1 for line in content.splitlines()]
    for most in {*range(0, len(content) + 2, 7), *(sum(sizes[at:]) for at in range(len(sizes)))}:
        whole = sum(most >= sum(sizes[at:]) for at in range(len(sizes)))
        kinds = [each.type for each in EVENTS[len(EVENTS) - whole :]]
        expected = sum(kind in ("enter", "leave") for kind in kinds)
        assert len(recent_zone_visits(folder, ANYBODY, most_bytes=most)) == expected


def test_a_torn_line_is_skipped_and_no_file_is_nothing(folder, tmp_path):
    with (folder / "events.ndjson").open("a") as file:
        file.write('{"type": "enter", "time"\n{"type": "leave", "dwell_s": null, "time": 1}\n{"type": "enter", "ti')
    assert recent_zone_visits(folder, ANYBODY) == VISITS
    assert recent_zone_visits(tmp_path / "none", ANYBODY) == ()
