from __future__ import annotations

import time

import pytest

from reid_pipeline.storage.errors import UnknownRecord, WriterFailed
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent, IdentityRecord


@pytest.fixture
def crowd(site):
    """Tracklets 1 to 4 of the hall belong to identities 1 to 4."""
    site.source()
    numbers = (1, 2, 3, 4)
    site.write(
        Changes(
            new_tracklets=tuple(site.begin(number) for number in numbers),
            identity_events=tuple(
                event for number in numbers for event in (site.opened(number), site.assigned(number, number))
            ),
        )
    )
    return site


def identities(site):
    return dict(site.rows("SELECT number, identity FROM tracklets"))


def test_open_and_assign(crowd):
    assert identities(crowd) == {1: 1, 2: 2, 3: 3, 4: 4}
    assert crowd.repository.identity(4) == IdentityRecord(4, crowd.time_us(1), None, False)
    assert crowd.repository.next_identity() == 5


def test_a_merge_redirects_identity_and_tracklets(crowd):
    crowd.write(Changes(identity_events=(crowd.merged(3, 2),)))
    assert identities(crowd) == {1: 1, 2: 2, 3: 2, 4: 4}
    assert crowd.repository.identity(3).merged_into == 2
    assert crowd.repository.identity(2).merged_into is None


def test_merges_never_form_a_chain(crowd):
    crowd.write(Changes(identity_events=(crowd.merged(4, 3), crowd.merged(3, 2), crowd.merged(2, 1))))
    assert identities(crowd) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert [crowd.repository.identity(each).merged_into for each in (1, 2, 3, 4)] == [None, 1, 1, 1]


def test_a_merge_of_merged_identities_joins_their_survivors(crowd):
    # 4 is 1 already; 3 then turns out to be 4: the oldest of both sides survives.
    crowd.write(Changes(identity_events=(crowd.merged(4, 1), crowd.merged(4, 3))))
    assert identities(crowd) == {1: 1, 2: 2, 3: 1, 4: 1}
    crowd.write(Changes(identity_events=(crowd.merged(4, 3),)))
    assert crowd.repository.identity(1).merged_into is None


def test_assigning_to_a_merged_identity_goes_to_the_survivor(crowd):
    crowd.write(Changes(identity_events=(crowd.merged(3, 1), crowd.assigned(3, number=2))))
    assert identities(crowd)[2] == 1


def test_a_split_makes_a_new_identity_for_the_tracklet_alone(crowd):
    split = IdentityEvent(EventType.SPLIT, crowd.time_us(9), 5, other=1, camera="hall", number=3, actor="anna")
    crowd.write(Changes(identity_events=(crowd.merged(3, 1), split)))
    assert identities(crowd) == {1: 1, 2: 2, 3: 5, 4: 4}
    assert crowd.repository.identity(5).opened_us == crowd.time_us(9)
    assert crowd.repository.next_identity() == 6


def test_history_tells_both_sides_in_order(crowd):
    before_us = time.time_ns() // 1000
    evidence = {"similarity": 0.91, "reason": "gait", "views": 3, "co_visible": False, "zone": None}
    crowd.write(
        Changes(identity_events=(IdentityEvent(EventType.MERGE, crowd.time_us(7), 3, 2, None, None, 0.75, evidence),))
    )
    for identity in (2, 3):
        opened, assigned, merged = crowd.repository.identity_history(identity)
        assert (opened.type, opened.identity, opened.number) == (EventType.OPEN, identity, None)
        assert (assigned.type, assigned.camera, assigned.number) == (EventType.ASSIGN, "hall", identity)
        assert (merged.type, merged.identity, merged.other) == (EventType.MERGE, 3, 2)
    assert (merged.time_us, merged.probability, merged.actor) == (crowd.time_us(7), 0.75, "machine")
    assert merged.evidence == evidence
    assert before_us <= merged.at_us <= time.time_ns() // 1000
    assert len(crowd.repository.identity_history(1)) == 2


def test_identities_are_never_reused(crowd):
    with pytest.raises(WriterFailed, match=r"(?i)unique constraint .*identities"):
        crowd.write(Changes(identity_events=(crowd.opened(2),)))


@pytest.mark.parametrize("event", ["assigned", "merged"])
def test_an_identity_that_was_never_opened_is_refused(crowd, event):
    with pytest.raises(WriterFailed, match="identity 9 is not in the database; it was never opened"):
        crowd.write(Changes(identity_events=(getattr(crowd, event)(9, 1),)))
    assert identities(crowd) == {1: 1, 2: 2, 3: 3, 4: 4}
    with pytest.raises(UnknownRecord, match="identity 9"):
        crowd.repository.identity(9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": EventType.ASSIGN}, "assign of identity 2: expected a tracklet"),
        ({"type": EventType.OPEN, "camera": "hall"}, "expected camera and number, or neither"),
        ({"type": EventType.MERGE}, "expected an older `other`, got None"),
        ({"type": EventType.MERGE, "other": 2}, "expected an older `other`, got 2"),
        ({"type": EventType.MERGE, "other": 3}, "expected an older `other`, got 3"),
        ({"type": EventType.SPLIT, "camera": "hall", "number": 1}, "split of identity 2: expected `other`"),
    ],
)
def test_events_that_say_too_little_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        IdentityEvent(time_us=0, identity=2, **fields)
