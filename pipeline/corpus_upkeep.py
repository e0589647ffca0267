"""Keeps the corpus within its time and size while a run goes on."""

from __future__ import annotations

import time
from typing import Final

from reid_pipeline.configs.settings import Settings
from reid_pipeline.storage.corpus_store import CorpusStore

EVERY_S: Final = 60.0
_SHARDS_AT_ONCE: Final = 2  # some hundredths of a second; twice what the busiest site fills in that time


class CorpusUpkeep:
    """Removes what is too old or too much.

    Args:
        store: The corpus.
        settings: Of the site.
    """

    def __init__(self, store: CorpusStore, settings: Settings) -> None:
        self._store = store
        self._keep_us = round(settings.retention.corpus.total_seconds() * 1_000_000)
        self._max_bytes = settings.corpus.max_size
        self._done_s = time.monotonic()

    def keeps(self, time_us: int) -> bool:
        """Whether crops of a capture time would be kept now."""
        return time_us >= self._oldest_us()

    def begin(self) -> None:
        """Removes all that is to go, and what a run that died has left; before the run writes."""
        self._store.recover()
        self._store.expire(self._oldest_us())
        self._store.shrink(self._max_bytes)

    def go_on(self) -> None:
        """Removes a little, once in `EVERY_S`; in the thread that writes."""
        if time.monotonic() - self._done_s < EVERY_S:
            return
        self._store.expire(self._oldest_us(), _SHARDS_AT_ONCE)
        self._store.shrink(self._max_bytes, _SHARDS_AT_ONCE)
        self._done_s = time.monotonic()

    def _oldest_us(self) -> int:
        return time.time_ns() // 1000 - self._keep_us
