import os
from dataclasses import replace

import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes
from reid_pipeline.storage.removal import AT_ONCE
from reid_pipeline.storage.retention import Limits, Removed, Retention
from tests.storage.stored_people import DAY_US, PEOPLE, fill, time_of, traces

ALL = range(1, 2 * PEOPLE + 1)
LAST_DAY = time_of(2 * PEOPLE)


@pytest.fixture
def stored(site):
    fill(site)
    return site


def apply(site, limits, actor="retention"):
    retention = Retention(site.database)
    removed = retention.remove(limits)
    retention.account(removed, actor)
    return removed


def everything_before(time_us):
    return Limits(crops=time_us, embeddings=time_us, corpus=time_us, tracks=time_us, events=time_us)


def test_nothing_older_is_left_in_any_file_and_nothing_younger_is_gone(stored):
    removed = apply(stored, everything_before(LAST_DAY))

    old = [number for number in ALL if time_of(number) < LAST_DAY]
    assert [number for number in ALL if traces(stored, number)] == [number for number in ALL if number not in old]
    assert replace(removed, events=0) == Removed(crops=len(old), embeddings=len(old), corpus=len(old), tracks=len(old))
    assert stored.rows("SELECT number FROM tracklets") == [(number,) for number in ALL if number not in old]
    assert stored.rows("SELECT count(*) FROM segments") == [(len(ALL) - len(old),)]


def test_each_class_goes_by_itself(stored):
    assert apply(stored, Limits(crops=LAST_DAY)).crops == 5
    assert len(stored.files()) == 1
    assert stored.rows("SELECT count(*), count(crop_id) FROM embeddings") == [(6, 1)]

    assert apply(stored, Limits(embeddings=LAST_DAY)).embeddings == 5
    assert stored.rows("SELECT count(*) FROM tracklets") == [(6,)]

    assert apply(stored, Limits(corpus=LAST_DAY)).corpus == 5
    assert CorpusStore(stored.database).stats().crops == 1


def test_an_open_case_holds_what_it_names_until_it_is_closed(stored):
    cases = Cases(stored.database, Access("ada", Role.ADMIN))
    number = cases.open("theft", "report 12")
    cases.hold(number, Hold(identity=2))
    cases.hold(number, Hold(camera="hall", since_us=time_of(1), until_us=time_of(1) + 1))
    limits = everything_before(time_of(6) + DAY_US)

    apply(stored, replace(limits, corpus=None))
    assert stored.rows("SELECT number FROM tracklets") == [(1,), (2,), (5,)]
    assert stored.rows("SELECT count(*) FROM crops") == [(3,)]

    cases.close(number)
    apply(stored, limits)
    assert [number for number in ALL if traces(stored, number)] == []


@pytest.mark.parametrize(("status", "left"), [("running", 6), ("failed", 1)])
def test_what_a_run_reads_now_from_old_recordings_stays(stored, status, left):
    with stored.database.session_scope(write=True) as session:
        session.connection().exec_driver_sql(f"UPDATE runs SET started_us = {LAST_DAY}, status = '{status}'")

    apply(stored, Limits(tracks=LAST_DAY))

    assert stored.rows("SELECT count(*) FROM tracklets") == [(left,)]


def test_decisions_go_when_nobody_is_left_that_they_are_about(stored):
    apply(stored, everything_before(LAST_DAY))

    assert stored.rows("SELECT DISTINCT identity FROM identity_log") == [(3,)]
    assert stored.rows("SELECT id, vacant FROM identities ORDER BY id") == [(1, 1), (2, 1), (3, 0)]


def test_a_merge_stays_as_long_as_its_identity(stored):
    stored.write(Changes(identity_events=(stored.merged(3, 1),)))

    apply(stored, everything_before(LAST_DAY))

    assert stored.rows("SELECT identity, other FROM identity_log WHERE type = 'merge'") == [(3, 1)]
    assert stored.repository.identity(3).merged_into == 1


def test_a_call_may_be_short(stored):
    retention = Retention(stored.database, most=1)

    assert retention.remove(everything_before(LAST_DAY)).crops <= AT_ONCE
    assert not apply(stored, replace(everything_before(LAST_DAY), events=None)).crops


def test_it_is_accounted_for_once_and_only_if_anything_went(stored):
    apply(stored, Limits(crops=LAST_DAY), "nightly")
    apply(stored, Limits(crops=LAST_DAY), "nightly")

    (entry,) = AuditLog(stored.database).read()
    assert (entry.actor, entry.action, entry.subject) == ("nightly", "retention", {"crops": 5})


def test_reports_backups_and_half_written_files_go_by_when_they_were_written(site):
    for name in (
        "learning/one/report.html",
        "learning/two/report.html",
        "backups/a.db",
        "crops/x.part",
        "tracks/y.txt",
    ):
        path = site.data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        if "two" not in name:
            os.utime(path, (1, 1))
    for folder in ("one", "two"):
        os.utime(site.data_dir / "learning" / folder, (1, 1))

    removed = apply(site, Limits(reports=2_000_000, backups=2_000_000, tracks=2_000_000))

    assert (removed.reports, removed.backups, removed.files) == (1, 1, 2)
    assert [path.name for path in (site.data_dir / "learning").iterdir()] == ["two"]


def test_without_limits_nothing_goes(stored):
    assert not apply(stored, Limits())
    assert all(traces(stored, number) for number in ALL)
