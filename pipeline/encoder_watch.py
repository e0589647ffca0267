"""A run goes on with the encoder that is promoted meanwhile.

Now and then the log of promotions is looked at. Where another encoder serves, a thread makes it ready: it is compiled,
the crops that it has not embedded yet are, and an associator takes up all it knows in the new space. The run then
changes over between two frames, and what was stored in between is embedded afterwards.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.protocols import Associator

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Change:
    """What a run goes on with.

    Attributes:
        encoder: The one that serves now.
        associator: Knows everybody in its space.
    """

    encoder: GraphEncoder
    associator: Associator


class EncoderWatch:
    """Watches which encoder serves a site.

    Args:
        serving: Gives the hash of the encoder that serves; None where that cannot be told now.
        prepare: Makes the change ready; called in a thread of its own.
        settle: Embeds what was stored while the change was made ready; called in the same thread, after the change.
        now: The hash of the encoder that the run begins with.
    """

    def __init__(
        self,
        serving: Callable[[], str | None],
        prepare: Callable[[], Change],
        settle: Callable[[GraphEncoder], None],
        now: str,
    ) -> None:
        self._serving = serving
        self._prepare = prepare
        self._settle = settle
        self._now = now
        self._failed: str | None = None  # hash of an encoder that could not be made ready
        self._looked_s = time.monotonic()
        self._worker = ThreadPoolExecutor(1, "encoder-watch")
        self._change: Future[Change] | None = None

    def take(self) -> Change | None:
        """The change, once, when it is ready; never waits."""
        if self._change is None:
            self._look()
            return None
        if not self._change.done():
            return None
        ready, self._change = self._change, None
        try:
            change = ready.result()
        except Exception as error:  # the run goes on with what it has, whatever is wrong with the other one
            self._failed = self._serving()
            logger.warning("the promoted encoder cannot be used, going on with the old one: %s", error)
            return None
        self._now = change.encoder.model_hash
        self._worker.submit(self._settle, change.encoder)
        return change

    def close(self) -> None:
        """Waits until everything that was stored is embedded."""
        self._worker.shutdown(wait=True)

    def _look(self) -> None:
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        serving = self._serving()
        if serving is not None and serving not in {self._now, self._failed}:
            self._change = self._worker.submit(self._prepare)
