"""PostgreSQL: a database on a server, by URL; locks are advisory locks of that database, which reach over all hosts."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from reid_pipeline.storage.dialect import SiteLock
from reid_pipeline.storage.errors import DatabaseUnavailable, SiteBusy, StorageError

PASSWORD_VARIABLE: Final = "REID_DB_PASSWORD"
MIN_MAJOR: Final = 15

_SPACE: Final = 0x52654964  # of our advisory locks: two programs on one database must not mean the same by a number
_WRITING: Final = 0  # beside the numbers of `SiteLock`
_TRIES: Final = 10
_SECRETS: Final = ("password", "sslpassword")
_CONNECTION: Final = {
    "connect_timeout": "10",
    # A host that vanished is noticed within a minute: its locks are free then, and nobody waits for it any longer.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# As SQLite's busy_timeout. A lock is held by a session that says nothing for hours, which a server may be set to end.
_OPTIONS: Final = "-c lock_timeout=30s -c idle_session_timeout=0"
_SERVER: Final = text("SELECT current_setting('server_version_num'), current_setting('server_encoding')")
_HOLDER: Final = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = :space AND objid = :number"
)


@dataclass(frozen=True, slots=True)
class PostgresqlDialect:
    """A database of a server; see `Dialect`. `url` is one of `parse_url`."""

    url: URL

    @property
    def place(self) -> str:
        """The URL without user, password and options."""
        host = self.url.host or _text(self.url.query.get("host"))
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{host}{port}/{self.url.database}"

    def build_engine(self) -> Engine:
        """See `Dialect`."""
        # Connections are not tried out before they are used: a run whose server was gone has lost its lock too.
        engine = create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            isolation_level="REPEATABLE READ",
            use_native_hstore=False,  # which would be asked for at each start
            connect_args=self._connect_arguments(),
        )
        event.listen(engine, "begin", _begin)
        return engine

    def build_writing_engine(self, engine: Engine) -> Engine:
        """See `Dialect`."""
        # Not REPEATABLE READ: the state that such a transaction sees is from before it got the lock.
        return engine.execution_options(isolation_level="READ COMMITTED", exclusive=True)

    def forget_writes(self, engine: Engine) -> bool:
        """Frees the pages of deleted rows, which later rows overwrite; the server's own log keeps them for its time."""
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM")
        return True

    def check(self, connection: Connection) -> None:
        """See `Dialect`."""
        version, encoding = connection.execute(_SERVER).one()
        if int(version) < MIN_MAJOR * 10_000:
            raise DatabaseUnavailable(
                f"it is PostgreSQL {int(version) // 10_000}: expected {MIN_MAJOR} or newer; update the server"
            )
        if encoding != "UTF8":
            raise DatabaseUnavailable(
                f"its encoding is {encoding}: expected UTF8; CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )

    def describe(self, error: DBAPIError) -> str:
        """See `Dialect`."""
        said = getattr(getattr(error.orig, "diag", None), "message_primary", None) or _last_attempt(str(error.orig))
        password = self._password()
        return said.replace(password, "***") if password else said

    def explain_opening(self, error: DBAPIError) -> StorageError:
        """See `Dialect`."""
        return DatabaseUnavailable(
            f"{self.place}: {self.describe(error)}; expected a server that knows this database and lets "
            f"{self.url.username or 'this user'} in to create tables, with the password in {PASSWORD_VARIABLE} or "
            "~/.pgpass"
        )

    @contextmanager
    def hold(self, engine: Engine, lock: SiteLock) -> Iterator[None]:
        """See `Dialect`."""
        key = {"space": _SPACE, "number": lock.number}
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            if not _take(connection, key):
                holder = connection.scalar(_HOLDER, key) or "process unknown"
                raise SiteBusy(f"{self.place}: {lock.refusal.format(holder=holder)}")
            try:
                yield
            finally:
                _release(connection, key)

    def _connect_arguments(self) -> dict[str, str]:
        password = self._password()
        return {
            **{name: value for name, value in _CONNECTION.items() if name not in self.url.query},
            **({"password": password} if password else {}),
            "options": f"{_OPTIONS} {_text(self.url.query.get('options'))}".strip(),
            "application_name": f"process {os.getpid()} on {socket.gethostname()}",  # whom `_HOLDER` finds
        }

    def _password(self) -> str | None:
        """None where the driver is to look for one: in PGPASSWORD and ~/.pgpass."""
        given = self.url.password or self.url.query.get("password")
        return _text(given) or os.environ.get(PASSWORD_VARIABLE)


def parse_url(url: str, setting: str = "site.database") -> URL:
    """Reads a URL such as ``postgresql://reid@db.example.org:5432/site``.

    Args:
        url: What was given.
        setting: Where, for the message.

    Raises:
        DatabaseUnavailable: It is none, or the driver is not installed. The message does not quote the URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise _not_a_url(setting) from error
    if parsed.drivername not in ("postgresql", "postgres") or not parsed.database:
        raise _not_a_url(setting)
    _require_driver()
    return parsed.set(drivername="postgresql")


def without_secrets(url: URL) -> str:
    """The URL to be kept in a file: user, host, database and options, no password."""
    query = url.difference_update_query(_SECRETS).query
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(hide_password=False)


def same_database(one: URL, other: URL) -> bool:
    """Whether two URLs name one database, whoever the user is."""
    return PostgresqlDialect(one).place == PostgresqlDialect(other).place


def pgvector_version(connection: Connection) -> str | None:
    """The version of pgvector that this database has, or could have by CREATE EXTENSION; None on any other."""
    if connection.dialect.name != "postgresql":
        return None
    query = "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
    version: str | None = connection.scalar(text(query))
    return version


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("exclusive"):
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (_SPACE, _WRITING))


def _take(connection: Connection, key: Mapping[str, int]) -> bool:
    """Tries for a second: the session of a process that was just killed ends a little later than the process."""
    query = text("SELECT pg_try_advisory_lock(:space, :number)")
    for _ in range(_TRIES):
        if connection.scalar(query, key):
            return True
        time.sleep(1 / _TRIES)
    return False


def _release(connection: Connection, key: Mapping[str, int]) -> None:
    try:
        connection.execute(text("SELECT pg_advisory_unlock(:space, :number)"), key)
    except DBAPIError:  # the connection is gone, and the lock with it
        connection.invalidate()


def _last_attempt(message: str) -> str:
    """The reason alone, as ``Connection refused``: before it stands the server, on a new line a hint."""
    lines = [line for line in message.splitlines() if " failed: " in line] or message.strip().splitlines()
    return lines[-1].rpartition(" failed: ")[2].removeprefix("FATAL:").strip() if lines else "no reason given"


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise DatabaseUnavailable(
            "PostgreSQL needs the driver psycopg, which cannot be loaded: pip install 'reid-pipeline[postgresql]'"
        ) from error


def _not_a_url(setting: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"{setting}: no URL of a database: expected postgresql://USER@HOST/DATABASE")


def _text(value: str | tuple[str, ...] | None) -> str:
    return value if isinstance(value, str) else ",".join(value or ())
