"""The people of `crowd` in the database of a site, as a run leaves them; everybody is the identity of their number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    TrackletEnd,
    View,
)
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer
from tests.pipeline.crowd import Crowd

MODEL = "crowd"
START_US = 1_763_640_000_000_000  # 2025-11-20 12:00:00 UTC


def store_crowd(data_dir: Path, crowd: Crowd, qualities: Sequence[float] = (0.8, 0.8, 0.8)) -> None:
    """Writes the site; tracklet n of the crowd has the number n + 1, its person p the identity p + 1."""
    with open_database(data_dir) as database:
        crops = CropStore(data_dir)
        repository = Repository(database, crops)
        repository.register_model(ModelRecord(MODEL, "crowd", "reid", "MIT"))
        run = repository.begin_run({}, {"reid": {"name": "crowd", "hash": MODEL, "base": MODEL}}, START_US)
        sources = {
            name: repository.open_source(SourceSpec(name, f"/{name}.mp4", "f1", live=False, start_us=START_US))
            for name in sorted({tracklet.camera for tracklet in crowd.record()})
        }
        with Writer(database, crops) as writer:
            people = tuple(
                IdentityEvent(EventType.OPEN, START_US, each + 1) for each in np.unique(crowd.people).tolist()
            )
            writer.put(Changes(identity_events=people))
            for tracklet, person in zip(crowd.record(), crowd.people.tolist(), strict=True):
                source = sources[tracklet.camera].source_id
                writer.put(_changes(tracklet, person + 1, (source, run), qualities))
        repository.end_run(run, RunStatus.DONE, START_US)


def _changes(tracklet, identity: int, ids: tuple[int, int], qualities: Sequence[float]) -> Changes:
    times = [START_US + view.time_us for view in tracklet.views]
    frames = [time // 1_000_000 for time in times]
    boxes = BoxRun(
        tracklet.camera,
        tracklet.number,
        np.array(frames, np.int32),
        np.array(times, np.int64),
        np.ones((len(times), 4), np.float32),
        np.ones(len(times), np.float32),
    )
    views = tuple(
        View(tracklet.camera, tracklet.number, frame, time, quality, (1, 2, 3, 4), b"", view.embedding, MODEL)
        for frame, time, quality, view in zip(frames, times, qualities, tracklet.views, strict=True)
    )
    assigned = IdentityEvent(EventType.ASSIGN, times[0], identity, None, tracklet.camera, tracklet.number)
    return Changes(
        new_tracklets=(NewTracklet(tracklet.camera, tracklet.number, *ids, frames[0], times[0]),),
        boxes=(boxes,),
        ends=(TrackletEnd(tracklet.camera, tracklet.number),),
        views=views,
        identity_events=(assigned,),
    )
