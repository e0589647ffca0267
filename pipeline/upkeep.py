"""Keeps a site within its retention times, and its corpus within its size, while a run goes on.

A run of recordings removes nothing but from the corpus: what a recording of last year gave would be gone at once. There
`reid-pipeline retention` does, when somebody calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Final

from reid_pipeline.configs.settings import RetentionSettings, Settings
from reid_pipeline.pipeline.events import EventFile
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Permission
from reid_pipeline.storage.retention import Limits, Removed, Retention
from reid_pipeline.storage.site_files import EVENTS

EVERY_S: Final = 60.0
ACCOUNT_S: Final = 3600.0  # where something goes every minute
_SHARDS_AT_ONCE: Final = 2  # some hundredths of a second; twice what the busiest site fills in that time
_ACTOR: Final = "run"


def read_retention(settings: Mapping[str, object]) -> RetentionSettings:
    """How long a site keeps things, from what differs from the default there, as `non_default` gives it."""
    prefix = "retention."
    return RetentionSettings.model_validate(
        {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    )


def limits_at(settings: RetentionSettings, now_us: int) -> Limits:
    """What is due at a time.

    Args:
        settings: How long things are kept.
        now_us: The wall clock.
    """
    return Limits(
        **{each.name: now_us - getattr(settings, each.name) // timedelta(microseconds=1) for each in fields(Limits)}
    )


def remove_due(database: Database, limits: Limits, most: int | None = None) -> Removed:
    """Removes what is due, lines of ``events.ndjson`` too; see `Retention`."""
    removed = Retention(database, most).remove(limits)
    if limits.events is None:
        return removed
    return removed + Removed(events=EventFile(database.data_dir / EVENTS).expire(limits.events))


def apply_retention(site: SiteData, now_us: int) -> Mapping[str, int]:
    """Removes what is due from a site, as somebody asked for; how many of each class went.

    Raises:
        NotAllowed: They may not.
    """
    site.access.require_all_cameras(Permission.KEEP)
    removed = remove_due(site.database, limits_at(read_retention(site.settings), now_us))
    Retention(site.database).account(removed, site.access.name)
    return asdict(removed)


class Upkeep:
    """Removes what is too old or too much.

    Args:
        database: Of the site.
        settings: Of the site.
        live: Whether a camera is live: then everything that is due goes, else only from the corpus.
        now_us: The wall clock.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        live: bool,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._database = database
        self._corpus = CorpusStore(database)
        self._settings = settings
        self._live = live
        self._now_us = now_us
        self._removed = Removed()
        self._done_s = self._accounted_s = time.monotonic()

    def keeps(self, time_us: int) -> bool:
        """Whether crops of a capture time would be kept now to learn from."""
        return time_us >= (limits_at(self._settings.retention, self._now_us()).corpus or 0)

    def begin(self) -> None:
        """Removes all that is to go, and what a run that died has left; before the run writes."""
        self._corpus.recover()
        self._remove(None)
        self._account()

    def go_on(self) -> None:
        """Removes a little, once in `EVERY_S`; in the thread that writes."""
        if time.monotonic() - self._done_s < EVERY_S:
            return
        more = self._remove(1)
        self._done_s = time.monotonic()
        if not more or self._done_s - self._accounted_s >= ACCOUNT_S:
            self._account()

    def end(self) -> None:
        """Accounts for the rest; when nothing writes any more."""
        self._account()

    def _remove(self, most: int | None) -> bool:
        """Whether anything went, which is accounted for when nothing more does."""
        limits = limits_at(self._settings.retention, self._now_us())
        some = most and _SHARDS_AT_ONCE
        self._corpus.expire(limits.corpus or 0, some)
        self._corpus.shrink(self._settings.corpus.max_size, some)
        if not self._live:
            return False
        removed = remove_due(self._database, limits, most)
        self._removed += removed
        return bool(removed)

    def _account(self) -> None:
        Retention(self._database).account(self._removed, _ACTOR)
        self._removed, self._accounted_s = Removed(), time.monotonic()
