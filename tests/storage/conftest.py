"""A small site for the tests: opened in a fresh folder, with short ways to write to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database, open_configured, open_database
from reid_pipeline.storage.master_key import write_key
from reid_pipeline.storage.records import (
    BoxRun,
    Changes,
    EventType,
    IdentityEvent,
    ModelRecord,
    NewTracklet,
    SourceSpec,
    SourceState,
    View,
)
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer

NOON_US = 1_763_640_000_000_000  # 2025-11-20 12:00:00 UTC
SECOND_US = 1_000_000


@dataclass
class SampleSite:
    """A site with one run; frames are a second apart from noon on."""

    data_dir: Path
    database: Database
    crops: CropStore
    repository: Repository
    run_id: int

    def source(self, camera: str = "hall", fingerprint: str = "f1", again: bool = False, **other) -> SourceState:
        """Opens a file of a camera."""
        spec = {"location": "/recordings/x.mp4", "live": False, "start_us": NOON_US} | other
        return self.repository.open_source(SourceSpec(camera, fingerprint=fingerprint, **spec), again=again)

    def write(self, *changes: Changes) -> None:
        """Commits changes one after the other."""
        with Writer(self.database, self.crops) as writer:
            for each in changes:
                writer.put(each)

    def begin(self, number: int, source_id: int = 1, camera: str = "hall", frame: int = 1) -> NewTracklet:
        """The beginning of a tracklet."""
        return NewTracklet(camera, number, source_id, self.run_id, frame, self.time_us(frame))

    @staticmethod
    def time_us(frame: int) -> int:
        """Capture time of a frame."""
        return NOON_US + (frame - 1) * SECOND_US

    @staticmethod
    def box_run(number: int, frames: list[int], camera: str = "hall") -> BoxRun:
        """Boxes that tell tracklet and frame: x1 is the number, y1 the frame."""
        boxes = np.array([(number, frame, number + 10, frame + 20) for frame in frames], np.float32).reshape(-1, 4)
        times = np.array([SampleSite.time_us(frame) for frame in frames], np.int64)
        return BoxRun(camera, number, np.array(frames, np.int32), times, boxes, np.full(len(frames), 0.5, np.float32))

    @staticmethod
    def view(number: int, frame: int, camera: str = "hall", replaces: int | None = None, model: str = "m1") -> View:
        """A view whose bytes and vector tell the tracklet and the frame."""
        vector = np.array([number, frame], np.float32)
        jpeg = f"jpeg {number} {frame}".encode()
        return View(
            camera, number, frame, SampleSite.time_us(frame), 0.5, (1.0, 2.0, 3.0, 4.0), jpeg, vector, model, replaces
        )

    @staticmethod
    def opened(identity: int, frame: int = 1) -> IdentityEvent:
        """A new identity."""
        return IdentityEvent(EventType.OPEN, SampleSite.time_us(frame), identity)

    @staticmethod
    def assigned(identity: int, number: int, camera: str = "hall", frame: int = 1) -> IdentityEvent:
        """A tracklet of an identity."""
        return IdentityEvent(EventType.ASSIGN, SampleSite.time_us(frame), identity, camera=camera, number=number)

    @staticmethod
    def merged(identity: int, other: int, frame: int = 1) -> IdentityEvent:
        """An identity that was an older one."""
        return IdentityEvent(EventType.MERGE, SampleSite.time_us(frame), identity, other)

    def rows(self, statement: str) -> list[tuple]:
        """What a plain query of the test gives."""
        with self.database.session_scope() as session:
            return [tuple(row) for row in session.execute(text(statement))]

    def files(self) -> set[str]:
        """Every file under the crop folder, relative to the data folder."""
        found = (self.data_dir / "crops").rglob("*")
        return {path.relative_to(self.data_dir).as_posix() for path in found if path.is_file()}


def open_sample(database: Database) -> SampleSite:
    """A site with one run, in a database that is open."""
    crops = CropStore(database.data_dir, database.vault)
    repository = Repository(database, crops)
    run_id = repository.begin_run({"detector": {"min_confidence": 0.4}}, {"reid": "m1"}, NOON_US)
    repository.register_model(ModelRecord("m1", "encoder", "reid", "MIT"))
    return SampleSite(database.data_dir, database, crops, repository, run_id)


@pytest.fixture
def site(tmp_path, database_url):
    with open_database(tmp_path / "data", database_url) as database:
        yield open_sample(database)


@pytest.fixture
def key(tmp_path):
    """The file of a master key."""
    path = tmp_path / "master.key"
    write_key(path)
    return path


@pytest.fixture
def sealed(tmp_path, database_url, key):
    """A site that is encrypted, with the people of `stored_people` in it; on both kinds of database."""
    from tests.storage.stored_people import fill

    with open_configured(tmp_path / "data", database_url, master_key=str(key)) as database:
        site = open_sample(database)
        fill(site)
        yield site
