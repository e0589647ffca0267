"""The run: one loop that takes frames from all cameras, keeps the detector busy and hands the results on in order.

    feed (thread per camera)          source -> decode -> mask -> scale for the detector
      -> Run (this loop)              choose the next frame, submit it; take the oldest answer
         -> CameraAnalysis            blur heads -> tracker -> views -> embeddings
         -> Associator                identities over all cameras
         -> ZoneWatch                 who enters and leaves the zones
         -> Journal -> Writer         one transaction a second (thread)

Frames of files are taken in capture-time order over all cameras, so what is found depends on nothing but the files.
Live cameras give their newest frame, in turns: the one served longest ago comes first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from reid_pipeline.configs.log import redact_url
from reid_pipeline.pipeline.camera_analysis import CameraAnalysis, FrameResult
from reid_pipeline.pipeline.corpus_collector import CorpusCollector
from reid_pipeline.pipeline.encoder_watch import Change, EncoderWatch
from reid_pipeline.pipeline.errors import WorkerDied
from reid_pipeline.pipeline.events import Event, iso_time
from reid_pipeline.pipeline.feed import CameraFeed, FeedItem
from reid_pipeline.pipeline.journal import Journal
from reid_pipeline.pipeline.live_view import LiveView
from reid_pipeline.pipeline.lookout import Lookout
from reid_pipeline.pipeline.monitor import CameraMonitor, StageClock
from reid_pipeline.pipeline.progress import CameraProgress, RunProgress
from reid_pipeline.pipeline.protocols import Associator, Decision, Detector, Pending, TrackletUpdate
from reid_pipeline.pipeline.run_events import (
    alert_event,
    decision_event,
    end_event,
    identity_events,
    new_event,
    zone_event,
)
from reid_pipeline.pipeline.video import AnnotatedVideo
from reid_pipeline.pipeline.zones import ZoneEvent, ZoneWatch
from reid_pipeline.storage.records import NewTracklet, SourceProgress
from reid_pipeline.storage.writer import Writer

_IDLE_S: Final = 0.5  # the longest sleep while nothing happens


@dataclass(slots=True)
class Camera:
    """One camera of a run, with everything that belongs to it alone."""

    name: str
    source_id: int
    feed: CameraFeed
    live: bool
    analysis: CameraAnalysis
    total_frames: int | None
    max_frames: int | None = None
    video: AnnotatedVideo | None = None
    zones: ZoneWatch = field(default_factory=ZoneWatch)
    collector: CorpusCollector | None = None
    monitor: CameraMonitor = field(default_factory=CameraMonitor)
    identities: dict[int, int | None] = field(default_factory=dict)  # of open tracklets; None: not known yet
    last_frame: int = 0
    last_us: int = 0
    first_us: int | None = None
    turn: int = 0  # when it was last served


@dataclass(frozen=True, slots=True)
class Signals:
    """What the cameras' threads tell the run loop: that something is ready, and changes of their states."""

    wake: threading.Event = field(default_factory=threading.Event)
    camera_events: deque[Event] = field(default_factory=deque)
    since: dict[str, tuple[int, str]] = field(default_factory=dict)  # of each camera's state, with the line of detail
    started_us: int = field(default_factory=lambda: time.time_ns() // 1000)

    def camera_changed(self, camera: str, state: str, detail: str) -> None:
        """Notes that a camera has changed its state, now."""
        now_us = time.time_ns() // 1000
        self.since[camera] = (now_us, detail)
        self.camera_events.append(Event("camera", iso_time(now_us), camera, state=state, detail=detail or None))


@dataclass(frozen=True, slots=True)
class _InFlight:
    camera: Camera
    item: FeedItem
    pending: Pending


class Run:
    """Drives the cameras until they end or `stop` is called.

    Args:
        run_id: Number of the run in the database.
        cameras: The cameras, in the order of the configuration; their feeds are not started yet.
        detector: Shared by all cameras.
        associator: Shared by all cameras.
        clock: Where the time of each stage is added up.
        signals: What the cameras' threads tell this loop.

    Attributes:
        watch: Tells of another encoder that is to be gone on with; None: there will be none.
        lookout: Tells who may be on a watch list; None: nobody is looked out for.
        live_view: Where each camera's newest frame is left for a dashboard; None: nowhere.
        first_frame_s: `time.monotonic` of the first frame taken.
    """

    def __init__(
        self,
        run_id: int,
        cameras: Sequence[Camera],
        detector: Detector,
        associator: Associator,
        clock: StageClock,
        signals: Signals,
    ) -> None:
        self._run_id = run_id
        self._cameras = cameras
        self._detector = detector
        self._associator = associator
        self._clock = clock
        self._signals = signals
        self._in_flight: deque[_InFlight] = deque()
        self._turn = 0
        self._stopping = threading.Event()
        self.watch: EncoderWatch | None = None
        self.lookout: Lookout | None = None
        self.live_view: LiveView | None = None
        self.first_frame_s: float | None = None

    def stop(self) -> None:
        """Ends the run in good order; callable from a signal handler."""
        self._stopping.set()
        self._signals.wake.set()

    def execute(self, journal: Journal, writer: Writer, progress: RunProgress) -> None:
        """Runs to the end and hands everything to the writer.

        Raises:
            WorkerDied: A camera's thread ended by an error; what came before is stored.
            WriterFailed: The results could not be stored.
        """
        for camera in self._cameras:
            camera.feed.start()
        try:
            self._loop(journal, writer, progress)
        except BaseException:
            self._stopping.set()  # the other cameras did not reach their ends, they are stopped here
            raise
        finally:
            for camera in self._cameras:
                camera.feed.stop()
            while self._in_flight:
                self._finish_oldest(journal)
            self._end_cameras(journal)
            journal.commit(writer)

    def _loop(self, journal: Journal, writer: Writer, progress: RunProgress) -> None:
        while not self._over():
            self._signals.wake.clear()
            if not self._advance(journal):
                self._signals.wake.wait(_IDLE_S)
            self._tell_camera_events(journal)
            journal.commit_if_due(writer)
            if progress.due():
                progress.show([_progress_of(camera) for camera in self._cameras])
            self._check_feeds()
            if self.watch is not None and (change := self.watch.take()) is not None:
                self._change_over(change)

    def _change_over(self, change: Change) -> None:
        """Goes on with another encoder: open tracklets stay who they are, their looks are taken anew."""
        for camera in self._cameras:
            opened = camera.analysis.change_encoder(change.encoder)
            known = {number: identity for number in opened if (identity := camera.identities.get(number)) is not None}
            update = TrackletUpdate(
                camera.name, camera.last_frame, camera.last_us, tuple(opened.items()), tuple(opened), (), ()
            )
            change.associator.take_over(update, known, self._associator.next_identity)
        self._associator = change.associator
        if self.lookout is not None:
            self.lookout.change_encoder(change.encoder)

    def _over(self) -> bool:
        if self._stopping.is_set():
            return True
        return not self._in_flight and all(camera.feed.finished for camera in self._cameras)

    def _advance(self, journal: Journal) -> bool:
        """Does one thing: submits a frame, or finishes the oldest answer. False when nothing is ready."""
        full = len(self._in_flight) >= self._detector.capacity
        if not full and (camera := self._choose()) is not None:
            self._submit(camera)
            return True
        if self._in_flight and (full or self._in_flight[0].pending.done()):
            self._finish_oldest(journal)
            return True
        return False

    def _choose(self) -> Camera | None:
        """The camera whose frame comes next: live ones in turns, files by capture time, both kinds alternating."""
        live = [camera for camera in self._cameras if camera.live and camera.feed.peek_time() is not None]
        file = self._choose_file()
        waiting = [*live, file] if file is not None else live
        return min(waiting, key=lambda camera: camera.turn) if live else file

    def _choose_file(self) -> Camera | None:
        """The file whose next frame was taken first; None until every file that goes on has one ready."""
        best: tuple[int, Camera] | None = None
        for camera in self._cameras:
            if camera.live:
                continue
            time_us = camera.feed.peek_time()
            if time_us is None:
                if not camera.feed.finished:
                    return None
            elif best is None or time_us < best[0]:
                best = (time_us, camera)
        return best[1] if best else None

    def _submit(self, camera: Camera) -> None:
        item = camera.feed.take()
        if item is None:
            return
        if self.first_frame_s is None:
            self.first_frame_s = time.monotonic()
        self._turn += 1
        camera.turn = self._turn
        image = item.frame.image
        with self._clock.stage("submit"):
            pending = self._detector.submit(item.prepared, (image.shape[0], image.shape[1]), self._signals.wake.set)
        self._in_flight.append(_InFlight(camera, item, pending))

    def _finish_oldest(self, journal: Journal) -> None:
        entry = self._in_flight.popleft()
        camera, frame = entry.camera, entry.item.frame
        with self._clock.stage("detect"):
            detections = entry.pending.result()
        result = camera.analysis.process(frame, detections)
        with self._clock.stage("associate"):
            decisions = self._associator.update(result.update)
        with self._clock.stage("journal"):
            self._note(camera, result, decisions, journal)
        if camera.collector is not None:
            with self._clock.stage("collect"):
                journal.collect(camera.collector.collect(frame, result.tracked))
        camera.monitor.frame(len(detections), frame.received_s)
        if camera.video is not None:
            with self._clock.stage("video"):
                camera.video.write(frame, result.tracked, camera.identities)
        if self.live_view is not None:
            self.live_view.offer(frame, result.tracked, camera.identities)
        self._forget_ended(camera, result.update)

    def _note(self, camera: Camera, result: FrameResult, decisions: Sequence[Decision], journal: Journal) -> None:
        frame = result.frame
        camera.last_frame, camera.last_us = frame.index, frame.time_us
        if camera.first_us is None:
            camera.first_us = frame.time_us
        boxes = dict(zip(result.tracked.numbers, result.tracked.boxes.tolist(), strict=True))
        first_us = result.update.began_us
        for number, first_frame in result.update.started:
            camera.identities[number] = None
            journal.start_tracklet(
                NewTracklet(camera.name, number, camera.source_id, self._run_id, first_frame, first_us[number])
            )
            journal.tell(new_event(result.update, number, boxes[number]))
        journal.add_boxes(camera.name, result.box_runs)
        journal.progress(SourceProgress(camera.source_id, frame.index, finished=False))
        journal.add_views(result.views)
        self._note_decisions(decisions, result.update, journal)
        _tell_zones(camera, camera.zones.update(frame, result.tracked), journal)
        _note_ends(camera, result.update, journal)

    def _note_decisions(self, decisions: Sequence[Decision], update: TrackletUpdate, journal: Journal) -> None:
        """Notes decisions, which may be about any camera, and keeps the identities of open tracklets up to date."""
        for decision in decisions:
            for event in identity_events(decision, update.time_us):
                journal.decide(event)
            journal.tell(decision_event(decision, update))
            for camera in self._cameras:
                _keep_identities(camera, decision)
        if self.lookout is not None:
            for alert in self.lookout.heed(update, decisions):
                journal.alert(alert)
                journal.tell(alert_event(alert, update, self.lookout.identity((alert.camera, alert.number))))

    def _forget_ended(self, camera: Camera, update: TrackletUpdate) -> None:
        for number in update.ended:
            camera.identities.pop(number, None)

    def _end_cameras(self, journal: Journal) -> None:
        """Ends the tracklets of all cameras and notes which sources were read to their end."""
        updates: list[TrackletUpdate] = []
        for camera in self._cameras:
            last = camera.analysis.close()
            update = last.update
            decisions = self._associator.update(update)
            journal.add_boxes(camera.name, last.box_runs)
            journal.add_views(last.views)
            self._note_decisions(decisions, update, journal)
            _tell_zones(camera, camera.zones.end(update.ended), journal)
            _note_ends(camera, update, journal)
            updates.append(update)
            journal.progress(SourceProgress(camera.source_id, camera.last_frame, self._was_read_to_end(camera)))
            if camera.video is not None:
                camera.video.close()
        if self._cameras:
            end = max(updates, key=attrgetter("time_us"))
            nobody = TrackletUpdate(end.camera, end.frame, end.time_us, (), (), (), ())
            self._note_decisions(self._associator.close(), nobody, journal)
        self._tell_camera_events(journal)

    def _was_read_to_end(self, camera: Camera) -> bool:
        limited = camera.max_frames is not None and camera.monitor.frames_processed >= camera.max_frames
        return camera.feed.state == "ended" and not limited and not self._stopping.is_set() and not camera.live

    def _tell_camera_events(self, journal: Journal) -> None:
        while self._signals.camera_events:
            journal.tell(self._signals.camera_events.popleft())

    def _check_feeds(self) -> None:
        for camera in self._cameras:
            if camera.feed.state == "failed":
                cause = camera.feed.error
                raise WorkerDied(redact_url(f"camera {camera.name} failed: {type(cause).__name__}: {cause}")) from cause


def _tell_zones(camera: Camera, events: Sequence[ZoneEvent], journal: Journal) -> None:
    for event in events:
        journal.tell(zone_event(camera.name, event, camera.identities.get(event.tracklet)))


def _note_ends(camera: Camera, update: TrackletUpdate, journal: Journal) -> None:
    for number in update.ended:
        journal.end_tracklet(camera.name, number)
        journal.tell(end_event(update, number, camera.identities.get(number)))


def _keep_identities(camera: Camera, decision: Decision) -> None:
    if decision.tracklet is None:
        for number, identity in camera.identities.items():
            if identity == decision.identity and decision.other is not None:
                camera.identities[number] = decision.other
    elif decision.tracklet[0] == camera.name and decision.tracklet[1] in camera.identities:
        camera.identities[decision.tracklet[1]] = decision.identity


def _progress_of(camera: Camera) -> CameraProgress:
    latencies = camera.monitor.latencies_ms
    return CameraProgress(
        camera.name,
        camera.feed.state,
        camera.monitor.frames_processed,
        camera.total_frames,
        sum(count for reason, count in camera.feed.dropped.items() if reason != "sampled"),
        latencies[-1] if camera.live and latencies else None,
    )
