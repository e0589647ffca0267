import time

import pytest

from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.learning_runs import (
    LearningEnd,
    LearningKind,
    LearningRuns,
    LearningStart,
    LearningStatus,
)

START = LearningStart(LearningKind.ADAPT, "aa", 7, {"budget_s": 60.0, "encoder": None}, "0123abc")
END = LearningEnd(LearningStatus.DONE, "small-100", True, "better", {"retrieval": 0.5, "round_trip": None})


@pytest.fixture
def database(tmp_path, database_url):
    with open_database(tmp_path, database_url) as database:
        yield database


def test_a_run_is_read_as_it_was_written(database):
    runs = LearningRuns(database)
    before_us = time.time_ns() // 1000
    number = runs.begin(START)
    [begun] = runs.read()
    assert (begun.id, begun.start, begun.ended_us) == (number, START, None)
    assert begun.end == LearningEnd(LearningStatus.RUNNING)
    runs.finish(number, END)
    [ended] = LearningRuns(database).read()
    assert (ended.start, ended.end, ended.started_us) == (START, END, begun.started_us)
    assert before_us <= ended.started_us <= ended.ended_us <= time.time_ns() // 1000


def test_the_newest_of_a_kind_comes_first(database):
    runs = LearningRuns(database)
    nightly = LearningStart(LearningKind.NIGHTLY, None, 0, {}, "0.1.0")
    numbers = [runs.begin(each) for each in (START, nightly, START)]
    assert [each.id for each in runs.read()] == numbers[::-1]
    assert [each.id for each in runs.read(LearningKind.ADAPT)] == [numbers[2], numbers[0]]
    assert runs.read(LearningKind.PRETRAIN) == []


def test_what_died_is_broken_off_and_the_rest_stays_as_it_is(database):
    runs = LearningRuns(database)
    done, dead = runs.begin(START), runs.begin(START)
    runs.finish(done, END)
    assert runs.close_dead() == 1
    broken, kept = runs.read()
    assert (broken.id, broken.end.status, broken.end.reason) == (dead, LearningStatus.BROKEN_OFF, "killed")
    assert broken.ended_us is not None
    assert (kept.id, kept.end) == (done, END)
    assert runs.close_dead() == 0
