from __future__ import annotations

import logging
import threading

import pytest

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.corrections import Correction, Corrections
from reid_pipeline.storage.errors import CorrectionRefused
from reid_pipeline.storage.identity_log import BESIDE_A_RUN
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import (
    Changes,
    EventType,
    OperatorLink,
    RunStatus,
)
from reid_pipeline.storage.writer import Writer
from tests.storage.decision_model import Chance, hall, links_hold, machine, split_event

PEOPLE = (1, 2, 3, 4)


@pytest.fixture
def crowd(site):
    """Tracklets 1 to 4 of the hall belong to identities 1 to 4; no run is going on."""
    site.source()
    site.write(
        Changes(
            new_tracklets=tuple(site.begin(number) for number in PEOPLE),
            identity_events=tuple(
                event for number in PEOPLE for event in (site.opened(number), site.assigned(number, number))
            ),
        )
    )
    site.repository.end_run(site.run_id, RunStatus.DONE, 0)
    return site


@pytest.fixture
def anna(crowd):
    """The corrections of an operator."""
    return Corrections(crowd.database, Access("anna", Role.OPERATOR), "seen on the video")


def state(site):
    """Tracklet number to identity, and merged identities to survivors."""
    merged = dict(site.rows("SELECT id, merged_into FROM identities WHERE merged_into IS NOT NULL"))
    return dict(site.rows("SELECT number, identity FROM tracklets")), merged


def links(site):
    return [(link.first[1], link.second[1], link.same) for link in site.repository.operator_links()]


def test_a_merge_keeps_the_older_and_is_logged(crowd, anna):
    done = anna.merge(2, 3)
    assert done == Correction(done.log_id, EventType.MERGE, 3, 2)
    assert state(crowd) == ({1: 1, 2: 2, 3: 2, 4: 4}, {3: 2})
    record = crowd.repository.identity_history(3)[-1]
    assert (record.log_id, record.type, record.identity, record.other) == (done.log_id, EventType.MERGE, 3, 2)
    assert (record.actor, record.evidence, record.undone_by) == ("anna", {"reason": "seen on the video"}, None)


def test_a_merge_of_merged_identities_is_one_of_their_survivors(crowd, anna):
    anna.merge(4, 3)
    assert anna.merge(4, 2) == Correction(anna_log(crowd), EventType.MERGE, 3, 2)
    assert state(crowd) == ({1: 1, 2: 2, 3: 2, 4: 2}, {3: 2, 4: 2})


def anna_log(site):
    return site.rows("SELECT max(id) FROM identity_log")[0][0]


def test_a_split_makes_one_identity_of_several_tracklets(crowd, anna):
    machine(crowd, crowd.merged(2, 1), crowd.merged(3, 1))
    done = anna.split(2, hall(3, 2, 3))
    assert (done.type, done.identity, done.other) == (EventType.SPLIT, 5, 1)
    assert state(crowd)[0] == {1: 1, 2: 5, 3: 5, 4: 4}
    assert crowd.repository.next_identity() == 6


def test_undoing_a_merge_gives_back_tracklets_and_redirected_identities(crowd, anna):
    machine(crowd, crowd.merged(4, 3))
    anna.merge(3, 1)
    machine(crowd, crowd.assigned(3, 2), crowd.assigned(1, 4))  # while they are one
    undone = anna.undo(1)
    assert (undone.type, undone.identity, undone.other, undone.undone) == (EventType.UNDO, 3, 1, EventType.MERGE)
    # What the machine decided in between counts: it named 3 for tracklet 2, and 1 for tracklet 4.
    assert state(crowd) == ({1: 1, 2: 3, 3: 3, 4: 1}, {4: 3})
    merged, undo = crowd.repository.identity_history(3)[-3], crowd.repository.identity_history(3)[-1]
    assert (merged.type, merged.undone_by) == (EventType.MERGE, undone.log_id)
    assert (undo.type, undo.log_id, undo.actor) == (EventType.UNDO, undone.log_id, "anna")


def test_undoing_a_split_brings_its_tracklets_back_and_redirects_its_number(crowd, anna):
    machine(crowd, crowd.merged(2, 1), crowd.merged(3, 1))
    made = anna.split(1, hall(2, 3)).identity
    machine(crowd, crowd.assigned(made, 4))
    anna.undo(made)
    assert state(crowd) == ({1: 1, 2: 1, 3: 1, 4: 1}, {2: 1, 3: 1, made: 1})
    assert crowd.repository.next_identity() == made + 1
    # Its tracklets are again where the machine had put them, not where the split was.
    for number in (2, 3):
        anna.undo(number, machine=True)
    assert state(crowd) == ({1: 1, 2: 2, 3: 3, 4: 1}, {made: 1})


def test_undo_goes_back_step_by_step_and_out_of_order(crowd, anna):
    anna.merge(3, 2)
    anna.merge(2, 1)
    anna.merge(4, 1)
    anna.undo(3)  # the first of the three
    assert state(crowd) == ({1: 1, 2: 1, 3: 3, 4: 1}, {2: 1, 4: 1})
    anna.undo(1)
    assert state(crowd) == ({1: 1, 2: 1, 3: 3, 4: 4}, {2: 1})
    anna.undo(1)
    assert state(crowd) == ({1: 1, 2: 2, 3: 3, 4: 4}, {})
    with pytest.raises(CorrectionRefused, match="identity 1: no merge or split by an operator to undo"):
        anna.undo(1)


def test_undo_takes_the_machine_back_only_when_asked(crowd, anna):
    machine(crowd, crowd.merged(2, 1), split_event(crowd, 5, 1, 2))
    with pytest.raises(CorrectionRefused, match=r"by an operator to undo: .*, or --machine"):
        anna.undo(1)
    anna.undo(1, machine=True)
    assert state(crowd) == ({1: 1, 2: 1, 3: 3, 4: 4}, {2: 1, 5: 1})
    assert links(crowd) == [(1, 2, True)]
    anna.undo(2, machine=True)
    assert state(crowd) == ({1: 1, 2: 2, 3: 3, 4: 4}, {5: 1})
    assert links(crowd) == [(1, 2, False)]


def test_what_followed_a_split_has_to_be_undone_first(crowd, anna):
    machine(crowd, crowd.merged(2, 1))
    made = anna.split(1, hall(2)).identity
    machine(crowd, crowd.merged(made, 3))
    with pytest.raises(CorrectionRefused, match=f"undo these first: identity undo {made} --machine"):
        anna.undo(1)
    anna.undo(made, machine=True)
    anna.undo(1)
    assert state(crowd)[0] == {1: 1, 2: 1, 3: 3, 4: 4}


def test_a_tracklet_of_an_undone_split_goes_back_to_whom_it_was_of(crowd, anna):
    anna.merge(2, 1)
    made = anna.split(1, hall(2)).identity
    anna.undo(2)  # 2 is not 1, and has lost its only tracklet
    assert state(crowd) == ({1: 1, 2: made, 3: 3, 4: 4}, {})
    anna.undo(made)
    assert state(crowd) == ({1: 1, 2: 2, 3: 3, 4: 4}, {made: 1})
    assert not crowd.repository.identity(2).vacant


def test_vacancy_follows_what_is_undone(crowd, anna):
    anna.merge(3, 2)
    crowd.source(fingerprint="f2")
    with crowd.database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("DELETE FROM tracklets WHERE number = 3")
    anna.undo(3)
    assert [crowd.repository.identity(each).vacant for each in (2, 3)] == [False, True]
    anna.merge(4, 3)
    assert not crowd.repository.identity(3).vacant


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (lambda anna: anna.merge(1, 9), "identity 9: does not exist"),
        (lambda anna: anna.merge(2, 2), "identities 2 and 2: are one already"),
        (lambda anna: anna.merge(1, 10**20), "identity 100000000000000000000: does not exist"),
        (lambda anna: anna.split(9, hall(1)), "identity 9: does not exist"),
        (lambda anna: anna.split(1, hall(2**31)), "hall:2147483648: no tracklet of identity 1"),
        (lambda anna: anna.split(1, ()), "no tracklet was named"),
        (lambda anna: anna.split(1, hall(2)), "hall:2: no tracklet of identity 1"),
        (lambda anna: anna.split(1, [("door", 1)]), "door:1: no tracklet of identity 1"),
        (lambda anna: anna.split(1, hall(1)), "these are all its tracklets"),
        (lambda anna: anna.confirm(9, hall(1, 2)), "identity 9: does not exist"),
        (lambda anna: anna.confirm(1, hall(1, 2)), "hall:2: no tracklet of identity 1"),
        (lambda anna: anna.confirm(1, hall(1, 1)), "identity 1: expected at least two tracklets"),
        (lambda anna: anna.undo(9), "identity 9: does not exist"),
        (
            lambda anna: Corrections(None, Access("machine", Role.OPERATOR)),
            "actor 'machine': expected the name of an operator",
        ),
        (lambda anna: Corrections(None, Access(" ", Role.OPERATOR)), "actor ' '"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(crowd, anna, correct, message):
    before = state(crowd), anna_log(crowd)
    with pytest.raises(CorrectionRefused, match=message):
        correct(anna)
    assert (state(crowd), anna_log(crowd)) == before


def test_a_split_beside_a_run_takes_no_number_of_the_run(crowd, anna):
    machine(crowd, crowd.merged(2, 1), crowd.merged(3, 1))
    run = crowd.repository.begin_run({}, {}, 0)
    assert anna.split(1, hall(2)).identity == BESIDE_A_RUN + 1
    assert crowd.repository.next_identity() == 5
    machine(crowd, crowd.opened(5))
    crowd.repository.end_run(run, RunStatus.DONE, 0)
    assert anna.split(1, hall(3)).identity == 6
    anna.merge(6, BESIDE_A_RUN + 1)
    assert anna.split(6, hall(2)).identity == 7
    anna.merge(7, 6)
    anna.undo(7)
    assert state(crowd)[0] == {1: 1, 2: 7, 3: 6, 4: 4}


def test_a_split_of_one_that_was_made_beside_a_run_is_younger(crowd, anna):
    machine(crowd, *(crowd.merged(each, 1) for each in (2, 3, 4)))
    run = crowd.repository.begin_run({}, {}, 0)
    anna.split(1, hall(2, 3))
    crowd.repository.end_run(run, RunStatus.DONE, 0)
    assert anna.split(BESIDE_A_RUN + 1, hall(3)).identity == BESIDE_A_RUN + 2
    anna.undo(BESIDE_A_RUN + 2)
    assert state(crowd)[1][BESIDE_A_RUN + 2] == BESIDE_A_RUN + 1


def test_links_tell_who_is_one_and_who_is_not(crowd, anna):
    assert links(crowd) == []
    anna.merge(2, 1)
    anna.merge(3, 1)
    assert crowd.repository.operator_links() == (
        OperatorLink(("hall", 1), ("hall", 2), True),
        OperatorLink(("hall", 1), ("hall", 3), True),
    )
    anna.split(1, hall(3))  # outdoes a part of the merges
    assert links(crowd) == [(1, 2, True), (1, 3, False)]
    anna.merge(5, 4)
    assert links(crowd) == [(1, 2, True), (1, 3, False), (3, 4, True)]
    anna.undo(5)
    anna.undo(5)  # and now it was never said
    assert links(crowd) == [(1, 2, True), (1, 3, True)]


def test_an_older_word_does_not_outlast_the_one_that_outdid_it(crowd, anna):
    anna.merge(3, 1)
    made = anna.split(1, hall(1)).identity
    anna.merge(made, 1)
    anna.undo(3)  # not the last: 1 and 3 are two again, but were said to be one since they were said to be two
    assert state(crowd)[0] == {1: 1, 2: 2, 3: 3, 4: 4}
    assert links(crowd) == []
    machine(crowd, crowd.merged(3, 1))
    assert state(crowd)[0] == {1: 1, 2: 2, 3: 1, 4: 4}


def test_undoing_the_machine_says_nothing_of_each_side_alone(crowd, anna):
    machine(crowd, crowd.assigned(2, 3), crowd.merged(2, 1))
    anna.undo(2, machine=True)
    assert state(crowd)[0] == {1: 1, 2: 2, 3: 2, 4: 4}
    assert links(crowd) == [(1, 2, False), (1, 3, False)]
    machine(crowd, split_event(crowd, 5, 2, 3), crowd.merged(2, 1))
    assert state(crowd)[0] == {1: 1, 2: 2, 3: 5, 4: 4}


def test_links_of_removed_tracklets_are_gone(crowd, anna):
    anna.merge(2, 1)
    crowd.source(again=True)
    assert links(crowd) == []
    assert crowd.rows("SELECT * FROM decision_tracklets") == []


class TestNews:
    """What who decides beside operators hears of them."""

    def test_nobody_has_said_anything(self, crowd):
        news = crowd.repository.operator_news()
        assert (news.log_id, news.links, news.identities, news.survivors) == (0, (), {}, {})
        machine(crowd, crowd.merged(2, 1))
        assert crowd.repository.operator_news(0) is None

    def test_a_merge_a_split_and_their_undoing(self, crowd, anna):
        done = anna.merge(2, 1)
        news = crowd.repository.operator_news(0)
        assert (news.log_id, news.links) == (done.log_id, crowd.repository.operator_links())
        assert (news.identities, news.survivors) == ({("hall", 1): 1, ("hall", 2): 1}, {1: 1, 2: 1})
        assert crowd.repository.operator_news(news.log_id) is None
        machine(crowd, crowd.assigned(1, 4))
        made = anna.split(1, hall(1)).identity
        news = crowd.repository.operator_news(news.log_id)
        assert news.identities == {("hall", 1): made, ("hall", 2): 1, ("hall", 4): 1}
        assert news.survivors == {1: 1, made: made}
        anna.undo(made)
        anna.undo(2)
        news = crowd.repository.operator_news(news.log_id)
        assert news.identities == {("hall", 1): 1, ("hall", 2): 2, ("hall", 4): 1}
        assert news.survivors == {1: 1, 2: 2, made: 1}
        assert news.links == ()

    def test_undoing_the_machine_is_news(self, crowd, anna):
        machine(crowd, crowd.merged(3, 2))
        before = crowd.repository.operator_news().log_id
        anna.undo(3, machine=True)
        news = crowd.repository.operator_news(before)
        assert (news.identities, news.survivors) == ({("hall", 2): 2, ("hall", 3): 3}, {2: 2, 3: 3})


def refused(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_the_machine_does_not_take_apart_what_an_operator_merged(crowd, anna, caplog):
    anna.merge(2, 1)
    machine(crowd, split_event(crowd, 5, 1, 2), crowd.assigned(3, 2), crowd.opened(6), crowd.assigned(6, 1))
    assert state(crowd) == ({1: 1, 2: 1, 3: 3, 4: 4}, {2: 1})
    assert refused(caplog) == [
        "split of identity 5 was dropped, an operator decided: the tracklet was said to be one with others of 1",
        "assign of identity 3 was dropped, an operator decided: the tracklet was said to be one with others of 1",
        "assign of identity 6 was dropped, an operator decided: the tracklet was said to be one with others of 1",
    ]
    # The number of the split is taken all the same: the machine goes on with it.
    machine(crowd, crowd.assigned(5, 4))
    assert state(crowd)[0][4] == 5
    assert [record.type for record in crowd.repository.identity_history(5)] == [EventType.OPEN, EventType.ASSIGN]


def test_the_machine_does_not_join_what_an_operator_split(crowd, anna, caplog):
    machine(crowd, crowd.merged(2, 1))
    made = anna.split(1, hall(2)).identity
    machine(crowd, crowd.merged(made, 1), crowd.assigned(1, 2), crowd.assigned(made, 1))
    assert state(crowd)[0] == {1: 1, 2: made, 3: 3, 4: 4}
    assert refused(caplog) == [
        f"merge of identity {made} was dropped, an operator decided: {made} and 1 were told apart",
        "assign of identity 1 was dropped, an operator decided: the tracklet was said not to be of 1",
        f"assign of identity {made} was dropped, an operator decided: the tracklet was said not to be of {made}",
    ]
    machine(crowd, crowd.merged(3, 1))  # others are free
    machine(crowd, crowd.merged(made, 3))  # 3 is 1 by now
    assert state(crowd)[0] == {1: 1, 2: made, 3: 1, 4: 4}


def test_a_confirmation_changes_nothing_but_what_the_machine_may_do(crowd, anna, caplog):
    machine(crowd, crowd.merged(2, 1), crowd.merged(3, 1))
    before = state(crowd)
    done = anna.confirm(2, hall(2, 1))
    assert done == Correction(done.log_id, EventType.CONFIRM, 1, 1)
    assert (state(crowd), links(crowd)) == (before, [(1, 2, True)])
    machine(crowd, split_event(crowd, 5, 1, 2), crowd.assigned(4, 1), crowd.assigned(4, 3))
    assert state(crowd)[0] == {1: 1, 2: 1, 3: 4, 4: 4}  # of 3 nothing was said
    assert len(refused(caplog)) == 2
    (noted,) = [each for each in AuditLog(crowd.database).read() if each.action == Action.CONFIRM]
    assert (noted.actor, noted.reason) == ("anna", "seen on the video")
    assert noted.subject == {"identity": 1, "other": 1, "log_id": done.log_id}
    record = next(each for each in crowd.repository.identity_history(1) if each.log_id == done.log_id)
    assert (record.type, record.camera, record.number, record.actor) == (EventType.CONFIRM, "hall", 2, "anna")


def test_a_confirmation_is_news_and_can_be_undone(crowd, anna):
    machine(crowd, crowd.merged(2, 1))
    done = anna.confirm(1, hall(1, 2))
    news = crowd.repository.operator_news(done.log_id - 1)
    assert (news.log_id, news.links) == (done.log_id, (OperatorLink(("hall", 1), ("hall", 2), True),))
    undone = anna.undo(1)
    assert (undone.undone, undone.identity, undone.other) == (EventType.CONFIRM, 1, 1)
    assert links(crowd) == []
    machine(crowd, split_event(crowd, 5, 1, 2))
    assert state(crowd)[0] == {1: 1, 2: 5, 3: 3, 4: 4}


def test_a_confirmation_keeps_no_split_from_being_undone(crowd, anna):
    machine(crowd, crowd.merged(2, 1), crowd.merged(3, 1))
    made = anna.split(1, hall(2, 3)).identity
    anna.confirm(made, hall(2, 3))
    anna.undo(1)  # the split is the last decision that names 1
    assert state(crowd)[0] == {1: 1, 2: 1, 3: 1, 4: 4}
    assert links(crowd) == [(2, 3, True)]


def test_a_running_writer_hears_of_a_correction_at_its_next_commit(crowd, anna, caplog):
    anna.merge(4, 3)
    committed = threading.Semaphore(0)
    with Writer(crowd.database, crowd.crops, on_commit=lambda _: committed.release()) as writer:
        writer.put(Changes(identity_events=(crowd.merged(2, 1),)))
        assert committed.acquire(timeout=60)
        made = anna.split(1, hall(2)).identity
        writer.put(Changes(identity_events=(crowd.merged(made, 1),)))
    assert state(crowd)[0] == {1: 1, 2: made, 3: 3, 4: 3}
    assert len(refused(caplog)) == 1


@pytest.mark.parametrize("seed", [*range(7), 500])
def test_random_decisions_give_what_a_replay_of_the_log_gives(crowd, seed):
    crowd.write(
        Changes(
            new_tracklets=(crowd.begin(5), crowd.begin(6)),
            identity_events=tuple(
                event for each in (5, 6) for event in (crowd.opened(each), crowd.assigned(each, each))
            ),
        )
    )
    chance = Chance(crowd, (*PEOPLE, 5, 6), seed)
    for _ in range(40):
        chance.step()
        tracklets, merged = chance.log.replay()
        assert state(crowd) == (tracklets, merged)
        assert links_hold(crowd.repository.operator_links(), tracklets)
    assert sum(entry[5] for entry in chance.log.decisions) >= 1
