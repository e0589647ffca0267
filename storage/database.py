"""The SQLite database of a site: how it is opened, entered and locked.

Any number of processes may read at any time. Writes are transactions that exclude each other; a `run` also holds
`Database.lock_for_run` for as long as it lasts, so that only one numbers tracklets and identities, and whatever learns
holds `Database.lock_for_learning`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from reid_pipeline.storage.errors import DataDirError, InputError, NotASiteDatabase, SiteBusy, StorageError
from reid_pipeline.storage.schema import SCHEMA_REVISION

DATABASE_NAME = "site.db"
LOCK_NAME = "run.lock"
LEARNING_LOCK_NAME = "learning.lock"

_PRAGMAS = (
    # A write of another process takes milliseconds; half a minute means that something is broken. First, so that
    # the other pragmas wait too.
    "PRAGMA busy_timeout=30000",
    # Readers and the writer do not block each other, and a commit is one append.
    "PRAGMA journal_mode=WAL",
    # With WAL the database stays whole whatever happens; a power cut may lose the last commits, a killed process none.
    "PRAGMA synchronous=NORMAL",
    # Off by default in SQLite, and per connection.
    "PRAGMA foreign_keys=ON",
    # 16 MiB a connection: the upper levels of all indices of a site of some millions of rows.
    "PRAGMA cache_size=-16384",
)
# Error names of SQLite for a file that cannot be what we wrote.
_BROKEN_FILE = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


class Database:
    """The open database of one site; may be used from several threads. Made by `open_database`.

    Attributes:
        data_dir: The folder of the site.
    """

    def __init__(self, engine: Engine, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._engine = engine
        # A transaction that starts as a reader and then writes fails at once when another has written in between.
        # Taking the write lock at the start waits instead.
        self._writing_engine = engine.execution_options(begin="IMMEDIATE")

    @contextmanager
    def session_scope(self, *, write: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end of a write, rolled back after an error.

        Args:
            write: Whether anything is changed. Writers wait for each other for up to 30 s.

        Raises:
            StorageError: SQLite refuses a statement (constraint, full disk, damaged file).
        """
        try:
            with Session(self._writing_engine if write else self._engine) as session:
                yield session
                if write:
                    session.commit()
        except DBAPIError as error:
            raise StorageError(f"{self.data_dir / DATABASE_NAME}: {error.orig}") from error

    @contextmanager
    def lock_for_run(self) -> Iterator[None]:
        """Keeps other runs away from the site; the system frees the lock of a process that dies.

        Raises:
            SiteBusy: Another run holds it.
        """
        with self._lock(LOCK_NAME, "another run ({holder}) is writing here; wait for its end or stop it"):
            yield

    @contextmanager
    def lock_for_learning(self) -> Iterator[None]:
        """As `lock_for_run`, for what makes the site's encoder better; a run may go on beside it.

        Raises:
            SiteBusy: Something is learning here.
        """
        with self._lock(LEARNING_LOCK_NAME, "something is learning here already ({holder}); wait for its end"):
            yield

    @contextmanager
    def _lock(self, name: str, refusal: str) -> Iterator[None]:
        with (self.data_dir / name).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SiteBusy(f"{self.data_dir}: {refusal.format(holder=_holder(file))}") from error
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    def close(self) -> None:
        """Closes all connections; sessions still open are not interrupted."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(data_dir: Path, *, create: bool = True) -> Database:
    """Opens the database of a site, after bringing its schema up to date.

    Args:
        data_dir: The folder of the site.
        create: Whether to make the folder and the database where they do not exist.

    Raises:
        DataDirError: The folder cannot be made or written; or there is no site and `create` is off.
        NotASiteDatabase: ``site.db`` is damaged or something else.
        NewerSchema: ``site.db`` was written by a newer version of this program.
    """
    path = data_dir / DATABASE_NAME
    _prepare_folder(data_dir, path, create)
    engine = _build_engine(path)
    try:
        _update_schema(engine)
    except InputError as error:
        engine.dispose()
        raise type(error)(f"{path}: {error}") from error
    except DBAPIError as error:
        engine.dispose()
        raise _opening_error(path, error) from error
    return Database(engine, data_dir)


def _prepare_folder(data_dir: Path, path: Path, create: bool) -> None:
    if not create and not path.is_file():
        raise DataDirError(f"{data_dir}: no site here ({DATABASE_NAME} is missing); expected the data_dir of a run")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataDirError(f"{data_dir}: cannot be written ({reason}); choose a data_dir that you may write") from error


def _build_engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    # Python's sqlite3 would begin a transaction only before INSERT, UPDATE and DELETE: two SELECTs could see different
    # states, and a migration that fails could not be rolled back.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


def _update_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        if _schema_revision(connection) == SCHEMA_REVISION:
            return
    from reid_pipeline.storage.migrate import (
        migrate,  # Alembic takes a fifth of a second to import; an up-to-date site does without
    )

    with engine.execution_options(begin="IMMEDIATE").begin() as connection:
        migrate(connection)


def _schema_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _opening_error(path: Path, error: DBAPIError) -> StorageError:
    cause = error.orig
    if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "").startswith(_BROKEN_FILE):
        return NotASiteDatabase(f"{path}: {cause}; move it away, or choose another data_dir")
    return DataDirError(f"{path}: {cause}; expected a file that can be read and written")


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "process unknown"
