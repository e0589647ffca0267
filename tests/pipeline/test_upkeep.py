from datetime import UTC, datetime, timedelta

import pytest

from reid_pipeline.configs.settings import RetentionSettings, Settings
from reid_pipeline.pipeline.events import Event, EventFile, iso_time
from reid_pipeline.pipeline.upkeep import Upkeep, limits_at, read_retention
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.records import ModelRecord
from reid_pipeline.storage.repository import Repository
from tests.storage.conftest import NOON_US, SampleSite
from tests.storage.stored_people import DAY_US, fill


def settings(**retention):
    camera = {"inputs": [{"path": "rtsp://camera/1"}]}
    return Settings.model_validate({"cameras": {"hall": camera}, "retention": retention})


@pytest.fixture
def stored(tmp_path):
    with open_database(tmp_path) as database:
        repository = Repository(database, CropStore(tmp_path))
        run = repository.begin_run({}, {}, NOON_US)
        repository.register_model(ModelRecord("m1", "encoder", "reid", "MIT"))
        site = SampleSite(tmp_path, database, CropStore(tmp_path), repository, run)
        fill(site)
        events = [Event("end", iso_time(NOON_US + day * DAY_US), "hall") for day in range(4)]
        EventFile(tmp_path / "events.ndjson").append(events)
        yield site


def test_limits_are_the_settings_before_now():
    limits = limits_at(RetentionSettings(crops=timedelta(hours=1)), 10 * DAY_US * 365)

    assert limits.crops == 10 * DAY_US * 365 - DAY_US // 24
    assert limits.audit == 9 * DAY_US * 365


def test_settings_that_differ_from_the_default_are_read_back():
    found = read_retention({"retention.crops": "2d", "detector.model": "x"})

    assert (found.crops, found.embeddings) == (timedelta(days=2), timedelta(days=30))


def test_a_live_run_removes_what_is_due_and_accounts_for_it_once(stored, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.upkeep.EVERY_S", 0.0)
    wanted = settings(crops="36h", events="60h")
    upkeep = Upkeep(stored.database, wanted, live=True, now_us=lambda: NOON_US + 3 * DAY_US)

    upkeep.go_on()
    upkeep.go_on()
    upkeep.go_on()

    assert stored.rows("SELECT count(*) FROM crops") == [(3,)]
    assert len((stored.data_dir / "events.ndjson").read_text().splitlines()) == 3
    (entry,) = AuditLog(stored.database).read()
    assert (entry.actor, entry.subject) == ("run", {"crops": 3, "events": 1})


def test_where_something_goes_every_minute_it_is_accounted_for_now_and_then_and_in_the_end(stored, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.upkeep.EVERY_S", 0.0)
    hours = iter(range(12, 100, 12))
    upkeep = Upkeep(
        stored.database, settings(crops="1h"), live=True, now_us=lambda: NOON_US + next(hours) * DAY_US // 24
    )

    upkeep.go_on()
    assert list(AuditLog(stored.database).read()) == []
    upkeep.end()
    monkeypatch.setattr("reid_pipeline.pipeline.upkeep.ACCOUNT_S", 0.0)
    upkeep.go_on()
    upkeep.go_on()
    upkeep.end()

    assert [dict(each.subject) for each in AuditLog(stored.database).read()] == [{"crops": 1}, {"crops": 2}]


def test_a_run_of_recordings_removes_from_the_corpus_alone(stored):
    late = datetime.now(UTC) + timedelta(days=400)
    upkeep = Upkeep(stored.database, settings(), live=False, now_us=lambda: round(late.timestamp() * 1e6))

    upkeep.begin()

    assert stored.rows("SELECT count(*) FROM crops") == [(6,)]
    assert stored.rows("SELECT count(*) FROM corpus_items") == [(0,)]
    assert list(AuditLog(stored.database).read()) == []
