"""SQLite: ``site.db`` in the data folder, and locks that are files beside it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from reid_pipeline.storage.dialect import SiteLock
from reid_pipeline.storage.errors import DataDirError, NotASiteDatabase, SiteBusy, StorageError

DATABASE_NAME: Final = "site.db"

_PRAGMAS = (
    # A write of another process takes milliseconds; half a minute means that something is broken. First, so that
    # the other pragmas wait too.
    "PRAGMA busy_timeout=30000",
    # Readers and the writer do not block each other, and a commit is one append.
    "PRAGMA journal_mode=WAL",
    # With WAL the database stays whole whatever happens; a power cut may lose the last commits, a killed process none.
    "PRAGMA synchronous=NORMAL",
    # What is deleted is overwritten: retention and erasure mean it.
    "PRAGMA secure_delete=ON",
    # Off by default in SQLite, and per connection.
    "PRAGMA foreign_keys=ON",
    # 16 MiB a connection: the upper levels of all indices of a site of some millions of rows.
    "PRAGMA cache_size=-16384",
)
# Error names of SQLite for a file that cannot be what we wrote.
_BROKEN_FILE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


@dataclass(frozen=True, slots=True)
class SqliteDialect:
    """The database of a data folder; see `Dialect`."""

    data_dir: Path

    @property
    def place(self) -> str:
        """The file."""
        return str(self.data_dir / DATABASE_NAME)

    def build_engine(self) -> Engine:
        """See `Dialect`."""
        engine = create_engine(URL.create("sqlite", database=self.place))
        event.listen(engine, "connect", _set_up_connection)
        event.listen(engine, "begin", _begin)
        return engine

    def build_writing_engine(self, engine: Engine) -> Engine:
        """See `Dialect`."""
        # A transaction that starts as a reader and then writes fails at once when another has written in between.
        # Taking the write lock at the start waits instead.
        return engine.execution_options(begin="IMMEDIATE")

    def forget_writes(self, engine: Engine) -> bool:
        """Moves all writes into the file and cuts its log to nothing."""
        with engine.connect() as connection:
            held = connection.connection.dbapi_connection
            if held is None:
                raise TypeError("a connection without a database")
            cursor = held.cursor()  # beside SQLAlchemy, which would begin a transaction
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def check(self, connection: Connection) -> None:
        """Any SQLite will do that Python comes with."""

    def describe(self, error: DBAPIError) -> str:
        """See `Dialect`."""
        return str(error.orig)

    def explain_opening(self, error: DBAPIError) -> StorageError:
        """See `Dialect`."""
        cause = error.orig
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "").startswith(_BROKEN_FILE):
            return NotASiteDatabase(f"{self.place}: {cause}; move it away, or choose another data_dir")
        return DataDirError(f"{self.place}: {cause}; expected a file that can be read and written")

    @contextmanager
    def hold(self, _: Engine, lock: SiteLock) -> Iterator[None]:
        """See `Dialect`."""
        with (self.data_dir / lock.file).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SiteBusy(f"{self.data_dir}: {lock.refusal.format(holder=_holder(file))}") from error
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield


def _set_up_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    # Python's sqlite3 would begin a transaction only before INSERT, UPDATE and DELETE: two SELECTs could see different
    # states, and a migration that fails could not be rolled back.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "process unknown"
