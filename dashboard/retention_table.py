"""How long a site keeps what, how old its oldest is, and what goes next: on the pages System and Privacy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import streamlit as st

from reid_pipeline.configs.settings import RetentionSettings
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import clock, span
from reid_pipeline.pipeline.upkeep import limits_at, read_retention
from reid_pipeline.storage.retention_due import MOST, Due, RetentionDue

_US: Final = timedelta(microseconds=1)
_TITLES: Final[Mapping[str, str]] = {
    "crops": "Pictures of people",
    "embeddings": "What people are recognised by",
    "clips": "Footage",
    "corpus": "Crops to learn from",
    "tracks": "Where and when people were",
    "events": "Events, decisions about who is who",
    "reports": "Reports of learning",
    "backups": "Backups",
    "audit": "Audit log",
}
_HELP: Final[Mapping[str, str]] = {
    "Kept for": "From the time when it was taken; `retention` in cameras.yaml.",
    "Oldest": "The oldest that there is.",
    "Goes": "When the oldest goes, unless a case holds it.",
    "Due": "How many are past their time and go with the next retention.",
    "Held": "How many of these stay, as an open case holds them.",
}


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """A class of what is kept, in words; `oldest_us` None where there is nothing, `due` None where nobody counts."""

    what: str
    kept: str
    oldest_us: int | None
    goes: str
    due: int | None
    held: int | None


def retention_rows(settings: RetentionSettings, due: Mapping[str, Due], now_us: int) -> tuple[RetentionRow, ...]:
    """One for each class, in the order of the settings."""
    rows = []
    for name, title in _TITLES.items():
        kept_us = getattr(settings, name) // _US
        found = due.get(name)
        if found is None:
            rows.append(RetentionRow(title, span(kept_us), None, "with the tracklets", None, None))
            continue
        goes = "" if found.oldest_us is None else _goes(found.oldest_us + kept_us - now_us, found)
        rows.append(RetentionRow(title, span(kept_us), found.oldest_us, goes, found.due, found.held))
    return tuple(rows)


def _goes(left_us: int, found: Due) -> str:
    if left_us > 0:
        return f"in {span(left_us)}"
    return "held" if found.held and found.held == found.due else "now"


def show_retention(visitor: Visitor) -> None:
    """The table."""
    settings = read_retention(visitor.site.settings)
    now_us = time.time_ns() // 1000
    due = RetentionDue(visitor.site.database, visitor.access).read(limits_at(settings, now_us))
    rows = retention_rows(settings, due, now_us)
    st.dataframe(
        {
            "What": [row.what for row in rows],
            "Kept for": [row.kept for row in rows],
            "Oldest": ["" if row.oldest_us is None else clock(row.oldest_us, visitor.site.timezone) for row in rows],
            "Goes": [row.goes for row in rows],
            "Due": [_counted(row.due) for row in rows],
            "Held": [_counted(row.held) for row in rows],
        },
        column_config={name: st.column_config.Column(help=text) for name, text in _HELP.items()},
        hide_index=True,
        width="stretch",
        height="content",
    )


def _counted(number: int | None) -> str:
    if number is None:
        return ""
    return f"{MOST:,} or more" if number >= MOST else f"{number:,}"
