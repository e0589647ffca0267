"""A site to run in a test: in this process, which is quick, or in one of its own, which can be killed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.mot_format import BoxTracks, read_mot, read_mtmc
from tests.scene import write_settings

PATIENCE_S = 60  # until a process that should do something is taken for hung
_MAIN = "from reid_pipeline.pipeline.cli import main; main()"


class RunSite:
    """A cameras.yaml and what its runs leave in the folder ``data`` beside it."""

    def __init__(self, folder: Path, settings: dict) -> None:
        self.config = write_settings(folder, settings)
        self.data_dir = folder / "data"

    def run(self, *options: str) -> int:
        """Runs the site here and returns the exit code."""
        return run_command_line(["run", str(self.config), *options])

    def start(self, *options: str, before: str = "") -> subprocess.Popen[str]:
        """Runs the site in a process of its own, which first does ``before``; its output can be read."""
        command = [sys.executable, "-c", f"{before}\n{_MAIN}", "run", str(self.config), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self, statement: str) -> list[tuple]:
        """Rows of the database."""
        with closing(sqlite3.connect(f"file:{self.data_dir / 'site.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchall()

    def frames_committed(self) -> dict[str, int]:
        """How far each camera's source is stored; nothing while there is no database."""
        try:
            return dict(self.query("SELECT name, frames_committed FROM sources s JOIN cameras c ON c.id = s.camera_id"))
        except sqlite3.OperationalError:
            return {}

    def check_whole(self) -> None:
        """The database is sound, and crops and rows name each other."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]
        assert self.query("PRAGMA foreign_key_check") == []
        crops = dict(self.query("SELECT path, bytes FROM crops"))
        files = {path.relative_to(self.data_dir).as_posix(): path for path in self.data_dir.glob("crops/*/*/*")}
        assert files.keys() >= crops.keys()
        assert all(files[path].stat().st_size == size for path, size in crops.items())
        assert self.query("SELECT count(*) FROM embeddings WHERE crop_id IS NOT NULL") == [(len(crops),)]

    def read(self, name: str) -> bytes:
        """A file of the data folder."""
        return (self.data_dir / name).read_bytes()

    def summary(self) -> dict:
        return json.loads(self.read("summary.json"))

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.read("events.ndjson").splitlines()]

    def tracks(self, camera: str) -> BoxTracks:
        return read_mot(self.data_dir / "tracks" / f"{camera}.txt")

    def mtmc(self) -> BoxTracks:
        return read_mtmc(self.data_dir / "tracks" / "mtmc.txt")


def people_of(truth: Path, site: RunSite) -> dict[int, set[int]]:
    """Which identities each person of the truth was given: that of every box whose middle is near the person's."""
    expected, found = read_mtmc(truth), site.mtmc()
    centres = defaultdict(list)
    for camera, frame, person, box in zip(*_columns(expected), strict=True):
        centres[camera, frame].append((person, (box[:2] + box[2:]) / 2))
    identities = defaultdict(set)
    for camera, frame, identity, box in zip(*_columns(found), strict=True):
        middle = (box[:2] + box[2:]) / 2
        distances = {person: abs(centre - middle).max() for person, centre in centres[camera, frame]}
        nearest = min(distances, key=distances.__getitem__)
        assert distances[nearest] < 10
        identities[nearest].add(identity)
    return dict(identities)


def _columns(tracks: BoxTracks) -> tuple:
    keys = tracks.keys
    return keys.cameras.tolist(), keys.frames.tolist(), keys.ids.tolist(), tracks.boxes


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Waits until something is true that a running process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
