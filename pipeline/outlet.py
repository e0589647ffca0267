"""Ways out of a run: events for others, handed on by a thread each, so that none can hold the run up.

    Journal -> Outlet.tell -> bounded queue -> thread -> Delivery (`mqtt_delivery`, `webhook_delivery`)

Where an address cannot be reached, events wait; where the queue is full, the oldest goes and is counted. What is told
was stored before; what waits when the process is killed was stored, but is told to nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from reid_pipeline.pipeline.events import Event

logger = logging.getLogger(__name__)

QUEUE_SIZE: Final = 10_000
FLUSH_S: Final = 5.0  # the longest that the end of a run waits for what is still to be told
_PATIENCE_S: Final = 3 * FLUSH_S  # and for a thread that does not end


class NotDelivered(Exception):
    """An event cannot be handed on now; it may be later. The message says why, without secrets."""


class Delivery(Protocol):
    """Hands events on to one address. Only the thread of its outlet calls it."""

    def open(self) -> None:
        """Begins; the address need not be reachable."""
        ...

    def deliver(self, event: Event) -> bool:
        """Hands an event on; False where the address refuses this one for good.

        Raises:
            NotDelivered: Not now; after some seconds at most.
        """
        ...

    def close(self) -> int:
        """Ends, after some seconds at most; tells how many of those handed on nobody has confirmed."""
        ...


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long is waited after a failure: ``first_s``, then twice as long each time, up to ``most_s``."""

    first_s: float = 1.0
    most_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """How many events were handed on, and how many were not: dropped, refused or unconfirmed."""

    sent: int
    dropped: int


class Outlet:
    """Hands events of some types on, in their order. Use it as a context manager: its end tells what still waits.

    Args:
        name: For the log and the summary.
        delivery: Where they go.
        types: Which.
        back_off: How long is waited after a failure.
        size: How many may wait.
    """

    def __init__(
        self,
        name: str,
        delivery: Delivery,
        types: Collection[str],
        back_off: BackOff | None = None,
        size: int = QUEUE_SIZE,
    ) -> None:
        self.name = name
        self._delivery = delivery
        self._types = frozenset(types)
        self._back_off = back_off or BackOff()
        self._size = size
        self._queue: deque[Event] = deque()
        self._sent = self._dropped = 0
        self._deadline_s: float | None = None  # `time.monotonic`, once it is to end
        self._changed = threading.Condition()  # guards the four above
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def tell(self, events: Sequence[Event]) -> None:
        """Queues events and returns at once."""
        wanted = [event for event in events if event.type in self._types]
        if not wanted:
            return
        with self._changed:
            self._queue.extend(wanted)
            while len(self._queue) > self._size:
                self._queue.popleft()
                self._dropped += 1
            self._changed.notify_all()

    def told(self) -> Told:
        """What has become of the events so far."""
        with self._changed:
            return Told(self._sent, self._dropped)

    def __enter__(self) -> Outlet:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._changed:
            self._deadline_s = time.monotonic() + FLUSH_S
            self._changed.notify_all()
        self._thread.join(_PATIENCE_S)
        with self._changed:
            self._dropped += len(self._queue)
            self._queue.clear()
        if self._dropped:
            logger.warning("%s: %d events were not told", self.name, self._dropped)

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # outer frame of the thread: the run goes on, and what is not told is counted
            logger.exception("%s: nothing more is told", self.name)

    def _work(self) -> None:
        self._delivery.open()
        wait_s = self._back_off.first_s
        while (event := self._next()) is not None:
            try:
                accepted = self._delivery.deliver(event)
            except NotDelivered as error:
                if wait_s == self._back_off.first_s:
                    logger.warning("%s: %s; trying again", self.name, error)
                self._pause(wait_s)
                wait_s = min(2 * wait_s, self._back_off.most_s)
                continue
            if wait_s != self._back_off.first_s:
                logger.info("%s: reached again", self.name)
            wait_s = self._back_off.first_s
            self._count(event, accepted)
        unconfirmed = self._delivery.close()
        with self._changed:
            self._sent -= unconfirmed
            self._dropped += unconfirmed

    def _next(self) -> Event | None:
        """The oldest event, which stays in the queue until it is told; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._deadline_s is not None)
            over = self._deadline_s is not None and time.monotonic() >= self._deadline_s
            return self._queue[0] if self._queue and not over else None

    def _pause(self, seconds: float) -> None:
        """Waits after a failure; while it is to end, only so long as that there is another chance before."""
        with self._changed:
            if self._deadline_s is None:
                self._changed.wait_for(lambda: self._deadline_s is not None, seconds)
            else:
                self._changed.wait_for(lambda: False, min(self._back_off.first_s, self._left_s()))

    def _left_s(self) -> float:
        return 0.0 if self._deadline_s is None else max(self._deadline_s - time.monotonic(), 0.0)

    def _count(self, event: Event, accepted: bool) -> None:
        with self._changed:
            self._sent += accepted
            self._dropped += not accepted
            if self._queue and self._queue[0] is event:  # else it was dropped in the meantime, and counted twice
                self._queue.popleft()
            else:
                self._dropped -= 1
