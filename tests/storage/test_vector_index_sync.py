"""The vector index of a site against its database, whatever was added and removed since."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.storage import vector_index_ivf, vector_index_sync, vector_quick, vector_rows
from reid_pipeline.storage.records import Changes, ModelRecord
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.vector_index import IndexFilter
from reid_pipeline.storage.vector_index_sync import SiteIndex, index_folder, scrub_indices
from reid_pipeline.storage.vector_rows import VectorRows, read_camera_rows, read_tracklets_at, read_tracklets_of


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(vector_index_ivf, "SEAL_ROWS", 60)
    monkeypatch.setattr(vector_index_sync, "MOST_ROWS", 120)
    monkeypatch.setattr(vector_quick, "QUICK_ROWS", 100)
    for module in (vector_index_sync, vector_rows):
        monkeypatch.setattr(module, "PART", 32)


@pytest.fixture
def people(site):
    """Two tracklets in the hall and one at the door; more frames are added by `see`."""
    site.source()
    site.source(camera="door")
    site.write(Changes(new_tracklets=(site.begin(1), site.begin(2, frame=5), site.begin(1, 2, "door"))))
    return site


def direction(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def see(site, frames, number=1, camera="hall", model="m1"):
    views = tuple(
        replace(site.view(number, frame, camera, model=model), embedding=direction(number + frame / 100))
        for frame in frames
    )
    ends = site.box_run(number, list(frames), camera)
    site.write(Changes(boxes=(ends,), views=views))


def delete(site, condition):
    with site.database.session_scope(write=True) as session:
        session.execute(text(f"DELETE FROM embeddings WHERE {condition}"))


def ids_of(site, model="m1"):
    found = site.rows(f"SELECT e.id FROM embeddings e JOIN models m ON m.id = e.model_id WHERE m.hash = '{model}'")
    return sorted(each for (each,) in found)


def check_same(index, site):
    """The index holds what the database does, bit by bit as good as its codes are."""
    assert index.index.ids().tolist() == ids_of(site)
    cameras = read_camera_rows(site.database)
    for number, camera, time_us, vector in site.rows(
        "SELECT e.id, c.name, e.time_us, e.vector FROM embeddings e JOIN tracklets t ON t.id = e.tracklet_id "
        "JOIN cameras c ON c.id = t.camera_id JOIN models m ON m.id = e.model_id WHERE m.hash = 'm1' ORDER BY e.id"
    )[::7]:
        look = np.frombuffer(vector, "<f4")
        found = index.search(look[None], 3, IndexFilter((cameras[camera],), time_us, time_us + 1))
        assert number in found.ids[0]
        place = found.ids[0].tolist().index(number)
        assert found.similarities[0, place] == pytest.approx(1, abs=1e-3)


def test_built_from_the_database(people):
    see(people, range(1, 150))
    see(people, range(5, 40), number=2)
    see(people, range(3, 30), camera="door")
    index = SiteIndex(people.database, "m1")
    assert index.synchronise() == 149 + 35 + 27
    assert len(index.index.segments) > 1
    check_same(index, people)
    assert index.synchronise() == 0


def test_a_model_has_its_own(people):
    people.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
    see(people, range(1, 30))
    see(people, range(5, 20), number=2, model="m2")
    index = SiteIndex(people.database, "m2")
    assert index.synchronise() == 15
    assert index.index.ids().tolist() == ids_of(people, "m2")
    assert len(VectorRows(people.database, "m1")) == 29
    assert len(VectorRows(people.database, "m3")) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_same_whatever_happens(people, seed):
    rng = np.random.default_rng(seed)
    frame = 1
    for _ in range(6):
        count = int(rng.integers(1, 60))
        see(people, range(frame, frame + count))
        frame += count
        match rng.choice(["some", "old", "one", "nothing"]):
            case "some":
                delete(people, f"id % 7 = {rng.integers(7)}")
            case "old":
                delete(people, f"time_us < {people.time_us(frame // 2)}")
            case "one":
                delete(people, f"id = {rng.choice(ids_of(people))}")
        index = SiteIndex(people.database, "m1")
        index.synchronise()
        check_same(index, people)
        if rng.random() < 0.8:
            assert index.save()
        if rng.random() < 0.2:
            shutil.rmtree(index_folder(people.data_dir, "m1"), ignore_errors=True)


def test_a_row_that_was_committed_late(people):
    """As many as before, but one of them has an id from before those that are known."""
    see(people, range(1, 20))
    delete(people, "id = 5")
    index = SiteIndex(people.database, "m1")
    index.synchronise()
    with people.database.session_scope(write=True) as session:
        session.execute(text("UPDATE embeddings SET id = 5 WHERE id = 6"))
    assert index.synchronise() == 2
    check_same(index, people)


def test_it_is_read_from_its_files(people, monkeypatch):
    see(people, range(1, 130))
    first = SiteIndex(people.database, "m1")
    first.synchronise()
    first.save()
    monkeypatch.setattr(VectorRows, "entries", None)  # nothing has to be read from the database
    again = SiteIndex(people.database, "m1")
    assert again.synchronise() == 0
    check_same(again, people)


def test_torn_files_are_no_loss(people, caplog):
    see(people, range(1, 130))
    first = SiteIndex(people.database, "m1")
    first.synchronise()
    first.save()
    next(index_folder(people.data_dir, "m1").glob("*.rows")).write_bytes(b"torn")
    with caplog.at_level("INFO"):
        again = SiteIndex(people.database, "m1")
    assert "is built anew" in caplog.text
    assert again.synchronise() == 129
    assert again.save()
    check_same(SiteIndex(people.database, "m1"), people)


class TestPurge:
    def test_no_byte_is_left(self, people):
        see(people, range(1, 130))
        index = SiteIndex(people.database, "m1")
        index.synchronise()
        index.save()
        gone = np.array(ids_of(people)[10:20])
        delete(people, f"id BETWEEN {gone[0]} AND {gone[-1]}")
        index.purge(gone)
        again = SiteIndex(people.database, "m1")
        assert again.synchronise() == 0
        check_same(again, people)
        stored = {each for segment in again.index.segments for each in segment.arrays.ids.tolist()}
        assert stored.isdisjoint(gone.tolist())

    def test_another_process_has_saved_meanwhile(self, people):
        see(people, range(1, 130))
        mine = SiteIndex(people.database, "m1")
        mine.synchronise()
        mine.save()
        other = SiteIndex(people.database, "m1")
        other.index.remove(np.array(ids_of(people)[:1]))
        other.save()
        gone = np.array(ids_of(people)[10:20])
        mine.purge(gone)
        assert not other.save()
        assert np.isin(gone, SiteIndex(people.database, "m1").index.ids()).sum() == 0


class TestScrub:
    def test_what_the_database_lost_leaves_no_byte(self, people):
        see(people, range(1, 130))
        index = SiteIndex(people.database, "m1")
        index.synchronise()
        index.save()
        delete(people, "id % 11 = 0")
        left_out = SiteIndex(people.database, "m1")
        left_out.synchronise()
        left_out.save()
        marked = left_out.index.left_out().tolist()  # all but those that were not sealed yet
        assert 5 < len(marked) <= 11
        assert set(marked) <= set(range(11, 130, 11))
        scrub_indices(people.database)
        again = SiteIndex(people.database, "m1")
        assert again.synchronise() == 0
        assert len(again.index.left_out()) == 0
        check_same(again, people)
        stored = {each for segment in again.index.segments for each in segment.arrays.ids.tolist()}
        assert not any(each % 11 == 0 and each for each in stored)
        assert sum(segment.gone.sum() for segment in again.index.segments) == len(marked)

    def test_a_site_without_an_index(self, people):
        scrub_indices(people.database)
        assert not index_folder(people.data_dir, "m1").exists()


class TestTracklets:
    def test_of_embeddings(self, people):
        see(people, range(1, 4))
        see(people, range(5, 9), number=2)
        found = read_tracklets_of(people.database, [*ids_of(people), 999])
        assert [(each.camera, each.number) for each in found] == [("hall", 1), ("hall", 2)]
        assert read_tracklets_of(people.database, [999]) == []

    def test_at_the_edges_of_a_time(self, people):
        see(people, range(1, 10))
        see(people, range(5, 40), number=2)
        see(people, range(8, 40), camera="door")

        def at(since=None, until=None, cameras=()):
            frames = [None if each is None else people.time_us(each) for each in (since, until)]
            found = read_tracklets_at(people.database, ViewFilter(cameras, *frames))
            return sorted((each.camera, each.number) for each in found)

        assert at() == []
        assert at(9) == [("door", 1), ("hall", 1), ("hall", 2)]
        assert at(9, cameras=("hall",)) == [("hall", 1), ("hall", 2)]
        assert at(20) == [("door", 1), ("hall", 2)]
        assert at(1) == []
        assert at(until=5) == [("door", 1), ("hall", 1)]
        assert at(until=60) == []
