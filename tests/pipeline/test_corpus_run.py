"""A run fills the corpus with crops of its own tracklets, within its time and size."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.upkeep import Upkeep
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import open_database
from tests.pipeline.run_site import RunSite

DAY_US = 86_400_000_000


def corpus_of(site):
    """Camera and number of each tracklet with its times, and the pictures of each."""
    with open_database(site.data_dir) as database:
        store = CorpusStore(database)
        tracklets = {each.id: each for each in store.tracklets()}
        pictures = {(each.camera, each.number): [] for each in tracklets.values()}
        for item, jpeg in store.read(store.items()):
            tracklet = tracklets[item.tracklet]
            pictures[tracklet.camera, tracklet.number].append((item, jpeg))
    return tracklets.values(), pictures


def query(site):
    return set(site.query("SELECT name, number, first_us, last_us FROM tracklets t JOIN cameras c ON c.id = camera_id"))


@pytest.fixture(scope="module")
def done(tmp_path_factory, scene):
    """The scene after one run; tests only read it."""
    site = RunSite(tmp_path_factory.mktemp("collected"), scene.settings)
    assert site.run() == 0
    return site


def test_each_tracklet_has_crops_and_its_own_times(done):
    tracklets, pictures = corpus_of(done)
    assert {(each.camera, each.number, each.first_us, each.last_us) for each in tracklets} == query(done)
    assert all(pictures.values())


def test_tracklets_of_one_camera_share_a_run(done):
    tracklets, _ = corpus_of(done)
    assert len({each.run for each in tracklets}) == len({(each.camera, each.run) for each in tracklets}) == 2


def test_crops_show_who_the_tracklet_is(done):
    """The views of a tracklet, which were chosen apart, have the same colours."""
    _, pictures = corpus_of(done)
    views = done.query(
        "SELECT name, number, path FROM crops JOIN tracklets t ON t.id = tracklet_id JOIN cameras c ON c.id = camera_id"
    )
    for camera, number, path in views:
        view = bands(cv2.imread(str(done.data_dir / path)))
        for item, jpeg in pictures[camera, number]:
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape[:2] == (item.height, item.width)
            np.testing.assert_array_equal(bands(picture), view)


def bands(picture):
    """Which colour is strongest in each of six bands."""
    rows = np.array_split(picture, 6)
    return [int(row[:, 8:-8].reshape(-1, 3).mean(axis=0).argmax()) for row in rows]


def test_a_run_in_parts_and_again_gives_nothing_twice(tmp_path, scene):
    site = RunSite(tmp_path, scene.settings)
    assert site.run("--max-frames", "40") == 0
    first = corpus_of(site)[1]
    assert site.run() == 0
    tracklets, second = corpus_of(site)
    assert {key: first[key] for key in first} == {key: second[key] for key in first}
    assert {(each.camera, each.number) for each in tracklets} <= {row[:2] for row in query(site)}
    assert site.run("--again") == 0
    tracklets, _ = corpus_of(site)
    assert {(each.camera, each.number, each.first_us, each.last_us) for each in tracklets} == query(site)


def test_it_can_be_switched_off(tmp_path, scene):
    site = RunSite(tmp_path, {**scene.settings, "corpus": {"collect": False}})
    assert site.run() == 0
    assert not corpus_of(site)[0]
    assert not (site.data_dir / "corpus").exists()


def test_footage_that_is_too_old_to_keep_is_not_collected(tmp_path, scene, caplog):
    start = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    cameras = {name: {**camera, "start": start} for name, camera in scene.settings["cameras"].items()}
    site = RunSite(tmp_path, {**scene.settings, "cameras": cameras, "retention": {"corpus": "2d"}})
    with caplog.at_level(logging.WARNING, "reid_pipeline"):
        assert site.run() == 0
    assert not corpus_of(site)[0]
    assert "hall: is older than retention.corpus" in caplog.text


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "data") as database:
        yield database


@pytest.fixture
def store(database):
    return CorpusStore(database, shard_bytes=1_000_000)


def fill(store, ages_days):
    """One crop of a million bytes of each age."""
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    origin = store.open_origin("hall", "all", 0).id
    for number, age in enumerate(ages_days, start=1):
        time_us = now_us - round(age * DAY_US)
        crop = CorpusCrop(time_us, b"\xff\xd8" + bytes(999_998), 48, 128, 0.5)
        store.add(origin, [ImportedTracklet(number, time_us, time_us, (crop,))])


def settings(**sections):
    return Settings.model_validate({"cameras": {"hall": {"inputs": [{"path": "a"}]}}, **sections})


def test_a_run_begins_within_time_and_size(database, store):
    fill(store, [40, 29, 5, 4, 3])
    upkeep = Upkeep(database, settings(), live=False)
    upkeep.begin()
    assert [each.number for each in store.tracklets()] == [2, 3, 4, 5]
    Upkeep(database, settings(corpus={"max_size": "2MB"}), live=False).begin()
    assert [each.number for each in store.tracklets()] == [4, 5]
    assert upkeep.keeps(int((datetime.now(UTC) - timedelta(days=29)).timestamp() * 1e6))
    assert not upkeep.keeps(int((datetime.now(UTC) - timedelta(days=31)).timestamp() * 1e6))


def test_a_run_goes_on_a_little_at_a_time(database, store, monkeypatch):
    fill(store, [50, 45, 40, 5, 4, 3])
    upkeep = Upkeep(database, settings(corpus={"max_size": "1MB"}), live=False)
    upkeep.go_on()
    assert len(list(store.tracklets())) == 6  # not yet due
    monkeypatch.setattr("reid_pipeline.pipeline.upkeep.EVERY_S", 0.0)
    upkeep.go_on()
    assert [each.number for each in store.tracklets()] == [5, 6]
    upkeep.go_on()
    assert [each.number for each in store.tracklets()] == [6]
