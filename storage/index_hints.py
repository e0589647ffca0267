"""Keeping SQLite, which knows little of how many rows a condition leaves, from an index that is no good for a query."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _OffIndex(FunctionElement[int]):
    type = BigInteger()
    inherit_cache = True


def off_index(column: InstrumentedAttribute[int]) -> ColumnElement[int]:
    """A column for which SQLite uses no index; to other databases it is the column itself."""
    return _OffIndex(column)


@compiles(_OffIndex)
def _as_it_is(element: _OffIndex, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_OffIndex, "sqlite")
def _as_a_sum(element: _OffIndex, compiler: SQLCompiler, **options: object) -> str:
    return f"({compiler.process(element.clauses, **options)} + 0)"
