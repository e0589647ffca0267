"""Choosing the time that a page is about; the choice is in the page's address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import moment
from reid_pipeline.storage.traffic import Traffic

_HOUR_US: Final = 3_600_000_000
_SPANS: Final = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
_NAMES: Final = {
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "any": "Any time",
    "day": "One day",
}
_PARAMETER: Final = "when"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time in microseconds since 1970 UTC, ``since_us <= t < until_us``; None: no bound."""

    since_us: int | None
    until_us: int | None


def choose_time(visitor: Visitor, page: str, default: str) -> TimeSpan:
    """Asks for a time, and keeps the answer in the page's address.

    Spans end at the newest sighting: what was read from files may be long ago.

    Args:
        visitor: Who looks.
        page: Prefix of the keys.
        default: ``1h``, ``24h``, ``7d``, ``30d`` or ``any``.
    """
    asked = st.query_params.get(_PARAMETER, default)
    day = _day(asked)
    options = list(_NAMES)
    choice = st.selectbox(
        "When",
        options,
        index=options.index("day" if day else asked if asked in _NAMES else default),
        format_func=_NAMES.__getitem__,
        key=f"{page}_when",
        help="The last hours and days end with the newest sighting. A sighting counts where it began.",
    )
    newest_us = Traffic(visitor.site.database, visitor.access).newest_us() or 0
    if choice == "day":
        day = st.date_input("Day", value=day or moment(newest_us, visitor.site.timezone).date(), key=f"{page}_day")
        choice = day.isoformat()
    st.query_params[_PARAMETER] = choice
    return time_span(choice, newest_us, visitor)


def time_span(choice: str, newest_us: int, visitor: Visitor) -> TimeSpan:
    """What a choice means: hours before the newest sighting, a day of the site's time zone, or any time."""
    if choice in _SPANS:
        return TimeSpan(newest_us - _SPANS[choice] * _HOUR_US, None)
    day = _day(choice)
    if day is None:
        return TimeSpan(None, None)
    begin, end = (
        datetime.combine(each, time(), visitor.site.timezone).timestamp() for each in (day, day + timedelta(days=1))
    )
    return TimeSpan(round(begin * 1e6), round(end * 1e6))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
