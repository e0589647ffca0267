"""The peer of `bench search`: the same embeddings in a PostgreSQL with pgvector, by its HNSW index.

The table has a second index, by camera and time, and the server chooses. It is not logged, which makes it quicker to
build, and it is gone afterwards.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.storage.dialect_postgresql import PostgresqlDialect, parse_url, pgvector_version
from reid_pipeline.storage.vector_index import Entries, Ids, IndexFilter

EF_SEARCH: Final = (40, 100, 200)  # candidates that a search keeps at a time; 40 is pgvector's default
_TABLE: Final = "reid_pipeline_bench"
_ITERATES: Final = (0, 8)  # the version from which a search goes on until enough have passed its filter
_LINKS: Final = 600  # bytes of an embedding while the index is built, beside its numbers
_LEAST_MEMORY_KB: Final = 65_536
_MOST_NUMBERS: Final = 2_000  # of an embedding in an HNSW index
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = struct.pack(">h", -1)


class PgvectorTable:
    """Embeddings in a table, as `open_table` makes it.

    Attributes:
        versions: Those of pgvector and of the server.
        iterates: Whether a search goes on until enough have passed its filter.
    """

    def __init__(self, connection: Connection, dim: int) -> None:
        self._connection, self._dim = connection, dim
        self._driver = cast("Any", connection.connection.driver_connection)
        self._driver.prepare_threshold = None  # else it plans once for all filters
        vector = pgvector_version(connection) or "0"
        self.versions = f"pgvector {vector}, PostgreSQL {self._ask('SHOW server_version')}"
        self.iterates = tuple(map(int, vector.split(".")[:2])) >= _ITERATES

    @property
    def nbytes(self) -> int:
        """Bytes of the table and its indices."""
        return int(self._ask(f"SELECT pg_total_relation_size('{_TABLE}')"))

    def fill(self, blocks: Iterable[Entries]) -> float:
        """Copies embeddings into the table; tells the seconds that the server took."""
        seconds = 0.0
        for entries in blocks:
            rows, start = as_copy(entries), time.perf_counter()
            with self._driver.cursor().copy(f"COPY {_TABLE} FROM STDIN WITH (FORMAT binary)") as copy:
                copy.write(rows)
            seconds += time.perf_counter() - start
        return seconds

    def build(self) -> float:
        """Builds the indices; tells the seconds that the one by HNSW took, which has as much memory as it needs."""
        memory_kb = self._ask(f"SELECT count(*) FROM {_TABLE}") * (4 * self._dim + _LINKS) // 1_000
        self._say(f"SET maintenance_work_mem = '{max(memory_kb, _LEAST_MEMORY_KB)}kB'")
        self._say(f"SET max_parallel_maintenance_workers = {os.cpu_count() or 1}")
        start = time.perf_counter()
        self._say(f"CREATE INDEX ON {_TABLE} USING hnsw (vector vector_ip_ops) WITH (m = 16, ef_construction = 64)")
        seconds = time.perf_counter() - start
        self._say(f"CREATE INDEX ON {_TABLE} (camera, time_us)")
        self._say(f"VACUUM ANALYZE {_TABLE}")
        return seconds

    def keep(self, ef_search: int) -> None:
        """Has searches keep so many candidates at a time, and go on until enough have passed where they can."""
        self._say(f"SET hnsw.ef_search = {ef_search}")
        if self.iterates:
            self._say("SET hnsw.iterative_scan = relaxed_order")

    def search(self, query: Look, k: int, wanted: IndexFilter) -> Ids:
        """The ids of at most k that are most alike to a query ``(D,)``, among those that pass the filter."""
        conditions, values = _where(wanted)
        statement = f"SELECT id FROM {_TABLE} {conditions} ORDER BY vector <#> %s::vector LIMIT %s"
        asked = f"[{','.join(map(str, query.tolist()))}]"
        rows = self._connection.exec_driver_sql(statement, (*values, asked, k))
        return np.array([row[0] for row in rows], np.int64)

    def _say(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)

    def _ask(self, query: str) -> Any:
        return self._connection.exec_driver_sql(query).scalar()


@contextmanager
def open_table(url: str, dim: int) -> Iterator[PgvectorTable]:
    """An empty table while the block runs, in a database that had better be for this alone.

    Args:
        url: ``postgresql://USER@HOST/DATABASE``.
        dim: Numbers of an embedding.

    Raises:
        DatabaseUnavailable: The server cannot be reached or does not let us in.
        InputError: It has no pgvector, or pgvector has no index for so many numbers.
    """
    if dim > _MOST_NUMBERS:
        raise InputError(f"--dim {dim}: expected at most {_MOST_NUMBERS} for an HNSW index of pgvector")
    dialect = PostgresqlDialect(parse_url(url, "--beside"))
    engine = dialect.build_engine().execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if pgvector_version(connection) is None:
                raise InputError(f"{dialect.place}: expected a server with the extension pgvector; install it there")
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_TABLE}")
            columns = f"id bigint, camera integer, time_us bigint, vector vector({dim})"
            connection.exec_driver_sql(f"CREATE UNLOGGED TABLE {_TABLE} ({columns})")
            try:
                yield PgvectorTable(connection, dim)
            finally:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_TABLE}")
    except DBAPIError as error:
        raise dialect.explain_opening(error) from error
    finally:
        engine.dispose()


def as_copy(entries: Entries) -> bytes:
    """Embeddings in PostgreSQL's binary COPY: of each number its length first, and the highest byte first."""
    dim = entries.vectors.shape[1]
    vector = [("dim", ">i2"), ("unused", ">i2"), ("numbers", ">f4", (dim,))]
    values: list[tuple[str, str | list[Any], int, Any]] = [
        ("id", ">i8", 8, entries.ids),
        ("camera", ">i4", 4, entries.cameras),
        ("time_us", ">i8", 8, entries.times_us),
        ("vector", vector, 4 + 4 * dim, None),
    ]
    fields = [pair for name, kind, _, _ in values for pair in ((f"{name} size", ">i4"), (name, kind))]
    rows = np.zeros(len(entries), [("fields", ">i2"), *fields])
    rows["fields"] = len(values)
    for name, _, size, column in values:
        rows[f"{name} size"] = size
        if column is not None:
            rows[name] = column
    rows["vector"]["dim"], rows["vector"]["numbers"] = dim, entries.vectors
    return _COPY_HEAD + rows.tobytes() + _COPY_END


def _where(wanted: IndexFilter) -> tuple[str, list[object]]:
    asked = {
        "camera = ANY(%s)": None if wanted.cameras is None else list(wanted.cameras),
        "time_us >= %s": wanted.since_us,
        "time_us < %s": wanted.until_us,
    }
    kept = {condition: value for condition, value in asked.items() if value is not None}
    return f"WHERE {' AND '.join(kept)}" if kept else "", list(kept.values())
