"""Sizes of what is kept as they stand in cameras.yaml: ``500MB``, ``10GB``, ``2TB``."""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import PydanticCustomError

SIZE: Final = r"^[1-9][0-9]{0,5}(MB|GB|TB)$"
_UNITS: Final = {"TB": 10**12, "GB": 10**9, "MB": 10**6}


def parse_size(text: object) -> int:
    """Reads a size as bytes; a unit is a thousand of the one before.

    Example:
        >>> parse_size("10GB")
        10000000000

    Raises:
        PydanticCustomError: Not a whole number above 0 with one of these units.
    """
    if not isinstance(text, str) or not re.fullmatch(SIZE, text):
        raise PydanticCustomError("size", "not a size")
    return int(text[:-2]) * _UNITS[text[-2:]]


def format_size(size: int) -> str:
    """Writes a number of bytes in the largest unit that leaves a whole number.

    Example:
        >>> format_size(1_500_000_000)
        '1500MB'
    """
    unit = next((unit for unit, length in _UNITS.items() if size % length == 0), "MB")
    return f"{size // _UNITS[unit]}{unit}"
