"""`kill -9` at every named step of what changes a site, and at random: nothing stored is lost, nothing gone is back."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.schema import SCHEMA_REVISION
from reid_pipeline.storage.vector_index_sync import SiteIndex
from tests.storage.act_and_die import ACTS, ERASED, retain
from tests.storage.stored_people import PEOPLE, fill, time_of, traces
from tests.storage.test_kill import check_numbers, check_prefix, check_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHILD = Path(__file__).with_name("act_and_die.py")
ROOT = Path(__file__).parents[2]
ALL = range(1, 2 * PEOPLE + 1)
LAST_DAY = time_of(2 * PEOPLE)
RANDOM_KILLS = int(os.environ.get("REID_RANDOM_KILLS", "6"))  # of each act

ERASE = (
    "erasure:Erasures._begin",
    "erasure:Erasures._erase_corpus",
    "corpus_store:CorpusStore.remove",
    "erasure:Erasures._erase_from_logs",
    "erasure:forget_watched",
    "crop_store:CropStore.delete",
    "erasure:Erasures._erase_rows",
    "erasure:erase_clips",
    "erasure:purge_indices",
    "erasure:erase_from_files",
    "erasure:shred_keys",
    "database:Database.forget_writes",
    "erasure:Erasures._finish",
)
RETAIN = (
    "retention:Retention._expire_crops",
    "crop_store:CropStore.delete",
    "retention:Retention._expire_embeddings",
    "corpus_store:CorpusStore.expire",
    "retention:Retention._expire_tracklets",
    "retention:remove_tracklet_rows",
    "retention:Retention._expire_decisions",
    "retention:scrub_indices",
    "database:Database.forget_writes",
)
INGEST = (
    "apply:ChangeApplier._begin_tracklets",
    "apply:ChangeApplier._append_boxes",
    "crop_store:CropStore.write",
    "apply:ChangeApplier._store_views",
    "corpus_writing:CorpusAppender.collect",
    "apply:IdentityLog.apply",
    "apply:ChangeApplier._end_tracklets",
    "apply:_store_progress",
    "apply:ChangeApplier.apply",
    "crop_store:CropStore.delete",
)


def act(name, folder, step="-", when="before", calls=0, *arguments):
    """Lets a process act until it is dead; gives its exit status."""
    command = [sys.executable, CHILD, name, folder, step, when, str(calls), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def act_for(name, folder, seconds, *arguments):
    """Lets a process act for a while after its beginning, then kills it."""
    command = [sys.executable, CHILD, name, folder, "-", "before", "0", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        time.sleep(seconds)  # the very moment is what is tried
        child.kill()


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def stored(site):
    """The people of `stored_people`, with a vector index on disk."""
    fill(site)
    index = SiteIndex(site.database, "m1")
    index.synchronise()
    index.save()
    let_go(site)
    return site


def let_go(site):
    """Closes all connections of this process; the next question opens one.

    SQLite knows by locks who else has a database open, and POSIX drops all locks of a process on a file as soon as it
    closes any handle of it, as `traces` does: others would then take themselves for the last and remove the log.
    """
    site.database.close()


def check_erased(site):
    """Whatever was broken off is ended; what never began is done now: either way nothing of them is left."""
    erasures = Erasures(site.database, Access("cron", Role.ADMIN))
    erasures.recover()
    done = erasures.read()
    let_go(site)
    if not done:
        assert act("erase", site.data_dir) == 0
    reports = erasures.read()  # one a call that began
    assert {each.report["crops"] for each in reports} == {2}
    left = [number for number in ALL if (number - 1) % PEOPLE + 1 != ERASED]
    check_left(site, left)
    assert AuditLog(site.database).verify().faults == ()


def check_left(site, left):
    """These tracklets are there once, with their pictures and vectors, in the index too; of the others no byte is."""
    assert [number for number in ALL if traces(site, number)] == left
    assert site.rows("SELECT number FROM tracklets ORDER BY number") == [(number,) for number in left]
    for table in ("segments", "crops", "embeddings", "corpus_items"):
        assert site.rows(f"SELECT count(*) FROM {table}") == [(len(left),)]
    for (path,) in site.rows("SELECT path FROM crops"):
        assert site.crops.read(path)
    index = SiteIndex(site.database, "m1")
    index.synchronise()
    assert len(index) == len(left)
    let_go(site)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ERASE)
def test_an_erasure_that_was_killed_is_ended(stored, step, when):
    assert act("erase", stored.data_dir, step, when) == -signal.SIGKILL
    check_erased(stored)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", RETAIN)
def test_retention_that_was_killed_goes_on(stored, step, when):
    assert act("retain", stored.data_dir, step, when, 0, LAST_DAY) == -signal.SIGKILL
    retain(stored.data_dir, LAST_DAY)
    check_left(stored, [number for number in ALL if time_of(number) >= LAST_DAY])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", INGEST)
def test_a_run_that_was_killed_loses_only_what_was_not_committed(tmp_path, step, when):
    open_database(tmp_path).close()
    numbers = {}
    for calls in (25, 40):
        assert act("ingest", tmp_path, step, when, calls) == -signal.SIGKILL
        check_whole(tmp_path)
        check_prefix(tmp_path)
        numbers = check_numbers(tmp_path, numbers)


@pytest.mark.parametrize("calls", range(0, 16, 3))
@pytest.mark.parametrize("step", ["alembic.op:create_table", "alembic.op:create_index"])
def test_an_upgrade_that_was_killed_is_done_by_the_next_call(tmp_path, step, calls):
    script = (Path(__file__).parent / "schema_0001.sql").read_text(encoding="utf-8")
    connection = sqlite3.connect(tmp_path / "site.db")
    connection.executescript(script)
    connection.close()
    died = act("upgrade", tmp_path, step, "after", calls)
    with open_database(tmp_path) as database:
        (boxes,) = Repository(database, CropStore(tmp_path)).tracklet_boxes("hall")
    assert died == -signal.SIGKILL
    assert len(boxes.frames)
    connection = sqlite3.connect(tmp_path / "site.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA_REVISION,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_an_act_that_is_killed_at_random_leaves_a_whole_site(stored):
    chance = random.Random(11)
    left = list(ALL)
    for _ in range(RANDOM_KILLS):
        name = chance.choice(("retain", "index"))
        act_for(name, stored.data_dir, chance.uniform(0, 0.3), *([0] if name == "retain" else []))
        check_left(stored, left)
    for _ in range(RANDOM_KILLS):
        act_for("erase", stored.data_dir, chance.uniform(0, 0.2))
    check_erased(stored)
    assert set(ACTS) == {"erase", "retain", "upgrade", "index", "ingest"}
