"""Two fields for a span of time, in the time zone of the site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import streamlit as st

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span_inputs(key: str, timezone: tzinfo) -> tuple[int | None, int | None]:
    """Asks for a beginning and an end, microseconds since 1970 UTC; None where nothing is chosen.

    Args:
        key: What the keys of both fields begin with.
        timezone: Of the site.
    """
    left, right = st.columns(2)
    since = left.datetime_input(
        "From", value=None, key=f"{key}_since", help=f"Time zone {timezone}. Empty: from the beginning."
    )
    until = right.datetime_input(
        "Until", value=None, key=f"{key}_until", help=f"Time zone {timezone}. Empty: up to now."
    )
    return to_us(since, timezone), to_us(until, timezone)


def to_us(time: datetime | None, timezone: tzinfo) -> int | None:
    """A time of the clock in a time zone, in microseconds since 1970 UTC.

    Example:
        >>> to_us(datetime(1970, 1, 1, 0, 0, 2), UTC)
        2000000
    """
    return None if time is None else (time.replace(tzinfo=timezone) - _EPOCH) // timedelta(microseconds=1)
