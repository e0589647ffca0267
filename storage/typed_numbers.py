"""Numbers that people type, of identities and tracklets: any is a question that has an answer."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, false
from sqlalchemy.orm import InstrumentedAttribute

_MAX_NUMBER: Final = 2**31 - 1  # what PostgreSQL has room for in such a column; it refuses to look for more


def has_number(
    column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None], number: int
) -> ColumnElement[bool]:
    """Whether a column has a number; not where no row can have it."""
    return column == number if abs(number) <= _MAX_NUMBER else false()
