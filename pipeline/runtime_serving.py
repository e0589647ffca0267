"""A runtime that serves while a faster one is built in the background, and gives way once that has proved itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from reid_pipeline.pipeline.runtime import Engine, PendingOutput, Pixels, Runtime

logger = logging.getLogger(__name__)


class ServingRuntime:
    """Serves with one runtime and changes to another between two requests.

    Answers under way on the old runtime are still given. What a frame gives depends on which runtime it met, so this is
    for devices that are too slow to compile at start, not for the processor.

    Args:
        current: Serves from now on.
        better: Builds another runtime and puts it to the test; None where it must not serve. Called in a thread of its
            own; whatever it raises is logged, and the current runtime goes on.
    """

    def __init__(self, current: Runtime, better: Callable[[], Runtime | None]) -> None:
        self._current = current
        self._better = better
        self._thread = threading.Thread(target=self._improve, name="build runtime", daemon=True)
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """See `Runtime`."""
        return self._current.engine

    @property
    def capacity(self) -> int:
        """See `Runtime`."""
        return self._current.capacity

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """See `Runtime`."""
        return self._current.start(pixels, when_done)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until it is settled which runtime serves; False where that takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _improve(self) -> None:
        try:
            found = self._better()
        except Exception:  # the outer frame of this thread: a run must not end because a faster way failed
            logger.exception("%s goes on: building a faster runtime failed", self.engine)
            return
        if found is not None:
            logger.info("%s takes over from %s", found.engine, self.engine)
            self._current = found
