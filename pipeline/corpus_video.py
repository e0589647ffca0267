"""Whole videos as material for learning: people are detected and followed as in a run, and the same crops are kept.

A video is known by its content, so it is imported once, whatever it is called; two videos never share a place, even if
they have one name. What is stored is always a beginning of the video: an import that is stopped goes on from there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from reid_pipeline.pipeline.corpus_collector import CorpusCollector
from reid_pipeline.pipeline.corpus_import import ImportCounts, Report, camera_name
from reid_pipeline.pipeline.datatypes import Boxes, Embeddings, Frame
from reid_pipeline.pipeline.errors import SourceBroken, SourceNotFound
from reid_pipeline.pipeline.head_blur import FrameHeads
from reid_pipeline.pipeline.protocols import Detector, Encoder, Pending
from reid_pipeline.pipeline.sampling import SampleGrid
from reid_pipeline.pipeline.sources import SourceInfo, SourceSpec, build_source, check_source, fingerprint
from reid_pipeline.pipeline.tracker import PersonTracker
from reid_pipeline.pipeline.tracker_settings import TrackerSettings
from reid_pipeline.pipeline.views import cut
from reid_pipeline.storage.corpus_records import CorpusCrop, CorpusOrigin, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg", ".mpeg", ".264", ".h264", ".265", ".hevc"}
)
_COMMIT_FRAMES: Final = 300  # that were looked at: half a minute at 10 a second


@dataclass(frozen=True, slots=True)
class VideoParts:
    """What works on a video.

    Attributes:
        detector: Finds people.
        encoder: Tells the tracker how they look.
        tracker: How they are followed.
        fps: Frames a second to look at.
        blur_heads: Whether heads are blurred, as a run of the site does.
    """

    detector: Detector
    encoder: Encoder
    tracker: TrackerSettings
    fps: float
    blur_heads: bool = False


@dataclass(frozen=True, slots=True)
class _Video:
    spec: SourceSpec
    key: str
    info: SourceInfo


@dataclass(slots=True)
class _Open:
    """A tracklet since the last commit."""

    first_us: int
    last_us: int
    crops: list[CorpusCrop]


def list_videos(path: Path) -> list[Path]:
    """The videos of a folder and the folders in it, or the one that is named; empty where there is none."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.suffix.lower() in VIDEO_SUFFIXES and each.is_file())


def import_videos(
    root: Path, store: CorpusStore, parts: VideoParts, camera: str | None, now_us: int, report: Report
) -> ImportCounts:
    """Adds the crops of a video, or of all in a folder; those that are there already add nothing.

    Args:
        root: The video or folder.
        store: The corpus.
        parts: What finds and follows people.
        camera: Name of their camera; None: each video is a camera, named by its place in the folder.
        now_us: The time; a video that is new ends then.
        report: Told how many frames are done, of how many.

    Raises:
        SourceNotFound: The one video that is named cannot be read.
    """
    counts, videos = ImportCounts(), []
    for path in list_videos(root):
        video = _inspect(path, camera or _name(path, root), alone=root.is_file())
        if video is not None:
            videos.append(video)
        else:
            counts += ImportCounts(unreadable=1)
    total, done = sum(video.info.frames or 0 for video in videos), 0
    for video in videos:
        counts += _import(video, store, parts, now_us, partial(_report_from, report, done, total))
        done += video.info.frames or 0
    return counts


def _report_from(report: Report, done: int, total: int, frames: int) -> None:
    report(done + frames, total)


def _name(path: Path, root: Path) -> str:
    place = Path(path.name) if root.is_file() else path.relative_to(root)
    return camera_name("_".join(place.with_suffix("").parts))


def _inspect(path: Path, camera: str, *, alone: bool) -> _Video | None:
    spec = SourceSpec(camera, str(path))
    try:
        return _Video(spec, f"video {fingerprint(str(path))}", check_source(spec))
    except SourceNotFound as error:
        if alone:
            raise
        logger.warning("%s; it is left out", error)
        return None


def _import(
    video: _Video, store: CorpusStore, parts: VideoParts, now_us: int, report: Callable[[int], None]
) -> ImportCounts:
    info = video.info
    length_us = round((info.frames or 0) / info.fps * 1_000_000) if info.fps else 0
    origin = store.open_origin(video.spec.camera, video.key, now_us - length_us)
    if origin.finished:
        logger.info("%s: is in the corpus already, as camera %s", video.spec.path, origin.camera)
        return ImportCounts(known_videos=1)
    spec = replace(video.spec, start_us=origin.start_us, skip_frames=origin.frames)
    work = _VideoWork(store, origin, parts, report)
    try:
        work.take(build_source(spec, SampleGrid(parts.fps)).frames())
    except SourceBroken as error:
        logger.warning("%s", error)
        return work.finish() + ImportCounts(unreadable=1)
    return work.finish()


class _VideoWork:
    """One video on its way into the corpus."""

    def __init__(
        self, store: CorpusStore, origin: CorpusOrigin, parts: VideoParts, report: Callable[[int], None]
    ) -> None:
        self._store = store
        self._origin = origin
        self._parts = parts
        self._report = report
        self._tracker = PersonTracker(parts.tracker, origin.next_number)
        self._collector = CorpusCollector(origin.camera)
        self._in_flight: deque[tuple[Frame, Pending]] = deque()
        self._open: dict[int, _Open] = {}
        self._ended: set[int] = set()
        self._frames = origin.frames
        self._uncommitted = 0
        self._counts = ImportCounts(videos=1)
        self._added: set[int] = set()

    def take(self, frames: Iterable[Frame]) -> None:
        """Works through frames and commits now and then.

        Raises:
            SourceBroken: The frames break off; those before are kept.
        """
        try:
            for frame in frames:
                self._submit(frame)
                if len(self._in_flight) >= self._parts.detector.capacity:
                    self._finish_oldest()
        finally:
            while self._in_flight:
                self._finish_oldest()

    def finish(self) -> ImportCounts:
        """Commits the rest and says what was added."""
        self._commit(finished=True)
        return self._counts + ImportCounts(tracklets=len(self._added))

    def _submit(self, frame: Frame) -> None:
        detector, image = self._parts.detector, frame.image
        pending = detector.submit(detector.prepare(image), (image.shape[0], image.shape[1]), lambda: None)
        self._in_flight.append((frame, pending))

    def _finish_oldest(self) -> None:
        frame, pending = self._in_flight.popleft()
        encode, detections = self._parts.encoder.encode, pending.result()
        heads = FrameHeads(frame.image, detections, enabled=self._parts.blur_heads)

        def looks(boxes: Boxes) -> Embeddings:
            heads.blur(boxes)
            return encode([cut(frame.image, box) for box in boxes])

        tracked = self._tracker.update(detections, looks)
        heads.blur(tracked.boxes)
        for number in tracked.numbers:
            self._open.setdefault(number, _Open(frame.time_us, frame.time_us, [])).last_us = frame.time_us
        for collected in self._collector.collect(frame, tracked):
            self._open[collected.number].crops.append(collected.crop)
        self._ended.update(tracked.ended)
        self._frames = frame.index
        self._report(frame.index)
        self._uncommitted += 1
        if self._uncommitted >= _COMMIT_FRAMES:
            self._commit(finished=False)

    def _commit(self, *, finished: bool) -> None:
        tracklets = [
            ImportedTracklet(number, each.first_us, each.last_us, tuple(each.crops))
            for number, each in self._open.items()
        ]
        added = self._store.add(self._origin.id, tracklets, frames=self._frames, finished=finished)
        self._counts += ImportCounts(crops=added.crops)
        self._added.update(each.number for each in tracklets if each.crops)
        for each in self._open.values():
            each.crops.clear()
        for number in self._ended:
            self._open.pop(number, None)
        self._ended.clear()
        self._uncommitted = 0
