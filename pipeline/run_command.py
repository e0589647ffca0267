"""`reid-pipeline run`: the parts are built, checked and joined here; the work itself is in `runner`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from rich.console import Console

from reid_pipeline.configs.camera_settings import CameraSettings
from reid_pipeline.configs.loading import load_settings
from reid_pipeline.configs.settings import DetectorSettings, EncoderSettings, Settings, non_default
from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
from reid_pipeline.pipeline.calibration import refit_calibration
from reid_pipeline.pipeline.camera_analysis import CameraAnalysis
from reid_pipeline.pipeline.corpus_collector import CorpusCollector
from reid_pipeline.pipeline.datatypes import WEAK_SCORE
from reid_pipeline.pipeline.detector import GraphDetector
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.encoder_watch import Change, EncoderWatch
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.events import EventFile
from reid_pipeline.pipeline.feed import CameraFeed, FeedSettings
from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.pipeline.journal import Journal
from reid_pipeline.pipeline.live_state import live_state
from reid_pipeline.pipeline.live_view import LiveView
from reid_pipeline.pipeline.lookout import build_lookout
from reid_pipeline.pipeline.model_names import serving_encoder
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.outlets import build_outlets
from reid_pipeline.pipeline.progress import RunProgress
from reid_pipeline.pipeline.protocols import Associator
from reid_pipeline.pipeline.reembed import embed_stored
from reid_pipeline.pipeline.runner import Camera, Run, Signals
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions
from reid_pipeline.pipeline.sources import (
    SourceInfo,
    SourceKind,
    SourceSpec,
    build_source,
    check_source,
    fingerprint,
    is_live,
    spec_of,
)
from reid_pipeline.pipeline.stop_signals import stop_on_signals
from reid_pipeline.pipeline.summary import RunTimes, print_summary, summarise
from reid_pipeline.pipeline.tracker import PersonTracker
from reid_pipeline.pipeline.tracker_settings import TrackerSettings
from reid_pipeline.pipeline.tracks import TracksOf, days_between, write_tracks
from reid_pipeline.pipeline.upkeep import Upkeep
from reid_pipeline.pipeline.video import AnnotatedVideo
from reid_pipeline.pipeline.zones import Zone, ZoneWatch
from reid_pipeline.storage.actor import current_user
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database, open_configured
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.permissions import MACHINE_ACCESS
from reid_pipeline.storage.promotions import PromotionLog
from reid_pipeline.storage.records import Changes, ModelRecord, RunStatus, SourceState
from reid_pipeline.storage.records import SourceSpec as SourceRecord
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.site_files import EVENTS
from reid_pipeline.storage.writer import Writer

logger = logging.getLogger(__name__)

LIVE_FPS: Final = 5.0  # frames a second of a live stream, unless the configuration says otherwise
EXIT_DONE, EXIT_PARTLY, EXIT_INTERRUPTED = 0, 3, 130


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to the configuration; `max_frames` counts per camera, in this run."""

    max_frames: int | None = None
    pace: Literal["max", "realtime"] = "max"
    again: bool = False
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class _Input:
    """One camera's input, found good."""

    spec: SourceSpec
    settings: CameraSettings
    live: bool
    info: SourceInfo | None  # None for a live camera, which is not opened beforehand
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Models:
    """What works in a run; `base` is the hash of the encoder that the configuration names."""

    detector: GraphDetector
    encoder: GraphEncoder
    base: str | None


def run_command(settings_path: Path, options: RunOptions) -> int:
    """Runs a site and returns the exit code of the contract.

    Raises:
        ConfigError: The configuration is wrong.
        UserError: A model, a source or the data folder cannot be used; nothing was written.
        WorkerDied: A thread ended by an error.
    """
    started_us = time.time_ns() // 1000
    started_s = time.monotonic()
    settings = load_settings(settings_path)
    serving = serving_encoder(settings)
    encoder = build_encoder(serving.path, options=_runtime_options(settings.encoder))
    detector = build_detector(
        settings.detector.model,
        min(WEAK_SCORE, settings.detector.min_confidence),
        options=_runtime_options(settings.detector),
        data_dir=settings.site.data_dir,
    )
    inputs = [_check_input(name, camera, started_us) for name, camera in settings.cameras.items() if camera.enabled]
    if not inputs:
        raise InputError(f"{settings_path}: cameras: none is enabled: expected at least one")
    _warm_up(detector, inputs)
    where = settings.site
    opened = open_configured(where.data_dir, where.database, master_key=where.master_key)
    with opened as database, database.lock_for_run():
        live = any(entry.live for entry in inputs)
        site = _Site(settings, options, database, _Models(detector, encoder, serving.base), live=live)
        return site.run(inputs, started_us, started_s)


def _runtime_options(settings: DetectorSettings | EncoderSettings) -> RuntimeOptions:
    return RuntimeOptions(settings.runtime, settings.trust)


def _check_input(name: str, camera: CameraSettings, started_us: int) -> _Input:
    spec = spec_of(name, camera, started_us)
    live = not camera.inputs or is_live(spec)
    if live:
        return _Input(spec, camera, True, None, "live")
    remote = spec.kind is SourceKind.HTTP
    return _Input(spec, camera, False, check_source(spec), spec.redacted if remote else fingerprint(spec.path))


def _warm_up(detector: GraphDetector, inputs: list[_Input]) -> None:
    """Compiles the detector for the files' shapes now, so that a model that cannot run stops here."""
    for size in {(entry.info.height, entry.info.width) for entry in inputs if entry.info is not None}:
        detector.compile_for(size)


class _Site:
    """A run on an open site."""

    def __init__(
        self, settings: Settings, options: RunOptions, database: Database, models: _Models, *, live: bool
    ) -> None:
        self._settings = settings
        self._options = options
        self._database = database
        self._detector = models.detector
        self._encoder = models.encoder
        self._base = models.base
        self._data_dir = settings.site.data_dir
        self._crops = CropStore(self._data_dir, database.vault)
        self._repository = Repository(database, self._crops, replace(MACHINE_ACCESS, name=current_user()))
        self._upkeep = Upkeep(database, settings, live=live)
        self._clock = StageClock()
        self._signals = Signals()
        self._outlets = build_outlets(settings)

    def run(self, inputs: list[_Input], started_us: int, started_s: float) -> int:
        """Does the run, writes what it leaves behind, and returns the exit code."""
        self._repository.close_stale_tracklets()
        self._end_erasures()
        self._repository.remove_orphan_crops()
        self._upkeep.begin()
        sources = [(entry, self._open_source(entry)) for entry in inputs]
        models = self._register_models()
        run_id = self._repository.begin_run(non_default(self._settings), models, started_us)
        cameras = [self._build_camera(entry, state) for entry, state in sources if not state.finished]
        first_us = min([started_us, *(state.start_us for entry, state in sources if not entry.live)])
        live = any(camera.live for camera in cameras)
        associator = self._build_associator(self._encoder, first_us, live=live)
        watch = self._build_watch() if live else None  # of files the same is to be found each time
        run = Run(run_id, cameras, self._detector, associator, self._clock, self._signals)
        run.watch = watch
        run.lookout = build_lookout(self._database, self._repository, self._encoder)
        status, interrupted = RunStatus.FAILED, False
        try:
            with stop_on_signals(run.stop) as stopped_by:
                self._execute(run, run_id, cameras)
            interrupted = stopped_by == [signal.SIGINT] and not any(camera.live for camera in cameras)
            status = _status(cameras, bool(stopped_by))
        finally:
            if watch is not None:
                watch.close()
            self._repository.end_run(run_id, status, time.time_ns() // 1000)
            self._upkeep.end()
        times = RunTimes(started_s, run.first_frame_s, time.monotonic())
        refit_calibration(self._repository, self._encoder.model_hash, time.time_ns() // 1000)
        self._leave_behind(run_id, cameras, sources, models, times)
        if interrupted:
            return EXIT_INTERRUPTED
        return EXIT_PARTLY if status is RunStatus.PARTIAL else EXIT_DONE

    def _end_erasures(self) -> None:
        """Those that were broken off, before anything is read of whom they are about."""
        if Erasures.are_broken_off(self._database):
            with self._database.lock_for_learning():
                Erasures(self._database, MACHINE_ACCESS).recover()

    def _open_source(self, entry: _Input) -> SourceState:
        record = SourceRecord(
            entry.spec.camera, entry.spec.redacted, entry.fingerprint, entry.live, entry.spec.start_us
        )
        state = self._repository.open_source(record, again=self._options.again and not entry.live)
        if state.finished:
            logger.info("%s: was read to its end before; --again replaces what it gave", entry.spec.camera)
        elif state.frames_committed and not entry.live:
            logger.info("%s: goes on after frame %d", entry.spec.camera, state.frames_committed)
        return state

    def _register_models(self) -> dict[str, dict[str, str | None]]:
        models: dict[str, dict[str, str | None]] = {}
        for task, part in (("detect", self._detector), ("reid", self._encoder)):
            record = ModelRecord(part.model_hash, part.model.name, task, part.model.licence)
            self._repository.register_model(record)
            models[task] = {"name": record.name, "hash": record.hash, "licence": record.licence}
        models["reid"]["base"] = self._base  # another hash: a promoted descendant serves
        return models

    def _build_watch(self) -> EncoderWatch | None:
        """Nothing is promoted in the place of an encoder that is pinned, or has no card."""
        base = self._base
        if base is None or self._settings.encoder.pinned:
            return None
        log = PromotionLog(self._data_dir)
        return EncoderWatch(lambda: log.serving(base), self._prepare_change, self._settle, self._encoder.model_hash)

    def _prepare_change(self) -> Change:
        """Makes another encoder ready, beside the run."""
        path = serving_encoder(self._settings).path
        encoder = build_encoder(path, options=_runtime_options(self._settings.encoder))
        embed_stored(self._database, encoder)
        logger.info("%s serves now: going on with it", encoder.model.name)
        return Change(encoder, self._build_associator(encoder, time.time_ns() // 1000, live=True))

    def _settle(self, encoder: GraphEncoder) -> None:
        self._encoder = encoder
        embed_stored(self._database, encoder)

    def _build_associator(self, encoder: GraphEncoder, first_us: int, *, live: bool) -> Associator:
        settings, space = self._settings.association, EmbeddingSpace.of(encoder)
        operators, number = self._repository.operator_news, self._repository.next_identity()
        associator = build_associator(settings, space, number, operators=operators, background=live)
        memory_us = settings.memory // timedelta(microseconds=1)
        associator.restore(self._repository.gallery(encoder.model_hash, first_us - memory_us))
        return associator

    def _build_camera(self, entry: _Input, state: SourceState) -> Camera:
        name = entry.spec.camera
        spec = replace(entry.spec, start_us=state.start_us, skip_frames=0 if entry.live else state.frames_committed)
        fps = entry.settings.detect.fps
        feed_settings = FeedSettings(
            live=entry.live,
            sample_fps=LIVE_FPS if fps is None and entry.live else fps,
            prepare=self._detector.prepare,
            wake=self._signals.wake.set,
            pace=self._options.pace,
            max_frames=self._options.max_frames,
            after_frame=state.frames_committed,
        )
        changed = partial(self._signals.camera_changed, name)
        feed = CameraFeed(name, partial(build_source, spec), feed_settings, on_state=changed)
        settings = TrackerSettings(min_confidence=self._settings.detector.min_confidence)
        tracker = PersonTracker(settings, self._repository.next_number(name))
        return Camera(
            name=name,
            source_id=state.source_id,
            feed=feed,
            live=entry.live,
            analysis=CameraAnalysis(
                name,
                tracker,
                self._encoder,
                self._clock,
                _floor_of(entry.settings),
                blur_heads=self._settings.site.blur_heads,
            ),
            total_frames=_frames_to_do(entry, state, self._options.max_frames),
            max_frames=self._options.max_frames,
            video=self._open_video(entry, state, feed_settings.sample_fps),
            zones=ZoneWatch(_zones_of(entry.settings)),
            collector=self._build_collector(entry, state),
            last_frame=state.frames_committed,
        )

    def _build_collector(self, entry: _Input, state: SourceState) -> CorpusCollector | None:
        if not self._settings.corpus.collect:
            return None
        if not entry.live and not self._upkeep.keeps(state.start_us):
            logger.warning("%s: is older than retention.corpus, no crops are kept to learn from", entry.spec.camera)
            return None
        return CorpusCollector(entry.spec.camera)

    def _open_video(self, entry: _Input, state: SourceState, sample_fps: float | None) -> AnnotatedVideo | None:
        """A resumed file gets a video of its own beside the first one, named for the frame that it starts after."""
        if not self._settings.outputs.video:
            return None
        part = f"-after-{state.frames_committed}" if state.frames_committed else ""
        fps = sample_fps or entry.spec.fps or (entry.info.fps if entry.info else LIVE_FPS)
        path = self._data_dir / "videos" / f"{entry.spec.camera}{part}.mp4"
        return AnnotatedVideo(path, fps, _zones_of(entry.settings))

    def _execute(self, run: Run, run_id: int, cameras: list[Camera]) -> None:
        console = Console(stderr=True, quiet=self._options.json_output and not sys.stderr.isatty())
        file = EventFile(self._data_dir / EVENTS) if self._settings.outputs.events else None
        journal = Journal(file, self._outlets.tell)

        def committed(changes: Changes) -> None:
            journal.committed(changes)
            self._upkeep.go_on()

        writer = Writer(self._database, self._crops, on_commit=committed)
        state = partial(live_state, run_id, cameras, self._signals, self._clock, writer)
        with LiveView(self._data_dir, [camera.name for camera in cameras], state) as view:
            run.live_view = view
            with RunProgress(console) as progress, self._outlets, writer:
                run.execute(journal, writer, progress)

    def _leave_behind(
        self,
        run_id: int,
        cameras: list[Camera],
        sources: list[tuple[_Input, SourceState]],
        models: dict[str, dict[str, str | None]],
        times: RunTimes,
    ) -> None:
        """Writes `tracks/` and `summary.json`, and shows the summary."""
        if self._settings.outputs.tracks:
            spans = {camera.name: (camera.first_us, camera.last_us) for camera in cameras}
            tracks = [_tracks_of(entry, state, spans.get(entry.spec.camera)) for entry, state in sources]
            write_tracks(self._repository, self._data_dir / "tracks", tracks)
        totals = self._repository.totals(run_id)
        summary = summarise([entry.spec.camera for entry, _ in sources], cameras, totals, self._clock, times)
        models["detect"]["runtime"] = ", ".join(str(engine) for engine in self._detector.engines) or None
        models["reid"]["runtime"] = str(self._encoder.engine)
        summary.update(outputs=self._outlets.told(), models=models, settings=non_default(self._settings))
        text = json.dumps(summary, indent=2)
        (self._data_dir / "summary.json").write_text(text + "\n", encoding="utf-8")
        if self._options.json_output:
            sys.stdout.write(text + "\n")
        else:
            print_summary(summary, Console(stderr=True), self._data_dir)


def _zones_of(camera: CameraSettings) -> tuple[Zone, ...]:
    return tuple(
        Zone(name, np.array(zone.points), None if zone.dwell is None else zone.dwell // timedelta(microseconds=1))
        for name, zone in camera.zones.items()
    )


def _floor_of(camera: CameraSettings) -> GivenFloor | None:
    return GivenFloor.of(*camera.floor.sides) if camera.floor else None


def _tracks_of(entry: _Input, state: SourceState, span: tuple[int | None, int] | None) -> TracksOf:
    if not entry.live:
        return TracksOf(entry.spec.camera, state.source_id)
    if span is None or span[0] is None:
        return TracksOf(entry.spec.camera, None)
    return TracksOf(entry.spec.camera, None, days_between(span[0], span[1]))


def _frames_to_do(entry: _Input, state: SourceState, max_frames: int | None) -> int | None:
    if entry.info is None or entry.info.frames is None or entry.settings.detect.fps is not None:
        return max_frames
    left = max(entry.info.frames - state.frames_committed, 0)
    return left if max_frames is None else min(left, max_frames)


def _status(cameras: list[Camera], stopped: bool) -> RunStatus:
    if any(camera.feed.state == "broken" for camera in cameras):
        return RunStatus.PARTIAL
    return RunStatus.STOPPED if stopped else RunStatus.DONE
