import cv2
import numpy as np
import pytest

from reid_pipeline.learning import material_reader as module
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.material_reader import read_material
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import DataDirError

NOON_US = 1_763_640_000_000_000
SECOND_US = 1_000_000


def picture(value, size=(40, 20)):
    return np.full((*size, 3), value, np.uint8)


def crop(value, time_us, jpeg=None):
    content = cv2.imencode(".jpg", picture(value))[1].tobytes() if jpeg is None else jpeg
    return CorpusCrop(time_us, content, 20, 40, 0.5)


def tracklet(number, start_s, *values, last_s=None):
    crops = tuple(crop(value, NOON_US + (start_s + place) * SECOND_US) for place, value in enumerate(values))
    last_us = crops[-1].time_us if last_s is None else NOON_US + last_s * SECOND_US
    return ImportedTracklet(number, crops[0].time_us, last_us, crops)


@pytest.fixture
def corpus(tmp_path):
    with open_database(tmp_path) as database:
        yield CorpusStore(database)


def test_crops_come_by_tracklet_in_order_of_time(corpus, tmp_path):
    hall = corpus.open_origin("hall", "a", NOON_US).id
    door = corpus.open_origin("door", "b", NOON_US).id
    corpus.add(hall, [tracklet(2, 50, 200, 210), tracklet(1, 0, 10, 20, 30, last_s=9)])
    corpus.add(door, [tracklet(1, 5, 100)])
    corpus.add(hall, [tracklet(3, 90, 250)])
    told = []
    found = read_material(tmp_path, (16, 8), lambda done, total: told.append((done, total)))
    assert (found.crops.shape, found.crops.dtype) == ((7, 16, 8, 3), np.uint8)
    np.testing.assert_allclose(found.crops.mean(axis=(1, 2, 3)), [10, 20, 30, 100, 200, 210, 250], atol=3)
    assert found.tracklets.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert ((found.times_us - NOON_US) // SECOND_US).tolist() == [0, 1, 2, 5, 50, 51, 90]
    assert [found.camera_names[each] for each in found.cameras] == ["hall", "door", "hall", "hall"]
    assert found.runs.tolist() == [hall, door, hall, hall]
    assert ((found.first_us - NOON_US) // SECOND_US).tolist() == [0, 5, 50, 90]
    assert ((found.last_us - NOON_US) // SECOND_US).tolist() == [9, 5, 51, 90]
    assert told == [(7, 7)]


def test_what_cannot_be_read_is_left_out(corpus, tmp_path):
    origin = corpus.open_origin("hall", "a", NOON_US).id
    torn = ImportedTracklet(2, NOON_US + 1, NOON_US + 2, (crop(0, NOON_US + 1, b"\xff\xd8 torn"),))
    half = ImportedTracklet(3, NOON_US + 2, NOON_US + 4, (crop(0, NOON_US + 2, b"\xff\xd8"), crop(70, NOON_US + 3)))
    corpus.add(origin, [tracklet(1, 0, 50), torn, half])
    found = read_material(tmp_path, (16, 8))
    assert found.tracklets.tolist() == [0, 1]
    np.testing.assert_allclose(found.crops.mean(axis=(1, 2, 3)), [50, 70], atol=3)


def test_a_tracklet_that_a_run_adds_meanwhile_waits(corpus, tmp_path, monkeypatch):
    origin = corpus.open_origin("hall", "a", NOON_US).id
    corpus.add(origin, [tracklet(1, 0, 50)])

    class Growing(CorpusStore):
        def tracklets(self, *wanted):
            found = list(super().tracklets(*wanted))
            self.add(origin, [tracklet(2, 9, 90)])
            return iter(found)

    monkeypatch.setattr(module, "CorpusStore", Growing)
    assert len(read_material(tmp_path, (16, 8))) == 1
    monkeypatch.undo()
    assert len(read_material(tmp_path, (16, 8))) == 2


def test_an_empty_corpus_and_no_site_are_told(corpus, tmp_path):
    with pytest.raises(
        TrainingError, match="the corpus is empty: `run` the site, or: reid-pipeline corpus import PATH"
    ):
        read_material(tmp_path, (16, 8))
    with pytest.raises(DataDirError):
        read_material(tmp_path / "nothing", (16, 8))


def test_the_newest_tracklets_that_fit_into_the_memory_are_read(corpus, tmp_path):
    origin = corpus.open_origin("hall", "a", NOON_US).id
    corpus.add(origin, [tracklet(1, 50, 10, 20), tracklet(2, 0, 30), tracklet(3, 90, 40, 50, 60)])
    of_one = 16 * 8 * 3
    for most, kept in ((6, [30, 10, 20, 40, 50, 60]), (5, [10, 20, 40, 50, 60]), (4, [40, 50, 60]), (3, [40, 50, 60])):
        found = read_material(tmp_path, (16, 8), most_bytes=most * of_one)
        np.testing.assert_allclose(found.crops.mean(axis=(1, 2, 3)), kept, atol=3)
        assert found.crops.nbytes <= most * of_one
    with pytest.raises(TrainingError, match="the corpus is empty"):
        read_material(tmp_path, (16, 8), most_bytes=2 * of_one)
