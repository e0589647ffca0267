from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from reid_pipeline.storage.database import Database, open_database
from reid_pipeline.storage.errors import (
    DataDirError,
    InputError,
    NewerSchema,
    NotASiteDatabase,
    SiteBusy,
    StorageError,
)

HOLD_LOCK = """
import sys, pathlib
from reid_pipeline.storage.database import open_database
with open_database(pathlib.Path(sys.argv[1])) as database, database.lock_for_run():
    print("locked", flush=True)
    sys.stdin.read()
"""
READ_IDENTITY = """
import sys, pathlib
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.repository import Repository
data_dir = pathlib.Path(sys.argv[1])
with open_database(data_dir, create=False) as database:
    print(Repository(database, CropStore(data_dir)).next_identity())
"""


def python(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


def pragma(session, name):
    return session.scalar(text(f"PRAGMA {name}"))


def test_a_new_site_gets_its_pragmas_on_every_connection(tmp_path):
    with open_database(tmp_path / "a" / "b") as database:
        with database.session_scope() as one, database.session_scope() as two:
            for session in (one, two):
                assert pragma(session, "journal_mode") == "wal"
                assert pragma(session, "foreign_keys") == 1
                assert pragma(session, "synchronous") == 1
                assert pragma(session, "busy_timeout") == 30_000
        assert (tmp_path / "a" / "b" / "site.db").is_file()


def test_opening_again_keeps_what_is_there(tmp_path, database_url):
    for url, expected in ((database_url, 1), (database_url, 5), (None, 5)):
        with open_database(tmp_path, url) as database, database.session_scope(write=True) as session:
            assert session.scalar(text("SELECT next_identity FROM site")) == expected
            session.execute(text("UPDATE site SET next_identity = 5"))


def test_a_data_dir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match=r"file/data: cannot be written \(Not a directory\); choose"):
        open_database(tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_dir_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataDirError, match="Permission denied"):
        open_database(tmp_path)


def test_create_off_finds_no_site_and_makes_none(tmp_path):
    with pytest.raises(DataDirError, match=r"no site here \(site.db is missing\)"):
        open_database(tmp_path / "typo", create=False)
    assert not (tmp_path / "typo").exists()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "site.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(NotASiteDatabase, match=r"site\.db: file is not a database; move it away") as caught:
        open_database(tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_a_folder_in_place_of_the_database(tmp_path):
    (tmp_path / "site.db").mkdir()
    with pytest.raises(DataDirError, match=r"site\.db: unable to open database file"):
        open_database(tmp_path)


def test_the_database_of_another_program_is_left_alone(tmp_path):
    other = sqlite3.connect(tmp_path / "site.db")
    other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(NotASiteDatabase, match="another program"):
        open_database(tmp_path)
    other = sqlite3.connect(tmp_path / "site.db")
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    other.close()


def test_a_newer_schema_is_refused(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database, database.session_scope(write=True) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    place = rf"{tmp_path}/site\.db" if database_url is None else r"postgresql:///.*/test\d+"
    with pytest.raises(NewerSchema, match=rf"^{place}: its schema is 9999, .* up to \d{{4}}; update reid-pipeline$"):
        open_database(tmp_path)


def test_an_error_rolls_the_whole_write_back(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database:
        with pytest.raises(KeyError), database.session_scope(write=True) as session:
            session.execute(text("UPDATE site SET next_identity = 5"))
            raise KeyError
        with database.session_scope() as session:
            assert session.scalar(text("SELECT next_identity FROM site")) == 1


def test_a_read_scope_keeps_nothing(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database:
        with database.session_scope() as session:
            session.execute(text("UPDATE site SET next_identity = 5"))
        with database.session_scope() as session:
            assert session.scalar(text("SELECT next_identity FROM site")) == 1


def test_a_read_scope_sees_one_state(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database, database.session_scope() as reading:
        assert reading.scalar(text("SELECT next_identity FROM site")) == 1
        with database.session_scope(write=True) as session:
            session.execute(text("UPDATE site SET next_identity = 5"))
        assert reading.scalar(text("SELECT next_identity FROM site")) == 1


def test_what_the_database_refuses_is_a_storage_error(tmp_path, database_url):
    message = r"site\.db: CHECK constraint failed" if database_url is None else r'violates check constraint "[^"\n]+"$'
    with (
        open_database(tmp_path, database_url) as database,
        pytest.raises(StorageError, match=message),
        database.session_scope(write=True) as session,
    ):
        session.execute(text("INSERT INTO site VALUES (2, 1)"))


def test_one_run_at_a_time(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database, python(HOLD_LOCK, tmp_path) as holder:
        assert holder.stdout.readline() == b"locked\n"
        message = rf"another run \(process {holder.pid}( on \S+)?\) is writing here; wait"
        with pytest.raises(SiteBusy, match=message), database.lock_for_run():
            pytest.fail("two runs hold the lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        take_lock(database)
        with database.lock_for_run(), database.lock_for_learning():
            assert database_url or (tmp_path / "run.lock").read_text() == f"process {os.getpid()}"
            with pytest.raises(SiteBusy, match=rf"learning here already \(process {os.getpid()}"):
                take_lock(database, Database.lock_for_learning)
        with database.lock_for_run():
            pass


def take_lock(database, lock=Database.lock_for_run):
    with lock(database):
        pass


def test_other_processes_read_while_a_run_writes(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database, database.lock_for_run():
        with database.session_scope(write=True) as session:
            session.execute(text("UPDATE site SET next_identity = 5"))
            with python(READ_IDENTITY, tmp_path) as reader:
                assert reader.stdout.read() == b"1\n"
        with python(READ_IDENTITY, tmp_path) as reader:
            assert reader.stdout.read() == b"5\n"


def test_writers_wait_for_each_other(tmp_path, database_url):
    def count_up(database):
        for _ in range(25):
            with database.session_scope(write=True) as session:
                value = session.scalar(text("SELECT next_identity FROM site"))
                session.execute(text("UPDATE site SET next_identity = :next"), {"next": value + 1})

    url = database_url
    with open_database(tmp_path, url) as one, open_database(tmp_path) as two, ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(count_up, database) for database in (one, two, one, two)]:
            done.result()
        with one.session_scope() as session:
            assert session.scalar(text("SELECT next_identity FROM site")) == 101


def test_a_new_site_opened_by_several_processes_at_once(tmp_path):
    code = READ_IDENTITY.replace(", create=False", "")
    readers = [python(code, tmp_path / "data", stderr=subprocess.PIPE) for _ in range(4)]
    results = [reader.communicate() for reader in readers]
    assert results == [(b"1\n", b"")] * 4
