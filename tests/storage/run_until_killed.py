"""A run without end, for `test_kill`: goes on where the site stands, and prints each frame that is committed.

Three persons are in view at a time; every tracklet lasts nine frames, has a view a frame from its second on (each
replaces the one before), and an identity from its third on. The corpus has a crop of each tracklet a frame.
"""

import sys
from pathlib import Path

import numpy as np

from reid_pipeline.storage.corpus_records import CollectedCrop, CorpusCrop
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.records import (
    BoxRun,
    Changes,
    EventType,
    IdentityEvent,
    ModelRecord,
    NewTracklet,
    SourceProgress,
    SourceSpec,
    TrackletEnd,
    View,
)
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer

LIFE_FRAMES = 9
CAMERA = "hall"


class Run:
    def __init__(self, repository: Repository) -> None:
        repository.close_stale_tracklets()
        repository.remove_orphan_crops()
        repository.register_model(ModelRecord("m1", "encoder", "reid", "MIT"))
        self.run_id = repository.begin_run({}, {"reid": "m1"}, 0)
        self.source = repository.open_source(SourceSpec(CAMERA, "/x.mp4", "f1", live=False, start_us=0))
        self.next_number = repository.next_number(CAMERA)
        self.next_identity = repository.next_identity()
        self.ages: dict[int, int] = {}

    def changes(self, frame: int) -> Changes:
        """One frame's worth."""
        new, views, events = [], [], []
        ended = [number for number, age in self.ages.items() if age == LIFE_FRAMES]
        for number in ended:
            del self.ages[number]
        while len(self.ages) < 3:
            self.ages[self.next_number] = 0
            new.append(NewTracklet(CAMERA, self.next_number, self.source.source_id, self.run_id, frame, frame))
            self.next_number += 1
        for number, age in self.ages.items():
            if age >= 1:
                views.append(view(number, frame, frame - 1 if age >= 2 else None))
            if age == 2:
                events += [
                    IdentityEvent(EventType.OPEN, frame, self.next_identity),
                    IdentityEvent(EventType.ASSIGN, frame, self.next_identity, camera=CAMERA, number=number),
                ]
                self.next_identity += 1
            self.ages[number] = age + 1
        return Changes(
            new_tracklets=tuple(new),
            boxes=tuple(box(number, frame) for number in self.ages),
            ends=tuple(TrackletEnd(CAMERA, number) for number in ended),
            views=tuple(views),
            corpus=tuple(collected(number, frame) for number in self.ages),
            identity_events=tuple(events),
            progress=(SourceProgress(self.source.source_id, frame, finished=False),),
        )


def view(number: int, frame: int, replaces: int | None) -> View:
    jpeg = f"{number} {frame} ".encode() * 500
    return View(CAMERA, number, frame, frame, 0.5, (0, 0, 1, 1), jpeg, np.ones(8, np.float32), "m1", replaces)


def collected(number: int, frame: int) -> CollectedCrop:
    return CollectedCrop(CAMERA, number, CorpusCrop(frame, corpus_jpeg(number, frame), 48, 128, 0.5))


def corpus_jpeg(number: int, frame: int) -> bytes:
    return b"\xff\xd8" + f"{number} {frame} ".encode() * 300


def box(number: int, frame: int) -> BoxRun:
    frames = np.array([frame], np.int32)
    return BoxRun(CAMERA, number, frames, frames.astype(np.int64), np.ones((1, 4), np.float32), np.ones(1, np.float32))


def main(data_dir: Path) -> None:
    crops = CropStore(data_dir)
    with open_database(data_dir) as database, database.lock_for_run():
        run = Run(Repository(database, crops))
        with Writer(database, crops, on_commit=lambda each: print(each.progress[0].frames_committed)) as writer:
            frame = run.source.frames_committed
            while True:
                frame += 1
                writer.put(run.changes(frame))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main(Path(sys.argv[1]))
