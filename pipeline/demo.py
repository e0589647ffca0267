"""The demo: a virtual site is rendered, run like any other, and scored against the truth that is known of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.evaluate import evaluate_mot, evaluate_mtmc
from reid_pipeline.pipeline.metrics_tracking import TrackingScores
from reid_pipeline.pipeline.mot_format import BoxTracks, read_mtmc
from reid_pipeline.pipeline.run_command import RunOptions, run_command
from reid_pipeline.pipeline.virtual_files import DATA_FOLDER, check_folder, is_virtual_site, write_site
from reid_pipeline.pipeline.virtual_site import build_site

CAMERAS: Final = 3
PEOPLE: Final = 8
SECONDS: Final = 40.0
FPS: Final = 8.0
_APART_S: Final = 2.0  # somebody out of sight for longer comes back on a new visit


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody in sight of a camera, from and to in seconds after the start."""

    camera: str
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Journey:
    """The visits of one identity in the order of their beginnings."""

    identity: int
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found.

    Attributes:
        folder: The virtual site, with what `run` left in its `data`.
        fps: Frames a second over all cameras, from the first frame to the last commit.
        people: How many there are in truth.
        site: Scores of identities over all cameras.
        cameras: Scores of tracks camera by camera.
        journeys: Of each identity.
    """

    folder: Path
    fps: float
    people: int
    site: TrackingScores
    cameras: dict[str, TrackingScores]
    journeys: tuple[Journey, ...]

    def as_dict(self) -> dict[str, object]:
        """The result as one JSON object; the scores over all cameras at the top level."""
        return {
            **self.site.as_dict(),
            "fps": self.fps,
            "people": self.people,
            "identities": len(self.journeys),
            "folder": str(self.folder),
            "cameras": {name: scores.as_dict() for name, scores in self.cameras.items()},
            "journeys": [asdict(journey) for journey in self.journeys],
        }


def run_demo(folder: Path, seed: int, progress: Callable[[int, int], None] | None = None) -> DemoResult:
    """Renders the demo's site into a folder, runs it and scores it.

    Args:
        folder: New or empty, or that of an earlier demo, which is replaced.
        seed: Of the place and the people.
        progress: Told the frames rendered, of how many.

    Raises:
        InputError: The folder holds something else, or the run failed.
    """
    if is_virtual_site(folder):
        shutil.rmtree(folder / DATA_FOLDER, ignore_errors=True)
    check_folder(folder)
    site = build_site(cameras=CAMERAS, people=PEOPLE, seconds=SECONDS, fps=FPS, seed=seed)
    write_site(site, folder, progress=progress)
    code = run_command(folder / "cameras.yaml", RunOptions())
    if code:
        raise InputError(f"{folder}: the run of the demo ended with exit code {code}: see the log above")
    return score_demo(folder)


def score_demo(folder: Path) -> DemoResult:
    """Scores a virtual site that was run."""
    truth, found = folder / "gt", folder / DATA_FOLDER / "tracks"
    names = sorted(file.stem for file in truth.glob("*.txt") if file.stem != "mtmc")
    summary = json.loads((folder / DATA_FOLDER / "summary.json").read_text())
    return DemoResult(
        folder,
        fps=summary["fps"],
        people=len(np.unique(read_mtmc(truth / "mtmc.txt").keys.ids)),
        site=evaluate_mtmc(truth / "mtmc.txt", found / "mtmc.txt"),
        cameras={name: evaluate_mot(truth / f"{name}.txt", found / f"{name}.txt") for name in names},
        journeys=tuple(follow(read_mtmc(found / "mtmc.txt"), FPS)),
    )


def follow(tracks: BoxTracks, fps: float) -> Iterator[Journey]:
    """Tells the journey of each identity from the boxes of a site.

    Args:
        tracks: Boxes with camera, frame and identity.
        fps: Frames a second of all cameras, which started together.
    """
    keys = tracks.keys
    rows = sorted(zip(keys.ids.tolist(), keys.cameras.tolist(), keys.frames.tolist(), strict=True))
    for identity, of_person in groupby(rows, key=lambda row: row[0]):
        visits = []
        for camera, seen in groupby(of_person, key=lambda row: row[1]):
            visits += _visits(camera, [frame for _, _, frame in seen], fps)
        yield Journey(identity, tuple(sorted(visits, key=lambda visit: (visit.since_s, visit.camera))))


def _visits(camera: str, frames: list[int], fps: float) -> list[Visit]:
    apart = np.flatnonzero(np.diff(frames) > _APART_S * fps) + 1
    parts = np.split(np.array(frames), apart)
    return [Visit(camera, round((part[0] - 1) / fps, 3), round(part[-1] / fps, 3)) for part in parts]
