from itertools import count

import pytest
from sqlalchemy import text

from reid_pipeline.storage.audit_log import Action, AuditLog, canonical
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import DataDirError
from reid_pipeline.storage.schema_governance import Erasure
from reid_pipeline.storage.signing import KEY_NAME, open_signing_key, verifies


@pytest.fixture
def database(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database:
        yield database


@pytest.fixture
def log(database):
    """Five entries, at 0 to 4 microseconds."""
    ticks = count()
    log = AuditLog(database, lambda: next(ticks))
    for number in range(5):
        log.note("ada", Action.SEARCH, f"case {number}", {"identity": number})
    return log


def change(database, statement):
    with database.session_scope(write=True) as session:
        session.execute(text(statement))


def test_entries_come_back_in_order(log):
    found = [
        (each.id, each.at_us, each.actor, each.action, each.reason, each.subject["identity"]) for each in log.read()
    ]

    assert found == [(n + 1, n, "ada", "search", f"case {n}", n) for n in range(5)]
    assert [each.at_us for each in log.read(since_us=1, until_us=3)] == [1, 2]


def test_an_untouched_log_is_found_whole(log):
    check = log.verify()

    assert (check.entries, check.first, check.last, check.faults) == (5, 1, 5, ())


def test_an_empty_log_is_whole(database):
    assert AuditLog(database).verify().faults == ()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE audit_log SET content = replace(content, 'case 1', 'case 9') WHERE id = 2",
            "entry 2: its content was",
        ),
        ("UPDATE audit_log SET at_us = 9 WHERE id = 2", "entry 2: does not follow"),
        ("UPDATE audit_log SET content_digest = digest WHERE id = 3", "entry 3"),
        ("UPDATE audit_log SET content = NULL WHERE id = 3", "entry 3: its content is gone"),
        ("DELETE FROM audit_log WHERE id = 3", "entries 3 to 3 are missing"),
        ("DELETE FROM audit_log WHERE id = 1", "entries 1 to 1 are missing"),
        ("DELETE FROM audit_log WHERE id >= 4", "entries 4 to 5 are missing at the end"),
        ("DELETE FROM audit_seals", "entry 5: the end of the log is not"),
        ("UPDATE audit_seals SET entry_id = 4", "the end of the log was not signed"),
    ],
)
def test_any_change_is_found(database, log, statement, fault):
    change(database, statement)

    assert any(each.startswith(fault) for each in log.verify().faults)


def test_a_chain_that_was_made_anew_is_found_by_its_signature(database, log, tmp_path):
    (tmp_path / KEY_NAME).unlink()
    forger = AuditLog(database)
    change(database, "DELETE FROM audit_log")
    change(database, "DELETE FROM audit_seals")
    forger.note("eve", Action.SEARCH, "", {})

    assert log.verify().faults == ("the end of the log was not signed by this site's key",)


def test_the_oldest_entries_expire_and_the_rest_is_whole(database, log):
    assert log.expire(3) == 3

    check = log.verify()
    assert (check.entries, check.first, check.faults) == (2, 4, ())
    assert log.expire(3) == 0
    change(database, "DELETE FROM audit_log WHERE id = 4")
    assert log.verify().faults[0] == "entries 4 to 4 are missing"


def test_the_last_entry_never_expires(log):
    assert log.expire(1_000) == 4
    assert log.verify().faults == ()


def test_an_entry_after_expiry_follows_from_the_last_one(log):
    log.expire(1_000)

    assert log.note("ada", Action.SEARCH, "", {}) == 6
    assert log.verify().faults == ()


def test_an_erasure_takes_contents_and_the_chain_holds(database, log):
    report, key = {"identity": 7}, open_signing_key(database.data_dir)
    with database.session_scope(write=True) as session:
        signed = key.sign(canonical(report))
        session.add(Erasure(at_us=9, actor="ada", finished=True, plan={}, report=report, signature=signed))
        session.flush()
        log.blank_in(session.connection(), [2, 3], 1)

    check = log.verify()
    assert (check.entries, check.erased, check.faults) == (5, 2, ())
    assert [each.erasure for each in log.read()] == [None, 1, 1, None, None]

    change(database, """UPDATE erasures SET report = '{"identity": 8}'""")
    assert len(log.verify().faults) == 2


def test_the_key_is_for_its_owner_alone_and_stays(tmp_path):
    first, second = open_signing_key(tmp_path), open_signing_key(tmp_path)

    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert verifies(first.public, second.sign(b"x"), b"x")
    assert not verifies(first.public, second.sign(b"x"), b"y")
    assert [each.name for each in tmp_path.iterdir()] == [KEY_NAME]


def test_a_broken_key_is_named(tmp_path):
    (tmp_path / KEY_NAME).write_bytes(b"short")

    with pytest.raises(DataDirError, match=r"signing\.key: 5 bytes: expected a key of 32"):
        open_signing_key(tmp_path)
