import subprocess

import pytest

from reid_pipeline.learning import code_version as module
from reid_pipeline.learning.code_version import code_version
from reid_pipeline.learning.errors import Stopped, TrainingError
from reid_pipeline.learning.run_record import alone, recorded
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import DataDirError, SiteBusy
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRuns, LearningStart, LearningStatus


@pytest.fixture
def site(tmp_path):
    open_database(tmp_path).close()
    return tmp_path


def read(site):
    with open_database(site) as database:
        return LearningRuns(database).read()


def record(site):
    return recorded(site, LearningKind.ADAPT, 7, {"budget_s": 60.0}, "aa")


def test_what_begins_is_running_and_what_is_told_is_kept(site):
    end = LearningEnd(LearningStatus.DONE, "small-100", True, "better", {"steps": 40})
    with record(site) as tell:
        [run] = read(site)
        assert run.end == LearningEnd(LearningStatus.RUNNING)
        assert run.start == LearningStart(LearningKind.ADAPT, "aa", 7, {"budget_s": 60.0}, code_version())
        tell(end)
    [run] = read(site)
    assert run.end == end


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (TrainingError("too thin"), LearningStatus.FAILED, "TrainingError: too thin"),
        (ZeroDivisionError("by zero"), LearningStatus.FAILED, "ZeroDivisionError: by zero"),
        (Stopped("SIGTERM"), LearningStatus.BROKEN_OFF, "stopped"),
        (KeyboardInterrupt(), LearningStatus.BROKEN_OFF, "stopped"),
    ],
)
def test_however_it_ends_that_is_noted(site, error, status, reason):
    with pytest.raises(type(error)), record(site) as tell:
        tell(LearningEnd(LearningStatus.DONE, "small-100"))
        raise error
    [run] = read(site)
    assert run.end == LearningEnd(status, reason=reason)
    assert run.ended_us >= run.started_us


def test_where_there_is_no_site_none_is_made(tmp_path):
    with pytest.raises(DataDirError), record(tmp_path / "nowhere"):
        pytest.fail("went on")
    with pytest.raises(DataDirError), alone(tmp_path / "nowhere"):
        pytest.fail("went on")
    assert not (tmp_path / "nowhere").exists()


def test_only_one_learns_and_the_dead_are_noted(site):
    with open_database(site) as database:
        dead = LearningRuns(database).begin(LearningStart(LearningKind.NIGHTLY, None, 0, {}, "0.1.0"))
    with alone(site):
        [run] = read(site)
        assert (run.id, run.end.status) == (dead, LearningStatus.BROKEN_OFF)
        with pytest.raises(SiteBusy, match="something is learning here already"), alone(site):
            pytest.fail("went on")
    with alone(site), open_database(site) as database, database.lock_for_run():
        pass


def git(folder, *arguments):
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit_a_file(folder):
    (folder / "a").write_text("1")
    git(folder, "add", "a")
    git(folder, "commit", "-q", "-m", "a")
    return git(folder, "rev-parse", "HEAD")


def test_the_version_of_a_checkout_is_its_commit(tmp_path):
    git(tmp_path, "init", "-q")
    assert module._commit(tmp_path) is None  # nothing is committed
    commit = commit_a_file(tmp_path)
    git(tmp_path, "tag", "v1")
    assert module._commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert module._commit(tmp_path) == f"{commit}-dirty"


def test_an_installation_inside_anothers_checkout_is_not_that(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    commit_a_file(tmp_path)
    (tmp_path / "inside").mkdir()
    assert module._commit(tmp_path / "inside") is None
    monkeypatch.setattr(module, "_CHECKOUT", tmp_path / "inside")
    assert code_version.__wrapped__()[0].isdigit()


def test_without_git_the_version_is_that_of_the_package(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert module._commit(tmp_path) is None
