from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import NotAllowed, WatchRefused
from reid_pipeline.storage.permissions import ALLOWED, MACHINE_ACCESS, Access, Permission, Role
from reid_pipeline.storage.records import Changes, ModelRecord, NewAlert
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.watch_alerts import AlertFilter, WatchAlerts
from reid_pipeline.storage.watch_lists import LONGEST_US, Proposal, WatchLists, WatchState, read_active
from reid_pipeline.storage.watch_vectors import Example
from tests.storage.stored_people import DAY_US, fill, time_of, vector

NOW_US = 4_000_000_000_000_000  # in the year 2096: retention goes by the real clock
PAST_US = 1_000_000_000_000
IVY = Access("ivy", Role.INVESTIGATOR)
PAM = Access("pam", Role.PRIVACY_OFFICER)
ADA = Access("ada", Role.ADMIN)


@pytest.fixture
def stored_site(site):
    fill(site)
    Cases(site.database, ADA).open("theft", "report 12")
    return site


def lists(site, access=IVY, now_us=NOW_US):
    return WatchLists(site.database, access, lambda: now_us)


PROPOSAL = Proposal(1, "report 12", NOW_US + DAY_US, 0.1, "red coat", identity=2)
SEEN = replace(PROPOSAL, identity=None, examples=(Example("m1", vector(1), ("hall", 1)), Example("m1", vector(9))))


def watch(site, proposal=PROPOSAL, now_us=NOW_US):
    """An active entry."""
    entry = lists(site, now_us=now_us).propose(replace(proposal, expires_us=now_us + DAY_US))
    lists(site, PAM, now_us).approve(entry)
    return entry


def alert(site, entry, number, time_us=7, probability=0.95):
    site.write(Changes(alerts=(NewAlert(entry, "hall", number, time_us, probability),)))


def active(site, now_us=NOW_US):
    return [each.id for each in read_active(site.database, now_us)]


def test_an_entry_from_its_proposal_to_its_end(stored_site):
    entry = lists(stored_site).propose(PROPOSAL)
    assert active(stored_site) == []
    assert lists(stored_site).read()[0].state is WatchState.PENDING

    lists(stored_site, PAM).approve(entry, "agreed")
    (known,) = lists(stored_site).read()
    assert (known.state, known.approved, known.added) == (WatchState.ACTIVE, (NOW_US, "pam"), (NOW_US, "ivy"))
    assert (known.case, known.label, known.reason, known.identity, known.rate) == (1, "red coat", "report 12", 2, 0.1)
    (found,) = read_active(stored_site.database, NOW_US)
    assert (found.id, found.identity, found.rate, found.examples) == (1, 2, 0.1, {})

    lists(stored_site).end(entry)
    assert lists(stored_site).read()[0].state is WatchState.ENDED
    assert active(stored_site) == []
    log = [(each.actor, each.reason, dict(each.subject)) for each in AuditLog(stored_site.database).read()][1:]
    assert log == [
        ("ivy", "report 12", {"watch": 1, "what": "propose", "case": 1, "identity": 2, "rate": 0.1}),
        ("pam", "agreed", {"watch": 1, "what": "approve"}),
        ("ivy", "", {"watch": 1, "what": "end"}),
    ]


def test_a_second_person_has_to_agree(stored_site):
    entry = lists(stored_site, ADA).propose(PROPOSAL)

    with pytest.raises(WatchRefused, match="entry 1: ada has added it: expected a second person"):
        lists(stored_site, ADA).approve(entry)
    with pytest.raises(NotAllowed, match=r"ivy \(investigator\) may not approve that people are watched for"):
        lists(stored_site).approve(entry)
    assert active(stored_site) == []

    lists(stored_site, PAM).approve(entry)
    assert active(stored_site) == [1]
    with pytest.raises(WatchRefused, match="entry 1: is active: expected one that is pending"):
        lists(stored_site, PAM).approve(entry)


def test_an_entry_expires_and_ends_with_its_case(stored_site):
    watch(stored_site)
    watch(stored_site)
    assert active(stored_site, PROPOSAL.expires_us - 1) == [1, 2]
    assert active(stored_site, PROPOSAL.expires_us) == []
    assert lists(stored_site, now_us=PROPOSAL.expires_us).read()[0].state is WatchState.EXPIRED

    pending = lists(stored_site).propose(PROPOSAL)
    Cases(stored_site.database, ADA).close(1)
    assert active(stored_site) == []
    assert {each.state for each in lists(stored_site).read()} == {WatchState.CASE_CLOSED}
    with pytest.raises(WatchRefused, match="entry 3: is case closed"):
        lists(stored_site, PAM).approve(pending)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"case": 9}, "case 9: expected the number of an open case"),
        ({"reason": " "}, "expected a reason"),
        ({"identity": None}, "expected either an identity or examples"),
        ({"examples": SEEN.examples}, "expected either an identity or examples"),
        ({"identity": 99}, "identity 99 is not in the database"),
        ({"expires_us": NOW_US}, "expected an end in the future and within 30 days"),
        ({"expires_us": NOW_US + LONGEST_US + 1}, "expected an end in the future and within 30 days"),
        ({"rate": 0.0}, "rate 0: expected a part of the alerts above 0 and up to 0.5"),
        ({"rate": 0.51}, "rate 0.51: expected a part"),
    ],
)
def test_what_cannot_be_is_refused(stored_site, wrong, fault):
    with pytest.raises(WatchRefused, match=fault):
        lists(stored_site).propose(replace(PROPOSAL, **wrong))
    assert lists(stored_site).read() == ()
    lists(stored_site).propose(replace(PROPOSAL, expires_us=NOW_US + LONGEST_US, rate=0.5))


def test_an_entry_that_is_not_there(stored_site):
    for act in (lists(stored_site).end, lists(stored_site, PAM).approve):
        with pytest.raises(WatchRefused, match="entry 9: there is none"):
            act(9)
    watch(stored_site)
    lists(stored_site).end(1)
    with pytest.raises(WatchRefused, match="was ended before"):
        lists(stored_site).end(1)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_its_row_says(stored_site, role):
    access = Access("eve", role)
    entry = lists(stored_site).propose(PROPOSAL)
    mine = ALLOWED[role]
    tries = [
        (Permission.WATCH in mine, lambda: lists(stored_site, access).propose(PROPOSAL)),
        (not mine.isdisjoint({Permission.WATCH, Permission.APPROVE}), lambda: lists(stored_site, access).read()),
        (Permission.APPROVE in mine, lambda: lists(stored_site, access).approve(entry)),
        (not mine.isdisjoint({Permission.WATCH, Permission.APPROVE}), lambda: lists(stored_site, access).end(entry)),
        (Permission.ACKNOWLEDGE in mine, lambda: WatchAlerts(stored_site.database, access).read()),
    ]
    for allowed, act in tries:
        if allowed:
            act()
        else:
            with pytest.raises(NotAllowed):
                act()
    with pytest.raises(NotAllowed, match="eve sees hall"):
        lists(stored_site, Access("eve", Role.ADMIN, frozenset({"hall"}))).propose(PROPOSAL)


def test_examples_are_of_models_and_go_with_their_tracklets(stored_site):
    stored_site.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
    other = Example("m2", np.ones(3, np.float32))
    watch(stored_site, replace(SEEN, examples=(*SEEN.examples, other)))
    (found,) = read_active(stored_site.database, NOW_US)
    assert found.identity is None
    np.testing.assert_array_equal(found.examples["m1"], [vector(1), vector(9)])
    np.testing.assert_array_equal(found.examples["m2"], [[1, 1, 1]])
    assert lists(stored_site).read()[0].examples == {"m1": 2, "m2": 1}

    Retention(stored_site.database).remove(Limits(tracks=time_of(1) + 1))
    (found,) = read_active(stored_site.database, NOW_US)
    np.testing.assert_array_equal(found.examples["m1"], [vector(9)])


def test_an_identity_is_followed_through_merges(stored_site):
    watch(stored_site)
    Corrections(stored_site.database, Access("anna", Role.OPERATOR), "").merge(1, 2)
    assert [each.identity for each in read_active(stored_site.database, NOW_US)] == [1]
    assert lists(stored_site).read()[0].identity == 1


class TestAlerts:
    def test_an_alert_is_told_once_and_acknowledged_once(self, stored_site):
        entry = watch(stored_site)
        for number, time_us in ((1, 7), (2, 9), (1, 11)):
            alert(stored_site, entry, number, time_us)
        alerts = WatchAlerts(stored_site.database, Access("olga", Role.OPERATOR), lambda: 5)
        assert [(each.tracklet, each.time_us) for each in alerts.read()] == [(("hall", 2), 9), (("hall", 1), 7)]
        first = alerts.read()[1]
        assert (first.entry, first.case, first.label, first.identity) == (entry, 1, "red coat", 1)
        assert (first.probability, first.acknowledged) == (0.95, None)

        alerts.acknowledge([first.id], "seen")
        WatchAlerts(stored_site.database, ADA, lambda: 6).acknowledge([first.id])
        assert [each.acknowledged for each in alerts.read()] == [None, (5, "olga")]
        assert [each.id for each in alerts.read(AlertFilter(unacknowledged=True))] == [2]
        assert [each.id for each in alerts.read(AlertFilter(since_us=8))] == [2]
        assert [each.id for each in alerts.read(AlertFilter(most=1))] == [2]
        last = list(AuditLog(stored_site.database).read())[-2]
        assert (last.actor, last.reason) == ("olga", "seen")
        assert last.subject == {"what": "acknowledge", "alerts": [1]}

    def test_alerts_of_other_cameras_are_not_seen(self, stored_site):
        alert(stored_site, watch(stored_site), 1)
        blind = WatchAlerts(stored_site.database, Access("olga", Role.OPERATOR, frozenset({"door"})))
        assert blind.read() == ()
        for number in (1, 99):
            with pytest.raises(WatchRefused, match=f"alert {number}: there is none"):
                blind.acknowledge([number])
        assert len(WatchAlerts(stored_site.database, Access("olga", Role.OPERATOR, frozenset({"hall"}))).read()) == 1

    def test_an_alert_goes_with_its_tracklet(self, stored_site):
        entry = watch(stored_site)
        alert(stored_site, entry, 1)
        alert(stored_site, entry, 2)
        Retention(stored_site.database).remove(Limits(tracks=time_of(1) + 1))
        assert [each.tracklet for each in WatchAlerts(stored_site.database, ADA).read()] == [("hall", 2)]

    def test_it_is_in_the_transaction_of_its_tracklet(self, stored_site):
        """An alert of a tracklet that begins in the same commit."""
        entry = watch(stored_site)
        new = replace(stored_site.begin(50), first_frame=50)
        stored_site.write(Changes(new_tracklets=(new,), alerts=(NewAlert(entry, "hall", 50, 3, 0.9),)))
        assert [each.tracklet for each in WatchAlerts(stored_site.database, ADA).read()] == [("hall", 50)]


class TestRemoval:
    @pytest.mark.parametrize(
        ("proposal", "target"),
        [(PROPOSAL, Target(identity=2)), (SEEN, Target(tracklets=(("hall", 1),))), (SEEN, Target(identity=1))],
        ids=["identity", "example", "identity of an example"],
    )
    def test_erasure_ends_what_watches_for_who_is_erased(self, stored_site, proposal, target):
        entry, other = watch(stored_site, proposal), watch(stored_site, replace(PROPOSAL, identity=3))
        for each in (entry, other):
            alert(stored_site, each, 6)
        Erasures(stored_site.database, PAM, lambda: NOW_US).erase(target, "asked for")
        gone, left = lists(stored_site).read()
        assert (gone.state, gone.label, gone.reason, gone.examples) == (WatchState.ENDED, "", "", {})
        assert gone.ended == (NOW_US, "pam")
        assert (left.state, left.label) == (WatchState.ACTIVE, "red coat")
        assert [each.entry for each in WatchAlerts(stored_site.database, ADA).read()] == [other]
        assert stored_site.rows("SELECT count(*) FROM watch_examples") == [(0,)]

    def test_examples_go_when_an_entry_is_over(self, stored_site):
        ended, _, _ = (watch(stored_site, SEEN, now_us) for now_us in (NOW_US, PAST_US, NOW_US))
        lists(stored_site).end(ended)
        assert stored_site.rows("SELECT count(*) FROM watch_examples") == [(4,)]
        assert Retention(stored_site.database).remove(Limits(audit=PAST_US)).watch == 2
        assert stored_site.rows("SELECT DISTINCT entry_id FROM watch_examples") == [(3,)]
        Cases(stored_site.database, ADA).close(1)
        assert Retention(stored_site.database).remove(Limits()).watch == 2
        assert len(lists(stored_site).read()) == 3

    def test_entries_go_as_late_as_the_audit_log(self, stored_site):
        alert(stored_site, watch(stored_site, now_us=PAST_US), 1)
        Retention(stored_site.database).remove(Limits(audit=PAST_US + DAY_US))
        assert len(lists(stored_site).read()) == 1
        assert Retention(stored_site.database).remove(Limits(audit=PAST_US + DAY_US + 1)).watch == 1
        assert lists(stored_site).read() == ()
        assert WatchAlerts(stored_site.database, ADA).read() == ()


def test_a_crop_is_read_by_who_sees_its_camera(stored_site):
    from reid_pipeline.storage.repository import Repository

    with stored_site.database.session_scope() as session:
        path = session.execute(text("SELECT path FROM crops ORDER BY id")).scalars().first()
    for access in (MACHINE_ACCESS, Access("vic", Role.VIEWER, frozenset({"hall"}))):
        assert Repository(stored_site.database, stored_site.crops, access).read_crop(path).startswith(b"\xff\xd8")
    blind = Repository(stored_site.database, stored_site.crops, Access("vic", Role.VIEWER, frozenset({"door"})))
    with pytest.raises(NotAllowed, match="vic may not see who was where of hall"):
        blind.read_crop(path)
