"""A PostgreSQL server for the tests: in a temporary folder, reached over a socket there, gone when the tests are.

Its programs are those of the package `pgserver`, or of the system.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from reid_pipeline.storage.database import open_database

LOCKED_USER, LOCKED_PASSWORD = "locked", "right p@ss/word"  # the one user who needs a password
_TEMPLATE = "site"
_MIN_MAJOR = 15
_ROOM = 1 << 30
# In a shell of its own, which sees the end of its input whatever ends the tests.
_SCRIPT = """
trap '"$bin/pg_ctl" -D "$folder/data" -m immediate -s stop; rm -rf "$folder"' EXIT
"$bin/initdb" -D "$folder/data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >&2 || exit 1
sed -i '1i local all locked scram-sha-256' "$folder/data/pg_hba.conf"
options="-c listen_addresses= -c unix_socket_directories=$folder -c fsync=off -c full_page_writes=off"
options="$options -c autovacuum=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=64MB"
"$bin/pg_ctl" -D "$folder/data" -o "$options" -l "$folder/log" -w -s start >&2 || exit 1
echo ready
cat > /dev/null
"""


class NoServer(Exception):
    """No server can be started; the message says why."""


class PostgresqlServer:
    """A running server, until `stop`.

    Raises:
        NoServer: It cannot be started.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        programs = _find_programs()
        self.folder = tempfile.mkdtemp(prefix="reid-pg-", dir=_fast_folder())
        user: dict = {}
        if os.geteuid() == 0:  # as which PostgreSQL does not run
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._process = subprocess.Popen(
            ["sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**os.environ, "bin": str(programs), "folder": self.folder},
            start_new_session=True,  # an interrupt of the tests is not meant for it
            **user,
        )
        if self._process.stdout.readline() != b"ready\n":
            _, output = self._process.communicate()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise NoServer(f"{programs}: {(output.decode().strip().splitlines() or ['no reason given'])[-1]}")
        self._make_template()

    def stop(self) -> None:
        """Ends it, and removes its folder."""
        self._process.communicate()

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of a database, without a password."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def create(self, *, empty: bool = False) -> str:
        """A new database, that of a new site unless it is to be empty; returns its URL."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else _TEMPLATE} STRATEGY file_copy")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def execute(self, statement: str, url: str | None = None) -> list[tuple]:
        """Rows of a statement that no transaction surrounds."""
        with psycopg.connect(url or self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _make_template(self) -> None:
        self.execute(f"CREATE USER {LOCKED_USER} PASSWORD '{LOCKED_PASSWORD}'")
        self.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        with tempfile.TemporaryDirectory() as folder:
            open_database(Path(folder), self.url(_TEMPLATE)).close()


def _fast_folder() -> Path | None:
    """In memory where there is room: a new database for each test is some megabytes of new files."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return memory if roomy else None


def _find_programs() -> Path:
    package = importlib.util.find_spec("pgserver")  # not imported: it would make users and folders
    folders = [Path(package.origin).parent / "pginstall" / "bin"] if package and package.origin else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    folders += [Path(on_path).parent] if on_path else []
    for folder in folders:
        if (folder / "initdb").is_file() and _major(folder) >= _MIN_MAJOR:
            return folder
    raise NoServer("neither the package pgserver nor an installed PostgreSQL 15 or newer is here")


def _major(folder: Path) -> int:
    version = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.", version)
    return int(found[1]) if found else 0
