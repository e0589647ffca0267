"""Durations as they stand in cameras.yaml: ``90s``, ``30m``, ``48h``, ``7d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from pydantic_core import PydanticCustomError

DURATION: Final = r"^[1-9][0-9]{0,5}[smhd]$"
_UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def parse_duration(text: object) -> timedelta:
    """Reads ``90s``, ``30m``, ``48h`` or ``7d``.

    Example:
        >>> parse_duration("48h")
        datetime.timedelta(days=2)

    Raises:
        PydanticCustomError: Not a whole number above 0 with one of these units.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(DURATION, text):
        raise PydanticCustomError("duration", "not a duration")
    return int(text[:-1]) * _UNITS.get(text[-1], timedelta(seconds=1))


def format_duration(duration: timedelta) -> str:
    """Writes a duration in the largest unit that leaves a whole number.

    Example:
        >>> format_duration(timedelta(minutes=90))
        '90m'
    """
    for unit, length in _UNITS.items():
        if duration % length == timedelta(0):
            return f"{duration // length}{unit}"
    return f"{int(duration.total_seconds())}s"
