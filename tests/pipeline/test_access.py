import io
import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.access import RECORDS_NAME, OthersBlurred, access_archive, blur_boxes, box_at, export_access
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.journey import MANIFEST
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import (
    BoxRun,
    Changes,
    EventType,
    IdentityEvent,
    ModelRecord,
    NewTracklet,
    SourceSpec,
    TrackletBoxes,
    View,
)
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer

TIME_US = 1_763_640_000_000_000
SIZE = (120, 100)  # height and width of the frame
HERS, HIS = (10.5, 5.0, 50.0, 105.0), (40.0, 20.0, 80.0, 110.0)


def frame():
    grey = np.random.default_rng(0).integers(0, 256, (*SIZE, 1)).astype(np.uint8)
    return np.repeat(grey, 3, axis=2)  # a JPEG would blur noise of colours


def begin(number, source, run, box):
    times, scores = np.array([TIME_US], np.int64), np.ones(1, np.float32)
    boxes = BoxRun("hall", number, np.array([1], np.int32), times, np.array([box], np.float32), scores)
    return NewTracklet("hall", number, source, run, 1, TIME_US), boxes


@pytest.fixture
def database(tmp_path):
    """Two people in one frame; identity 1 is seen in front of identity 2."""
    with open_database(tmp_path / "data") as database:
        repository = Repository(database, CropStore(database.data_dir))
        repository.register_model(ModelRecord("m1", "teller", "reid", "MIT"))
        run = repository.begin_run({}, {}, TIME_US)
        source = repository.open_source(SourceSpec("hall", "/hall.mp4", "f1", live=False, start_us=TIME_US)).source_id
        found = [begin(number, source, run, box) for number, box in ((1, HERS), (2, HIS))]
        crop = frame()[5:105, 10:50]
        jpeg = cv2.imencode(".png", crop)[1].tobytes()
        events = [IdentityEvent(EventType.OPEN, TIME_US, each) for each in (1, 2)]
        events += [IdentityEvent(EventType.ASSIGN, TIME_US, each, camera="hall", number=each) for each in (1, 2)]
        view = View("hall", 1, 1, TIME_US, 0.5, HERS, jpeg, np.ones(4, np.float32), "m1")
        with Writer(database, CropStore(database.data_dir)) as writer:
            new, boxes = zip(*found, strict=True)
            writer.put(Changes(new_tracklets=new, boxes=boxes, views=(view,), identity_events=tuple(events)))
        yield database


def test_somebody_else_on_a_picture_is_blurred_and_nothing_else_is(database):
    repository = Repository(database, CropStore(database.data_dir))
    journey = repository.journey(1)
    (crop,) = journey.tracklets[0].crops

    jpeg = OthersBlurred(repository, CropStore(database.data_dir), journey).read(crop.path)

    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
    known = frame()[5:105, 10:50].astype(int)
    his, hers = (slice(15, 100), slice(30, 40)), (slice(0, 100), slice(0, 24))
    assert np.abs(shown[hers] - known[hers]).mean() < 40  # a JPEG of noise
    assert shown[his].std(axis=(0, 1)).max() < 25 < known[his].std(axis=(0, 1)).min()


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (200, 200, 300, 300), (5, 5, 5, 9)])
def test_a_box_that_is_not_on_the_picture_changes_nothing(box):
    image = frame()

    blur_boxes(image, np.array([box], np.float32))

    assert np.array_equal(image, frame())


@pytest.mark.parametrize(
    ("seconds", "left"), [(-1.1, None), (-1.0, 10), (0.0, 10), (0.5, 15), (2.0, 30), (3.0, 30), (3.1, None)]
)
def test_somebody_who_is_hidden_is_where_the_boxes_around_say(seconds, left):
    times = np.array([0, 2_000_000], np.int64)
    boxes = np.array([(10, 0, 20, 5), (30, 0, 40, 5)], np.float32)
    tracklet = TrackletBoxes(1, None, np.array([1, 9], np.int32), times, boxes, np.ones(2, np.float32))

    found = box_at(tracklet, round(seconds * 1e6))

    assert (None if found is None else found[0]) == left


def test_the_export_has_all_records(database, tmp_path):
    AuditLog(database).note("eve", Action.SEARCH, "lost child", {"identity": 1})
    AuditLog(database).note("eve", Action.SEARCH, "another", {"identity": 2})

    written = export_access(database, "shop", 1, tmp_path / "export")

    records = json.loads((tmp_path / "export" / RECORDS_NAME).read_text())
    assert [each["reason"] for each in records["looked_at"]] == ["lost child"]
    assert [each["type"] for each in records["decisions"]] == ["open", "assign"]
    assert set(written.files) == {"journey.csv", "journey.json", "journey.html", RECORDS_NAME}
    assert json.loads((tmp_path / "export" / MANIFEST).read_text())["files"] == written.files


def test_the_archive_holds_the_same_files_and_is_accounted_for(database, tmp_path):
    written = export_access(database, "hq", 1, tmp_path / "folder")
    with open_site(None, database.data_dir, actor="petra") as site:
        archive = zipfile.ZipFile(io.BytesIO(access_archive(site, 1, "asked on 3 May")))
        with pytest.raises(InputError):
            access_archive(site, 99, "")
        for access in (Access("x", Role.OPERATOR), Access("x", Role.ADMIN, frozenset({"hall"}))):
            with pytest.raises(NotAllowed):
                access_archive(replace(site, access=access), 1, "")
    assert sorted(archive.namelist()) == sorted([*written.files, MANIFEST])
    records = json.loads(archive.read(RECORDS_NAME))
    assert records["identity"] == 1
    (entry,) = AuditLog(database).read()
    assert (entry.actor, entry.action, entry.reason) == ("petra", "access", "asked on 3 May")
    assert dict(entry.subject) == {"identity": 1}
