"""One camera's thread: runs its source, reconnects it, and hands the frames to the run loop.

    source -> sampling grid -> prepare -> buffer -> take()

A file waits while its buffer is full: no frame is lost. A live camera does not wait: a newer frame replaces the one
that nobody has taken yet, and the replaced one counts as ``overload``. At any moment

    frames_read == frames taken + frames buffered + sum(dropped)
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from reid_pipeline.configs.log import redact_url
from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.errors import PipelineError, SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.protocols import Source
from reid_pipeline.pipeline.sampling import SampleGrid, Wanted, every_frame

logger = logging.getLogger(__name__)

FILE_BUFFER_FRAMES = 4
LIVE_BUFFER_FRAMES = 1
# How long `stop` waits for a thread that sits in a read of the network; such a read ends by its own timeout.
STOP_GRACE_S = 1.0

FeedState = Literal["connecting", "online", "reconnecting", "ended", "broken", "failed"]


@dataclass(frozen=True, slots=True)
class FeedTiming:
    """How a live feed holds on to its camera, in seconds.

    Attributes:
        first_wait_s: Longest wait before the first new attempt; it doubles with each attempt in a row.
        longest_wait_s: Where the doubling ends.
        stall_s: A camera that gives no frame for this long is closed and connected anew.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    stall_s: float = 10.0


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """How a feed treats its frames.

    Attributes:
        live: Newest frame wins and losses are repaired; else every frame counts and the end is the end.
        prepare: Scales an image for the detector; runs in the feed's thread, on kept frames only.
        wake: Called without arguments after each new frame and at the end, from the feed's thread.
        sample_fps: Frames a second to keep, by capture time; None keeps all.
        pace: ``realtime`` gives the frames of a file when they would have come; ``max`` at once.
        max_frames: The feed ends after this many kept frames; None: no limit.
        after_frame: Number of a live camera's last frame in an earlier run; its frames count on from there.
        timing: Reconnecting.
    """

    live: bool
    prepare: Callable[[Image], Image]
    wake: Callable[[], None]
    sample_fps: float | None = None
    pace: Literal["max", "realtime"] = "max"
    max_frames: int | None = None
    after_frame: int = 0
    timing: FeedTiming = field(default_factory=FeedTiming)


@dataclass(frozen=True, slots=True, eq=False)
class FeedItem:
    """A frame and the image that the detector takes for it."""

    frame: Frame
    prepared: Image


class CameraFeed:
    """Runs one source in a daemon thread. All methods may be called from any thread.

    States: ``connecting`` -> ``online`` <-> ``reconnecting``, and one of the ends: ``ended`` (end of the file, the
    frame limit, or `stop`), ``broken`` (the file breaks off) or ``failed`` (an error; see `error`).
    """

    def __init__(
        self,
        camera: str,
        make_source: Callable[[Wanted], Source],
        settings: FeedSettings,
        on_state: Callable[[FeedState, str], None] = lambda state, detail: None,
    ) -> None:
        """Prepares the feed; nothing is opened before `start`.

        Args:
            camera: Name of the camera.
            make_source: Makes a new source for each connection; gets the predicate that picks the frames. With
                `build_source`: ``partial(build_source, spec)``.
            settings: What to do with the frames.
            on_state: Told of each change of state with a line of detail, from the feed's thread.
        """
        self._camera = camera
        self._make_source = make_source
        self._settings = settings
        self._on_state = on_state
        self._sampled: Wanted = every_frame if settings.sample_fps is None else SampleGrid(settings.sample_fps)
        self._capacity = LIVE_BUFFER_FRAMES if settings.live else FILE_BUFFER_FRAMES
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera-{camera}", daemon=True)
        # Everything below is read and written under the condition.
        self._condition = threading.Condition()
        self._buffer: deque[FeedItem] = deque()
        self._source: Source | None = None
        self._state: FeedState = "connecting"
        self._error: Exception | None = None
        self._done = False
        self._yielded = 0
        self._overload = 0
        self._past_drops: dict[str, int] = {}  # of sources that are gone
        self._source_drops: dict[str, int] = {}  # of the current source, as of its last frame
        self._last_sign_s = 0.0  # when the camera last gave a frame, wanted or not, or was connected to
        # Only the feed's thread touches these.
        self._index_base = settings.after_frame
        self._last_index = settings.after_frame
        self._last_time_us: int | None = None
        self._pace_origin: tuple[float, int] | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()
        if self._settings.live:
            threading.Thread(target=self._watch, name=f"camera-{self._camera}-watch", daemon=True).start()

    def stop(self) -> None:
        """Ends the feed now; frames in the buffer can still be taken."""
        self._stopping.set()
        with self._condition:
            source = self._source
            self._condition.notify_all()
        if source is not None:
            source.close()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_GRACE_S)

    def take(self) -> FeedItem | None:
        """Gives the next frame, None where there is none now; never waits."""
        with self._condition:
            if not self._buffer:
                return None
            item = self._buffer.popleft()
            self._condition.notify_all()
            return item

    def peek_time(self) -> int | None:
        """Capture time of the frame that `take` would give, None where there is none now."""
        with self._condition:
            return self._buffer[0].frame.time_us if self._buffer else None

    @property
    def finished(self) -> bool:
        """Whether no frame will come any more and none is left to take."""
        with self._condition:
            return self._done and not self._buffer

    @property
    def frames_read(self) -> int:
        """Frames that the source has decoded or tried to, those that a resumed run skips not among them."""
        with self._condition:
            return self._yielded + sum(self._past_drops.values()) + sum(self._source_drops.values())

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were read but cannot be taken, by reason: ``sampled``, ``overload``, ``corrupt``."""
        with self._condition:
            total = dict(self._past_drops)
            for reason, count in self._source_drops.items():
                total[reason] = total.get(reason, 0) + count
            if self._overload:
                total["overload"] = total.get("overload", 0) + self._overload
            return total

    @property
    def state(self) -> FeedState:
        """Where the feed stands."""
        with self._condition:
            return self._state

    @property
    def error(self) -> Exception | None:
        """What ended a ``broken`` or ``failed`` feed."""
        with self._condition:
            return self._error

    @property
    def lag(self) -> float:
        """Age in seconds of the frame that `take` would give, 0 where there is none."""
        with self._condition:
            return max(0.0, time.monotonic() - self._buffer[0].frame.received_s) if self._buffer else 0.0

    def _run(self) -> None:
        """The thread: whatever happens, the run loop is told that the feed is over."""
        state: FeedState = "failed"
        detail = ""
        error: Exception | None = None
        try:
            detail = self._stay_connected() if self._settings.live else self._play()
            state = "ended"
        except SourceBroken as broken:
            state, detail, error = "broken", str(broken), broken
        except Exception as failure:  # the outer frame of a worker: the run loop ends the run with it
            expected = isinstance(failure, PipelineError)
            detail, error = str(failure) if expected else redact_url(f"{type(failure).__name__}: {failure}"), failure
        finally:
            with self._condition:
                self._error = error
            try:
                self._set_state(state, detail)
            finally:
                with self._condition:
                    self._done = True
                self._settings.wake()

    def _stay_connected(self) -> str:
        """Plays a live source over and over; returns why it is over."""
        timing = self._settings.timing
        wait_s = timing.first_wait_s
        while not self._stopping.is_set():
            index_before = self._last_index
            try:
                return self._play()
            except (SourceLost, SourceNotFound) as loss:
                if self._stopping.is_set():
                    break
                if self._last_index > index_before:
                    wait_s = timing.first_wait_s
                self._set_state("reconnecting", str(loss))
            # Half of it at random, so that the cameras of one switch do not come back all at once.
            self._stopping.wait(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, timing.longest_wait_s)
        return "stopped"

    def _play(self) -> str:
        """Runs one source to its end; returns why it is over."""
        source = self._make_source(self._wants)
        with self._condition:
            self._source = source
            self._last_sign_s = time.monotonic()
        if self._stopping.is_set():  # `stop` came before it could see the source
            source.close()
        try:
            for frame in source.frames():
                if self._stopping.is_set() or not self._accept(frame, source):
                    break
        finally:
            source.close()
            with self._condition:
                self._source = None
                self._source_drops = {}
                for reason, count in source.dropped.items():
                    self._past_drops[reason] = self._past_drops.get(reason, 0) + count
            self._index_base = self._last_index
        if self._stopping.is_set():
            return "stopped"
        if self._yielded == self._settings.max_frames:
            return f"reached {self._yielded} frames"
        if self._settings.live:
            raise SourceLost(f"{self._camera}: no frame for {self._settings.timing.stall_s:g} s")
        return "end of file"

    def _wants(self, time_us: int) -> bool:
        """The predicate of the source: samples, and is the sign of life that the watchdog looks for."""
        with self._condition:
            self._last_sign_s = time.monotonic()
        return self._sampled(time_us)

    def _accept(self, frame: Frame, source: Source) -> bool:
        """Takes over one frame from the source; False after the last one that is wanted."""
        if self._settings.live:
            frame = self._continue_numbers(frame)
        elif self._settings.pace == "realtime" and not self._wait_for_its_time(frame):
            return False
        self._last_index, self._last_time_us = frame.index, frame.time_us
        self._set_state("online", "")
        item = FeedItem(frame, self._settings.prepare(frame.image))
        with self._condition:
            if not self._settings.live:
                self._condition.wait_for(lambda: len(self._buffer) < self._capacity or self._stopping.is_set())
                if self._stopping.is_set():
                    return False
            elif len(self._buffer) == self._capacity:
                self._buffer.popleft()
                self._overload += 1
            self._buffer.append(item)
            self._yielded += 1
            self._source_drops = dict(source.dropped)
        self._settings.wake()
        return self._yielded != self._settings.max_frames

    def _continue_numbers(self, frame: Frame) -> Frame:
        """A new connection counts from 1 and has a new clock: numbers and times of the camera still only rise."""
        time_us = frame.time_us if self._last_time_us is None else max(frame.time_us, self._last_time_us + 1)
        return replace(frame, index=self._index_base + frame.index, time_us=time_us)

    def _wait_for_its_time(self, frame: Frame) -> bool:
        """Waits until a file's frame would have come; False if the feed was stopped meanwhile."""
        if self._pace_origin is None:
            self._pace_origin = (time.monotonic(), frame.time_us)
        start_s, start_us = self._pace_origin
        due_s = start_s + (frame.time_us - start_us) / 1e6
        return not self._stopping.wait(max(0.0, due_s - time.monotonic()))

    def _watch(self) -> None:
        """Closes a live source that has gone silent; `_play` then takes it for lost."""
        stall_s = self._settings.timing.stall_s
        pause_s = stall_s
        while not self._stopping.wait(pause_s):
            with self._condition:
                if self._done:
                    return
                silent_s = time.monotonic() - self._last_sign_s
                source = self._source if silent_s >= stall_s else None
            if source is not None:
                source.close()
            pause_s = stall_s - silent_s if silent_s < stall_s else stall_s

    def _set_state(self, state: FeedState, detail: str) -> None:
        """Enters a state and tells of it; further failed attempts to reconnect are no news."""
        with self._condition:
            if state == self._state:
                return
            self._state = state
        logger.info("%s: %s%s", self._camera, state, f" ({detail})" if detail else "")
        self._on_state(state, detail)
