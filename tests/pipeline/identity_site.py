"""A site that has run: two cameras, four tracklets of two identities, one view each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.records import (
    BoxRun,
    Changes,
    EventType,
    IdentityEvent,
    ModelRecord,
    NewTracklet,
    RunStatus,
    SourceSpec,
    View,
)
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer

NOON_US = 1_763_640_000_000_000  # 2025-11-20 12:00:00 UTC
# Camera, number, first and last second after noon, identity.
TRACKLETS = (("door", 1, 100, 110, 1), ("hall", 1, 0, 10, 1), ("hall", 2, 20, 30, 2), ("door", 2, 40, 50, 2))
MODELS = {
    "detect": {"name": "finder", "hash": "d1", "licence": "MIT", "runtime": None},
    "reid": {"name": "teller", "hash": "m1", "licence": "MIT", "base": "m1"},
}


def jpeg(camera: str, number: int) -> bytes:
    """The picture of a tracklet."""
    return f"picture of {camera} {number}".encode()


def write_site(data_dir: Path, settings: dict | None = None) -> None:
    """Writes the site's data."""
    with open_database(data_dir) as database:
        crops = CropStore(data_dir)
        repository = Repository(database, crops)
        repository.register_model(ModelRecord("m1", "teller", "reid", "MIT"))
        run = repository.begin_run(settings or {}, MODELS, NOON_US)
        sources = {
            camera: repository.open_source(SourceSpec(camera, f"/{camera}.mp4", "f1", live=False, start_us=NOON_US))
            for camera in ("hall", "door")
        }
        with Writer(database, crops) as writer:
            writer.put(Changes(identity_events=tuple(IdentityEvent(EventType.OPEN, NOON_US, each) for each in (1, 2))))
            for camera, number, first, last, identity in TRACKLETS:
                writer.put(_tracklet(camera, number, (first, last), identity, (sources[camera].source_id, run)))
        repository.end_run(run, RunStatus.DONE, NOON_US)


def _tracklet(camera: str, number: int, seconds: tuple[int, int], identity: int, ids: tuple[int, int]) -> Changes:
    times = [NOON_US + second * 1_000_000 for second in seconds]
    boxes = np.ones((2, 4), np.float32)
    vector = np.array([1, 0], np.float32)
    return Changes(
        new_tracklets=(NewTracklet(camera, number, *ids, seconds[0] + 1, times[0]),),
        boxes=(
            BoxRun(
                camera,
                number,
                np.array(seconds, np.int32) + np.int32(1),
                np.array(times, np.int64),
                boxes,
                np.ones(2, np.float32),
            ),
        ),
        views=(
            View(camera, number, seconds[0] + 1, times[0], 0.5, (1, 2, 3, 4.5), jpeg(camera, number), vector, "m1"),
        ),
        identity_events=(
            IdentityEvent(EventType.ASSIGN, times[0], identity, None, camera, number, probability=0.5 + number / 10),
        ),
    )


@dataclass
class CommandSite:
    """The site and the command line on it."""

    data_dir: Path
    capfd: object

    def call(self, *arguments: object) -> tuple[int, dict | str]:
        """Runs a command with --data and --json; gives the exit code and its object, or its whole stderr."""
        options = ["--data", str(self.data_dir), "--json"]
        code = run_command_line([*map(str, arguments), *options])
        output = self.capfd.readouterr()
        return code, json.loads(output.out) if output.out else output.err

    def text(self, *arguments: object) -> str:
        """Runs a command for people, and gives what it printed."""
        assert run_command_line([*map(str, arguments), "--data", str(self.data_dir)]) == 0
        return self.capfd.readouterr().out
