"""Requests around a plain function from arrays to arrays: one to a thread, or gathered into batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Semaphore

import numpy as np

from reid_pipeline.pipeline.runtime import QUEUED, Array, Engine, PendingOutput, Pixels, processors, to_network
from reid_pipeline.storage.model_card import InputCard

Compute = Callable[[Array], Array]  # (N, 3, H, W) float32 to the graph's first output


class PooledRuntime:
    """A function that answers one image, on as many threads as there are processors.

    Args:
        engine: What computes.
        card: How pixels become the function's input.
        compute: The function; called from several threads at once.
        prepare_thread: Called once in each thread before it computes.
    """

    def __init__(
        self, engine: Engine, card: InputCard, compute: Compute, prepare_thread: Callable[[], None] | None = None
    ) -> None:
        self.engine = engine
        self.capacity = processors() + QUEUED
        self._card = card
        self._compute = compute
        self._pool = ThreadPoolExecutor(processors(), engine.runtime, prepare_thread)
        self._room = Semaphore(self.capacity)

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """See `Runtime`."""
        self._room.acquire()
        future = self._pool.submit(self._answer, pixels)
        if when_done is not None:
            future.add_done_callback(lambda _: when_done())
        return future

    def _answer(self, pixels: Pixels) -> Array:
        try:
            return np.asarray(self._compute(to_network(pixels, self._card)), np.float32)
        finally:
            self._room.release()


@dataclass(frozen=True, slots=True)
class _Request:
    pixels: Pixels
    answer: Future[Array] = field(default_factory=Future)


class BatchingRuntime:
    """A function that answers many images at once, for devices that are idle with one.

    What waits when the device falls free is its next batch, so a lone request never waits for company.

    Args:
        engine: What computes.
        card: How pixels become the function's input.
        compute: The function; called from one thread.
        max_batch: The most images that it takes. At 1 its output is passed on whole, else split by its first axis.
    """

    def __init__(self, engine: Engine, card: InputCard, compute: Compute, max_batch: int) -> None:
        self.engine = engine
        self.capacity = 2 * max_batch  # one batch computes while the next one gathers
        self._card = card
        self._compute = compute
        self._max_batch = max_batch
        self._waiting: deque[_Request] = deque()
        self._pool = ThreadPoolExecutor(1, engine.runtime)
        self._room = Semaphore(self.capacity)

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """See `Runtime`."""
        self._room.acquire()
        request = _Request(pixels)
        if when_done is not None:
            request.answer.add_done_callback(lambda _: when_done())
        self._waiting.append(request)
        self._pool.submit(self._answer_waiting)
        return request.answer

    def _answer_waiting(self) -> None:
        batch: list[_Request] = []
        while self._waiting and len(batch) < self._max_batch:
            batch.append(self._waiting.popleft())
        if not batch:  # an earlier call took them along
            return
        try:
            outputs = self._compute_batch(np.concatenate([request.pixels for request in batch]))
        except Exception as error:  # the outer frame of this thread: whoever asked gets the error
            for request in batch:
                request.answer.set_exception(error)
        else:
            for request, output in zip(batch, outputs, strict=True):
                request.answer.set_result(output)
        finally:
            self._room.release(len(batch))

    def _compute_batch(self, pixels: Pixels) -> list[Array]:
        output = np.asarray(self._compute(to_network(pixels, self._card)), np.float32)
        return [output] if self._max_batch == 1 else np.split(output, len(pixels))
