from __future__ import annotations

import random

import pytest

from reid_pipeline.storage import review
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent, RunStatus
from reid_pipeline.storage.review import Review
from tests.storage.decision_model import hall, machine, split_event

OLGA = Access("olga", Role.OPERATOR)
PEOPLE = (1, 2, 3, 4, 5, 6)


def assigned(site, identity, number, probability, camera="hall"):
    return IdentityEvent(
        EventType.ASSIGN, site.time_us(1), identity, camera=camera, number=number, probability=probability
    )


def merged(site, identity, other, probability):
    return IdentityEvent(EventType.MERGE, site.time_us(1), identity, other, probability=probability)


@pytest.fixture
def crowd(site):
    """Tracklet n of the hall is of identity n, without a probability."""
    site.source()
    site.write(
        Changes(
            new_tracklets=tuple(site.begin(number) for number in PEOPLE),
            views=tuple(site.view(number, number) for number in PEOPLE),
            identity_events=tuple(
                event for number in PEOPLE for event in (site.opened(number), site.assigned(number, number))
            ),
        )
    )
    site.repository.end_run(site.run_id, RunStatus.DONE, 0)
    return site


@pytest.fixture
def olga(crowd):
    return Corrections(crowd.database, OLGA)


def links(site, access=OLGA):
    found = Review(site.database, access).uncertain(20).links
    return [
        (link.type.value, link.identity, [each.number for each in link.one], [each.number for each in link.other])
        for link in found
    ]


def test_uncertain_links_come_the_newest_first(crowd):
    machine(
        crowd,
        assigned(crowd, 1, 2, 0.6),
        assigned(crowd, 1, 3, 0.98),
        assigned(crowd, 4, 5, 0.499),
        assigned(crowd, 4, 6, 0.5),
    )
    assert links(crowd) == [("assign", 4, [6], [4, 5]), ("assign", 1, [2], [1, 3])]
    link = Review(crowd.database, OLGA).uncertain(1).links[0]
    assert (link.probability, link.leaving) == (0.5, (("hall", 6),))
    assert link.one[0].crops == ("crops/hall/2025-11-20/6_6.jpg",)


def test_a_merge_shows_both_sides(crowd):
    machine(crowd, crowd.assigned(2, 3), merged(crowd, 2, 1, 0.7), crowd.merged(5, 1))
    assert links(crowd) == [("merge", 1, [2, 3], [1, 5])]
    assert set(Review(crowd.database, OLGA).uncertain(1).links[0].leaving) == {("hall", 2), ("hall", 3)}


def test_a_merge_that_others_imply_is_not_asked_about(crowd):
    machine(crowd, crowd.merged(3, 1), crowd.merged(3, 2), merged(crowd, 2, 1, 0.7))
    assert links(crowd) == []


def test_what_is_no_more_is_not_asked_about(crowd, olga):
    machine(crowd, assigned(crowd, 1, 2, 0.6), assigned(crowd, 1, 3, 0.6), merged(crowd, 5, 4, 0.6))
    machine(crowd, crowd.assigned(6, 2), split_event(crowd, 7, 1, 3))  # decided anew
    olga.undo(5, machine=True)
    assert links(crowd) == []
    machine(crowd, assigned(crowd, 1, 2, 0.7))
    assert links(crowd) == [("assign", 1, [2], [1])]
    with crowd.database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("DELETE FROM tracklets WHERE number = 2")
    assert links(crowd) == []


def test_nobody_else_is_left_to_compare_with(crowd):
    machine(crowd, assigned(crowd, 1, 2, 0.6), crowd.assigned(3, 1))
    assert links(crowd) == []


@pytest.mark.parametrize("link", ["assign", "merge"])
def test_what_an_operator_has_said_is_not_asked_again_until_it_is_undone(crowd, olga, link):
    event = assigned(crowd, 1, 2, 0.6) if link == "assign" else merged(crowd, 2, 1, 0.6)
    machine(crowd, event)
    asked = [(link, 1, [2], [1])]
    assert links(crowd) == asked
    olga.confirm(1, hall(1, 2))
    assert links(crowd) == []
    olga.undo(1)
    assert links(crowd) == asked
    made = olga.split(1, hall(2)).identity
    assert links(crowd) == []
    olga.undo(made)
    assert links(crowd) == asked


def test_what_an_operator_said_of_others_answers_nothing(crowd, olga):
    machine(crowd, assigned(crowd, 1, 2, 0.6), merged(crowd, 3, 1, 0.6))
    olga.confirm(1, hall(1, 2))
    assert links(crowd) == [("merge", 1, [3], [1, 2])]


def test_whom_an_operator_split_off_says_nothing_of_those_who_stay(crowd, olga):
    machine(crowd, assigned(crowd, 1, 2, 0.6), crowd.assigned(1, 3))
    olga.split(1, hall(3))
    assert links(crowd) == [("assign", 1, [2], [1])]


def test_people_of_other_cameras_are_for_others_to_decide(crowd):
    crowd.source("door")
    machine(crowd, assigned(crowd, 1, 2, 0.6), assigned(crowd, 3, 4, 0.6))
    crowd.write(Changes(new_tracklets=(crowd.begin(1, 2, "door"),), identity_events=(crowd.assigned(1, 1, "door"),)))
    assert len(links(crowd)) == 2
    assert links(crowd, Access("olga", Role.OPERATOR, frozenset({"hall"}))) == [("assign", 3, [4], [3])]
    assert links(crowd, Access("olga", Role.OPERATOR, frozenset({"door"}))) == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY_OFFICER])
def test_who_may_not_correct_is_not_asked(site, role):
    with pytest.raises(NotAllowed):
        Review(site.database, Access("vic", role))


@pytest.mark.parametrize(("entries", "looked_into"), [(3, 200), (50_000, 2), (7, 1)])
def test_the_log_is_gone_through_part_by_part(crowd, monkeypatch, entries, looked_into):
    chance = random.Random(6)
    for _ in range(25):
        machine(crowd, assigned(crowd, chance.choice((1, 2)), chance.choice(PEOPLE), chance.uniform(0.4, 1)))
    whole = Review(crowd.database, OLGA).uncertain(100)
    assert whole.further is None
    assert len(whole.links) >= 3
    monkeypatch.setattr(review, "_ENTRIES", entries)
    monkeypatch.setattr(review, "_LINKS", looked_into)
    found, before, asked = [], None, 0
    while asked == 0 or before is not None:
        page = Review(crowd.database, OLGA).uncertain(2, before)
        found += page.links
        before, asked = page.further, asked + 1
    assert tuple(found) == whole.links


def test_few_pictures_of_many_tracklets(crowd):
    machine(crowd, *(crowd.assigned(1, number) for number in (2, 3, 4, 5)), assigned(crowd, 1, 6, 0.6))
    crowd.write(Changes(views=tuple(crowd.view(6, frame) for frame in range(7, 20))))
    (link,) = Review(crowd.database, OLGA).uncertain(1).links
    assert [len(each.crops) for each in link.one] == [6]
    assert sum(len(each.crops) for each in link.other) == 5
