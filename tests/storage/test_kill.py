from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sqlalchemy import text

from reid_pipeline.storage.box_codec import unpack_boxes
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.repository import Repository
from tests.storage.run_until_killed import corpus_jpeg

CHILD = Path(__file__).with_name("run_until_killed.py")
ROUNDS = {"sqlite": 12, "postgresql": 4}  # the server itself is not killed


def run_and_kill(data_dir, commits, chance):
    """Kills a run soon after it has reported so many commits, and returns the last frame that it reported."""
    with subprocess.Popen([sys.executable, CHILD, data_dir], stdout=subprocess.PIPE, text=True) as child:
        for _ in range(commits):
            last = child.stdout.readline()
        # Without it the run would always be at the same point, just after a commit. A commit takes about 2 ms.
        time.sleep(chance.uniform(0, 0.01))
        child.kill()
        return int(([last, *child.stdout.read().splitlines(keepends=True)])[-1])


def query(data_dir, statement):
    with open_database(data_dir, create=False) as database, database.session_scope() as session:
        return [tuple(row) for row in session.execute(text(statement))]


def wait_for_writers(data_dir):
    """What the killed process had sent to a server may still be going on there."""
    with open_database(data_dir) as database, database.session_scope(write=True) as session:
        session.execute(text("SELECT 1"))


def check_whole(data_dir):
    """The database is sound, and each crop that a row names is there in full."""
    if (data_dir / "site.db").exists():
        assert query(data_dir, "PRAGMA integrity_check") == [("ok",)]
        assert query(data_dir, "PRAGMA foreign_key_check") == []
    crops = query(data_dir, "SELECT path, bytes, number, frame FROM crops c JOIN tracklets t ON t.id = c.tracklet_id")
    assert crops
    for path, size, number, frame in crops:
        stored = CropStore(data_dir).read(path)
        assert len(stored) == size
        assert stored.startswith(b"%d %d " % (number, frame))
    assert query(data_dir, "SELECT count(*) FROM embeddings WHERE crop_id IS NOT NULL") == [(len(crops),)]
    check_corpus(data_dir)


def check_corpus(data_dir):
    """Each frame has given a crop of each tracklet, and its bytes are there."""
    with open_database(data_dir) as database:
        store = CorpusStore(database)
        tracklets = {each.id: each for each in store.tracklets()}
        items = list(store.read(store.items()))
    seen = [(tracklets[item.tracklet].number, item.time_us) for item, _ in items]
    assert [jpeg for _, jpeg in items] == [corpus_jpeg(*each) for each in seen]
    shown = query(data_dir, "SELECT number, first_frame, last_frame FROM tracklets")
    assert sorted(seen) == sorted((number, frame) for number, *span in shown for frame in range(span[0], span[1] + 1))
    assert sorted((each.number, each.first_us, each.last_us) for each in tracklets.values()) == sorted(shown)


def check_prefix(data_dir):
    """Exactly what `run_until_killed` writes up to the last committed frame, and nothing after it."""
    ((committed,),) = query(data_dir, "SELECT frames_committed FROM sources")
    boxes = unpack_boxes(b"".join(data for (data,) in query(data_dir, "SELECT data FROM segments")))
    np.testing.assert_array_equal(np.sort(boxes.frames), np.repeat(np.arange(1, committed + 1), 3))
    tracklets = query(data_dir, "SELECT first_frame, last_frame, identity FROM tracklets")
    assert max(last for _, last, _ in tracklets) == committed
    assert all((identity is not None) == (last - first >= 2) for first, last, identity in tracklets)
    assigned = query(data_dir, "SELECT count(*) FROM identity_log WHERE type = 'assign'")
    assert assigned == [(sum(identity is not None for *_, identity in tracklets),)]
    return committed


def check_numbers(data_dir, earlier):
    """No number was given twice; returns number to first frame."""
    numbers = dict(query(data_dir, "SELECT number, first_frame FROM tracklets"))
    assert numbers.items() >= earlier.items()
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert query(data_dir, "SELECT next_number FROM cameras") == [(len(numbers) + 1,)]
    assert query(data_dir, "SELECT next_identity - 1 FROM site") == query(data_dir, "SELECT count(*) FROM identities")
    return numbers


def test_a_killed_run_loses_only_its_tail_and_can_go_on(tmp_path, database_url):
    open_database(tmp_path, database_url).close()
    chance = random.Random(7)
    committed, numbers = 0, {}
    for _ in range(ROUNDS["sqlite" if database_url is None else "postgresql"]):
        reported = run_and_kill(tmp_path, chance.randint(1, 30), chance)
        wait_for_writers(tmp_path)
        check_whole(tmp_path)
        before, committed = committed, check_prefix(tmp_path)
        assert before < reported <= committed
        numbers = check_numbers(tmp_path, numbers)
    with open_database(tmp_path) as database, database.lock_for_run():
        repository = Repository(database, CropStore(tmp_path))
        assert repository.close_stale_tracklets() == 3
        repository.remove_orphan_crops()
        assert query(tmp_path, "SELECT count(*) FROM runs WHERE status = 'running'") == [(0,)]
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("crops/*/*/*")}
    assert files == {path for (path,) in query(tmp_path, "SELECT path FROM crops")}
