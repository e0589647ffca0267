"""`reid-pipeline record`: the recorders of a site's cameras, and the ring that their clips are kept in."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reid_pipeline.configs.loading import load_settings
from reid_pipeline.configs.settings import RetentionSettings, Settings
from reid_pipeline.pipeline.errors import InputError, PipelineError, SourceBroken, WorkerDied
from reid_pipeline.pipeline.recorder import CameraRecorder, Recorded, recover
from reid_pipeline.pipeline.sources import SourceKind, SourceSpec, check_source, fingerprint, is_live, spec_of
from reid_pipeline.pipeline.stop_signals import stop_on_signals
from reid_pipeline.pipeline.upkeep import ACCOUNT_S, EVERY_S, limits_at
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database, open_configured
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.permissions import MACHINE_ACCESS
from reid_pipeline.storage.records import SourceSpec as SourceRecord
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.retention import Limits, Removed, Retention

logger = logging.getLogger(__name__)

EXIT_DONE, EXIT_PARTLY, EXIT_INTERRUPTED = 0, 3, 130
_ACTOR: Final = "record"


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """What `record` did.

    Attributes:
        exit_code: Of the contract.
        cameras: By name.
        recovered: Clips that an earlier recorder had left unfinished.
        removed: Clips whose time was up.
    """

    exit_code: int
    cameras: dict[str, Recorded]
    recovered: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Input:
    """A camera that can be recorded."""

    spec: SourceSpec
    live: bool
    fingerprint: str


def record_command(settings_path: Path, chosen: Collection[str] = ()) -> RecordSummary:
    """Records the cameras of a site: files to their end, streams until it is stopped.

    Args:
        settings_path: The cameras.yaml.
        chosen: Names of cameras; those that are enabled where there is none.

    Raises:
        ConfigError: The configuration is wrong.
        UserError: A camera cannot be recorded, or the data folder cannot be used; nothing was written.
        WorkerDied: A recorder ended by an error.
    """
    started_us = time.time_ns() // 1000
    settings = load_settings(settings_path)
    inputs = [_check_input(settings, name, started_us) for name in _choose(settings, settings_path, chosen)]
    site = settings.site
    opened_site = open_configured(site.data_dir, site.database, master_key=site.master_key)
    with opened_site as database, database.lock_for_recording():
        _end_erasures(database)
        clips = Clips(database)
        recovered = recover(clips)
        repository = Repository(database, CropStore(database.data_dir))
        opened = [replace(each, spec=_place(repository, clips, each)) for each in inputs]
        ring = _Ring(database, settings.retention, live=any(each.live for each in opened))
        recorders, signals = _record(clips, opened, ring)
    code = _exit_code(recorders, signals)
    return RecordSummary(code, {each.spec.camera: each.recorded for each in recorders}, recovered, ring.removed.clips)


def _choose(settings: Settings, path: Path, chosen: Collection[str]) -> list[str]:
    for name in chosen:
        if name not in settings.cameras:
            raise InputError(f"--camera: {name}: expected one of {', '.join(settings.cameras)}")
    found = [name for name, camera in settings.cameras.items() if (name in chosen if chosen else camera.enabled)]
    if not found:
        raise InputError(f"{path}: cameras: none is enabled: expected at least one")
    return found


def _check_input(settings: Settings, name: str, started_us: int) -> _Input:
    spec = spec_of(name, settings.cameras[name], started_us)
    if spec.masks:
        raise InputError(
            f"cameras.{name}.privacy: cannot be recorded: footage is kept as it was sent, with what is to be blanked: "
            "expected a camera without it, choose others with --camera"
        )
    if spec.pipeline is not None or spec.kind is SourceKind.FOLDER:
        what = "a GStreamer pipeline" if spec.pipeline is not None else "a folder of images"
        raise InputError(f"cameras.{name}: {what} cannot be recorded: expected a video file, an address or a device")
    if is_live(spec):
        return _Input(spec, True, "live")
    check_source(spec)
    return _Input(spec, False, fingerprint(spec.path) if spec.kind is SourceKind.FILE else spec.redacted)


def _end_erasures(database: Database) -> None:
    """Those that were broken off, before anything that they are about is taken in."""
    if Erasures.are_broken_off(database):
        with database.lock_for_run(), database.lock_for_learning():
            Erasures(database, MACHINE_ACCESS).recover()


def _place(repository: Repository, clips: Clips, entry: _Input) -> SourceSpec:
    """Lets a file begin when a run of it does, whichever of the two comes first."""
    if entry.live:
        return entry.spec
    spec = entry.spec
    record = SourceRecord(spec.camera, spec.redacted, entry.fingerprint, False, spec.start_us)
    state = repository.open_source(record)
    clips.check_source(state.source_id, spec.redacted)
    return replace(spec, start_us=state.start_us)


def _record(clips: Clips, inputs: list[_Input], ring: _Ring) -> tuple[list[CameraRecorder], list[int]]:
    stopping, changed = threading.Event(), threading.Event()
    recorders = [CameraRecorder(each.spec, clips, stopping, live=each.live, ended=changed.set) for each in inputs]

    def stop() -> None:
        stopping.set()
        changed.set()

    ring.begin()
    with stop_on_signals(stop) as signals:
        for recorder in recorders:
            recorder.start()
        while not all(recorder.done for recorder in recorders):
            changed.wait(EVERY_S)
            changed.clear()
            ring.go_on()
    ring.end()
    return recorders, signals


def _exit_code(recorders: list[CameraRecorder], signals: list[int]) -> int:
    failed = [each for each in recorders if each.error is not None and not isinstance(each.error, SourceBroken)]
    for each in failed:
        if isinstance(each.error, PipelineError):
            raise each.error
        raise WorkerDied(f"{each.spec.camera}: the recorder ended by an error: {each.error!r}") from each.error
    if signal.SIGINT in signals and not any(each.live for each in recorders):
        return EXIT_INTERRUPTED
    return EXIT_PARTLY if any(each.error is not None for each in recorders) else EXIT_DONE


class _Ring:
    """Removes the clips of streams whose time is up; what recordings gave goes when `retention` is called."""

    def __init__(self, database: Database, settings: RetentionSettings, *, live: bool) -> None:
        self._database = database
        self._settings = settings
        self._live = live
        self.removed = Removed()
        self._accounted = Removed()
        self._done_s = self._accounted_s = time.monotonic()

    def begin(self) -> None:
        """Removes all that is due."""
        self._remove(None)
        self.end()

    def go_on(self) -> None:
        """Removes a little, once a minute."""
        if time.monotonic() - self._done_s >= EVERY_S:
            self._remove(1)
            if time.monotonic() - self._accounted_s >= ACCOUNT_S:
                self.end()

    def end(self) -> None:
        """Accounts for what went."""
        clips = self.removed.clips - self._accounted.clips
        Retention(self._database).account(Removed(clips=clips), _ACTOR)
        self._accounted, self._accounted_s = self.removed, time.monotonic()

    def _remove(self, most: int | None) -> None:
        if self._live:
            due_us = limits_at(self._settings, time.time_ns() // 1000).clips
            self.removed += Retention(self._database, most).remove(Limits(clips=due_us))
        self._done_s = time.monotonic()
