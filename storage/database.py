"""The database of a site: how it is opened, entered and locked.

It is SQLite in the data folder, or PostgreSQL; what these do in their own ways is in `dialect_sqlite` and
`dialect_postgresql`. Any number of processes may read at any time. Writes are transactions that exclude each other; a
`run` also holds `Database.lock_for_run` for as long as it lasts, so that only one numbers tracklets and identities,
whatever learns holds `Database.lock_for_learning`, and a recorder `Database.lock_for_recording`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from reid_pipeline.storage.database_link import check_link, has_site, link, linked_url
from reid_pipeline.storage.dialect import LEARNING_LOCK, RECORD_LOCK, RUN_LOCK, Dialect, SiteLock
from reid_pipeline.storage.dialect_postgresql import PostgresqlDialect, parse_url
from reid_pipeline.storage.dialect_sqlite import DATABASE_NAME, SqliteDialect
from reid_pipeline.storage.encryption import Vault
from reid_pipeline.storage.errors import DataDirError, InputError, StorageError
from reid_pipeline.storage.master_key import check_key, note_key, noted_key
from reid_pipeline.storage.schema import SCHEMA_REVISION


class Database:
    """The open database of one site; may be used from several threads. Made by `open_database`.

    Attributes:
        data_dir: The folder of the site.
        vault: Seals what is stored and opens it, where the folder says that the site is encrypted.
    """

    def __init__(self, engine: Engine, dialect: Dialect, data_dir: Path, master_key: bytes | None = None) -> None:
        self.data_dir = data_dir
        self._dialect = dialect
        self._engine = engine
        self._writing_engine = dialect.build_writing_engine(engine)
        self.vault = Vault(self.session_scope, master_key)

    @contextmanager
    def session_scope(self, *, write: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end of a write, rolled back after an error.

        Args:
            write: Whether anything is changed. Writers wait for each other for up to 30 s.

        Raises:
            StorageError: The database refuses a statement (constraint, full disk, damaged file) or is gone.
        """
        with self._own_errors(), Session(self._writing_engine if write else self._engine) as session:
            yield session
            if write:
                session.commit()

    @contextmanager
    def lock_for_run(self) -> Iterator[None]:
        """Keeps other runs away from the site; the lock of a process that dies is free again.

        Raises:
            SiteBusy: Another run holds it.
        """
        with self._lock(RUN_LOCK):
            yield

    @contextmanager
    def lock_for_learning(self) -> Iterator[None]:
        """As `lock_for_run`, for what makes the site's encoder better; a run may go on beside it.

        Raises:
            SiteBusy: Something is learning here.
        """
        with self._lock(LEARNING_LOCK):
            yield

    @contextmanager
    def lock_for_recording(self) -> Iterator[None]:
        """As `lock_for_run`, for what keeps the footage; a run may go on beside it.

        Raises:
            SiteBusy: Something is recording here.
        """
        with self._lock(RECORD_LOCK):
            yield

    @contextmanager
    def lock_for_all(self) -> Iterator[None]:
        """Holds all three locks: nothing else writes here, but for what people decide.

        Raises:
            SiteBusy: Somebody holds one of them.
        """
        with self.lock_for_run(), self.lock_for_learning(), self.lock_for_recording():
            yield

    @contextmanager
    def _lock(self, lock: SiteLock) -> Iterator[None]:
        with self._own_errors(), self._dialect.hold(self._engine, lock):
            yield

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StorageError(f"{self._dialect.place}: {self._dialect.describe(error)}") from error

    def forget_writes(self) -> bool:
        """Takes out of the database's files what was deleted; False where somebody who reads for long is in the way."""
        with self._own_errors():
            return self._dialect.forget_writes(self._engine)

    def close(self) -> None:
        """Closes all connections; sessions still open are not interrupted."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(data_dir: Path, url: str | None = None, *, create: bool = True) -> Database:
    """Opens the database of a site, after bringing its schema up to date.

    Args:
        data_dir: The folder of the site.
        url: Where its PostgreSQL database is. None: where the folder says; a new folder gets SQLite.
        create: Whether to make the folder and the tables where they do not exist.

    Raises:
        DataDirError: The folder cannot be made or written, or belongs to another database; or there is no site and
            `create` is off.
        MasterKeyError: The site is encrypted, and its key is missing or another one.
        DatabaseUnavailable: The server cannot be reached, is too old, or does not let us in.
        NotASiteDatabase: The database is damaged or something else.
        NewerSchema: It was written by a newer version of this program.
    """
    _prepare_folder(data_dir, create)
    if url is None:
        return _open(data_dir, linked_url(data_dir))
    parsed = parse_url(url)
    check_link(data_dir, parsed)
    database = _open(data_dir, parsed)
    link(data_dir, parsed)
    return database


def open_configured(data_dir: Path, url: str | None, *, master_key: str | None = None, create: bool = True) -> Database:
    """As `open_database`, for a cameras.yaml: without a URL its database is SQLite, whatever the folder says.

    Args:
        data_dir: The folder of the site.
        url: Where its PostgreSQL database is.
        master_key: Where the key is that encrypts it, as in `master_key`; None: nowhere.
        create: Whether to make the folder and the tables where they do not exist.

    Raises:
        MasterKeyError: The key is missing or another one, or the site is encrypted and none is given.
        InputError: As `open_database`.
    """
    if url is None:
        check_link(data_dir, None)
    check_key(data_dir, master_key)
    if master_key is not None:
        _prepare_folder(data_dir, create)
        note_key(data_dir, master_key)
    return open_database(data_dir, url, create=create)


def _prepare_folder(data_dir: Path, create: bool) -> None:
    if not create and not has_site(data_dir):
        raise DataDirError(f"{data_dir}: no site here ({DATABASE_NAME} is missing); expected the data_dir of a run")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataDirError(f"{data_dir}: cannot be written ({reason}); choose a data_dir that you may write") from error


def _open(data_dir: Path, url: URL | None) -> Database:
    master_key = noted_key(data_dir)
    dialect: Dialect = SqliteDialect(data_dir) if url is None else PostgresqlDialect(url)
    engine = dialect.build_engine()
    try:
        _update_schema(engine, dialect)
    except InputError as error:
        engine.dispose()
        raise type(error)(f"{dialect.place}: {error}") from error
    except DBAPIError as error:
        engine.dispose()
        raise dialect.explain_opening(error) from error
    return Database(engine, dialect, data_dir, master_key)


def _update_schema(engine: Engine, dialect: Dialect) -> None:
    with engine.connect() as connection:
        dialect.check(connection)
        if _schema_revision(connection) == SCHEMA_REVISION:
            return
    from reid_pipeline.storage.migrate import (
        migrate,  # Alembic takes a fifth of a second to import; an up-to-date site does without
    )

    with dialect.build_writing_engine(engine).begin() as connection:
        migrate(connection)


def _schema_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
