"""Collects what the run finds and hands it to the writer, a commit at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from reid_pipeline.pipeline.box_runs import TrackletBoxRun
from reid_pipeline.pipeline.events import Event, EventFile
from reid_pipeline.storage.corpus_records import CollectedCrop
from reid_pipeline.storage.records import (
    BoxRun,
    Changes,
    IdentityEvent,
    NewAlert,
    NewTracklet,
    SourceProgress,
    TrackletEnd,
    View,
)
from reid_pipeline.storage.writer import Writer

COMMIT_S: Final = 1.0  # wall-clock seconds between commits: the most that a crash loses


class Journal:
    """Everything since the last commit. A commit holds whole frames, so the database is always a prefix of the run.

    Args:
        events: Where events go once what they tell is stored; None for nowhere.
        tell: Who else is told of them then; called in the writer's thread.
    """

    def __init__(self, events: EventFile | None, tell: Callable[[Sequence[Event]], None] | None = None) -> None:
        self._event_file = events
        self._tell = tell
        self._new: list[NewTracklet] = []
        self._boxes: dict[tuple[str, int], list[TrackletBoxRun]] = {}
        self._ends: list[TrackletEnd] = []
        self._views: list[View] = []
        self._corpus: list[CollectedCrop] = []
        self._identities: list[IdentityEvent] = []
        self._alerts: list[NewAlert] = []
        self._progress: dict[int, SourceProgress] = {}
        self._events: list[Event] = []
        self._committing: deque[list[Event]] = deque()  # one entry for each change that the writer has
        self._committed_s = time.monotonic()

    def start_tracklet(self, tracklet: NewTracklet) -> None:
        """Notes a new tracklet."""
        self._new.append(tracklet)

    def add_boxes(self, camera: str, runs: tuple[TrackletBoxRun, ...]) -> None:
        """Notes boxes of tracklets of one camera."""
        for run in runs:
            self._boxes.setdefault((camera, run.number), []).append(run)

    def end_tracklet(self, camera: str, number: int) -> None:
        """Notes that a tracklet has ended."""
        self._ends.append(TrackletEnd(camera, number))

    def add_views(self, views: tuple[View, ...]) -> None:
        """Notes new views."""
        self._views.extend(views)

    def collect(self, crops: tuple[CollectedCrop, ...]) -> None:
        """Notes crops for the corpus."""
        self._corpus.extend(crops)

    def decide(self, event: IdentityEvent) -> None:
        """Notes a decision about identities."""
        self._identities.append(event)

    def alert(self, alert: NewAlert) -> None:
        """Notes somebody who may be on a watch list."""
        self._alerts.append(alert)

    def progress(self, progress: SourceProgress) -> None:
        """Notes how far a source was read."""
        self._progress[progress.source_id] = progress

    def tell(self, event: Event) -> None:
        """Notes an event for `events.ndjson`."""
        self._events.append(event)

    def commit_if_due(self, writer: Writer) -> None:
        """Commits when `COMMIT_S` has passed; waits while the writer's queue is full."""
        if time.monotonic() - self._committed_s >= COMMIT_S:
            self.commit(writer)

    def commit(self, writer: Writer) -> None:
        """Hands everything to the writer."""
        changes = Changes(
            new_tracklets=tuple(self._new),
            boxes=tuple(_join(camera, number, runs) for (camera, number), runs in self._boxes.items()),
            ends=tuple(self._ends),
            views=tuple(self._views),
            corpus=tuple(self._corpus),
            identity_events=tuple(self._identities),
            alerts=tuple(self._alerts),
            progress=tuple(self._progress.values()),
        )
        self._committing.append(self._events)
        writer.put(changes)
        for part in (self._new, self._ends, self._views, self._corpus, self._identities, self._alerts):
            part.clear()
        self._boxes.clear()
        self._progress.clear()
        self._events = []
        self._committed_s = time.monotonic()

    def committed(self, _: Changes) -> None:
        """Writes the events of the oldest change that the writer had; called in the writer's thread."""
        events = self._committing.popleft()
        if self._event_file is not None:
            self._event_file.append(events)
        if self._tell is not None:
            self._tell(events)


def _join(camera: str, number: int, runs: list[TrackletBoxRun]) -> BoxRun:
    return BoxRun(
        camera,
        number,
        np.concatenate([run.frames for run in runs]),
        np.concatenate([run.times_us for run in runs]),
        np.concatenate([run.boxes for run in runs]),
        np.concatenate([run.scores for run in runs]),
    )
