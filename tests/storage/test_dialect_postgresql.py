"""What is PostgreSQL's own: how it is found and entered, and what is said where that fails."""

from __future__ import annotations

import stat
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.dialect_postgresql import (
    PASSWORD_VARIABLE,
    PostgresqlDialect,
    parse_url,
    pgvector_version,
    without_secrets,
)
from reid_pipeline.storage.errors import DatabaseUnavailable, NotASiteDatabase, SiteBusy, StorageError
from reid_pipeline.storage.schema import Base
from tests.postgresql_server import LOCKED_PASSWORD, LOCKED_USER

OPEN = """
import sys, pathlib
from reid_pipeline.storage.database import open_database
with open_database(pathlib.Path(sys.argv[1]), sys.argv[2]) as database:
    print(len(database.data_dir.name) > 0)
"""


@pytest.fixture
def empty(postgresql):
    """An empty database."""
    url = postgresql.create(empty=True)
    yield url
    postgresql.drop(url)


@pytest.fixture
def locked(postgresql, empty):
    """The URL of an empty database whose owner needs a password."""
    postgresql.execute(f"ALTER DATABASE {parse_url(empty).database} OWNER TO {LOCKED_USER}")
    return postgresql.url(parse_url(empty).database, LOCKED_USER)


@pytest.fixture(autouse=True)
def no_passwords(monkeypatch, tmp_path):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


def take(database):
    with database.lock_for_run():
        pass


def refusal(data_dir, url):
    with pytest.raises(DatabaseUnavailable) as caught:
        open_database(data_dir / "data", url)
    assert "\n" not in str(caught.value)
    assert "wrong" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://reid:wrong@h/site",
        "postgresql+psycopg2://reid:wrong@h/site",
        "postgresql://reid:wrong@h",
        "postgresql://reid:a:wrong@h:p/site",
        "wrong",
    ],
)
def test_what_is_no_url_is_not_quoted(tmp_path, url):
    assert refusal(tmp_path, url).startswith("site.database: no URL of a database: expected postgresql://USER@HOST/")


@pytest.mark.parametrize(
    ("url", "place", "kept"),
    [
        ("postgres://u:p@h/site", "postgresql://h/site", "postgresql://u@h/site"),
        ("postgresql://u:p%40s@h:6432/site", "postgresql://h:6432/site", "postgresql://u@h:6432/site"),
        ("postgresql:///s?host=/run/pg&password=p", "postgresql:///run/pg/s", "postgresql:///s?host=%2Frun%2Fpg"),
        ("postgresql://u@h/s?sslmode=require", "postgresql://h/s", "postgresql://u@h/s?sslmode=require"),
        (
            "postgresql://u:p@/s?host=a:1&host=b:2&sslpassword=p",
            "postgresql://a:1,b:2/s",
            "postgresql://u@/s?host=a%3A1&host=b%3A2",
        ),
    ],
)
def test_messages_and_files_get_no_password(url, place, kept):
    assert PostgresqlDialect(parse_url(url)).place == place
    assert without_secrets(parse_url(url)) == kept


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('connection failed: connection to server at "h", port 1 failed: Refused\n\tIs it running?', "Refused"),
        (
            "Multiple connection attempts failed. All failures were:\n- host: 'h': connection failed: connection to "
            "server at \"::1\", port 1 failed: Refused\n\tIs it running?\n- host: 'h': connection failed: connection "
            'to server at "127.0.0.1", port 1 failed: FATAL:  no "hunter2" here\n',
            'no "***" here',
        ),
        ("failed to resolve host 'h'", "failed to resolve host 'h'"),
        ("", "no reason given"),
    ],
)
def test_errors_of_a_connection_are_one_line_without_a_password(said, expected):
    dialect = PostgresqlDialect(parse_url("postgresql://reid:hunter2@h/site"))
    assert dialect.describe(DBAPIError("SELECT", {}, psycopg.OperationalError(said))) == expected


def test_a_missing_driver_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'reid-pipeline[postgresql]'" in refusal(tmp_path, "postgresql://h/site")


def test_a_server_that_is_not_there(tmp_path):
    message = refusal(tmp_path, "postgresql://reid:wrong@127.0.0.1:1/site")
    assert message.startswith("postgresql://127.0.0.1:1/site: Connection refused; expected a server that knows")
    assert not (tmp_path / "data" / "database.json").exists()


@pytest.mark.postgresql
class TestServer:
    def test_a_database_that_is_not_there(self, tmp_path, postgresql):
        assert 'database "nowhere" does not exist; expected' in refusal(tmp_path, postgresql.url("nowhere"))

    def test_a_wrong_password(self, tmp_path, locked):
        wrong = locked.replace("@", ":wrong@")
        message = refusal(tmp_path, wrong)
        assert f'password authentication failed for user "{LOCKED_USER}"; expected' in message
        assert message.endswith(f"with the password in {PASSWORD_VARIABLE} or ~/.pgpass")

    def test_no_password(self, tmp_path, locked):
        assert "no password supplied" in refusal(tmp_path, locked)

    def test_the_password_comes_from_the_environment(self, tmp_path, locked, monkeypatch):
        monkeypatch.setenv(PASSWORD_VARIABLE, LOCKED_PASSWORD)
        open_database(tmp_path, locked).close()
        open_database(tmp_path).close()
        assert LOCKED_PASSWORD not in (tmp_path / "database.json").read_text()

    def test_the_password_comes_from_pgpass(self, tmp_path, locked):
        path = tmp_path / "pgpass"
        path.write_text(f"*:*:*:{LOCKED_USER}:{LOCKED_PASSWORD}\n")
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        open_database(tmp_path, locked).close()

    def test_a_user_who_may_not_create_tables(self, tmp_path, postgresql, empty, monkeypatch):
        monkeypatch.setenv(PASSWORD_VARIABLE, LOCKED_PASSWORD)
        message = refusal(tmp_path, postgresql.url(parse_url(empty).database, LOCKED_USER))
        assert (
            f"permission denied for schema public; expected a server that knows this database and lets {LOCKED_USER}"
            in (message)
        )

    def test_an_old_server(self, tmp_path, empty, monkeypatch):
        monkeypatch.setattr("reid_pipeline.storage.dialect_postgresql.MIN_MAJOR", 99)
        assert refusal(tmp_path, empty).endswith(": expected 99 or newer; update the server")

    def test_another_encoding(self, tmp_path, postgresql):
        postgresql.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        assert "its encoding is LATIN1: expected UTF8" in refusal(tmp_path, postgresql.url("latin"))
        postgresql.drop(postgresql.url("latin"))

    def test_the_database_of_another_program_is_left_alone(self, tmp_path, postgresql, empty):
        postgresql.execute("CREATE TABLE songs (title TEXT)", empty)
        with pytest.raises(NotASiteDatabase, match="another program"):
            open_database(tmp_path, empty)
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert postgresql.execute(tables, empty) == [("songs",)]

    def test_a_server_that_goes_away_is_named_in_one_line(self, tmp_path, postgresql, empty):
        end_all = (
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{parse_url(empty).database}'"
        )
        with open_database(tmp_path, empty) as database:
            with pytest.raises(StorageError) as caught, database.lock_for_run(), database.session_scope() as session:
                session.execute(text("SELECT 1"))
                postgresql.execute(end_all)
                session.execute(text("SELECT 1"))
            assert str(caught.value).endswith(": terminating connection due to administrator command")
            with database.lock_for_run(), database.session_scope() as session:
                assert session.scalar(text("SELECT 1")) == 1

    def test_a_lock_reaches_other_folders_and_users(self, tmp_path, postgresql, locked, monkeypatch):
        monkeypatch.setenv(PASSWORD_VARIABLE, LOCKED_PASSWORD)
        url = postgresql.url(parse_url(locked).database)
        with open_database(tmp_path / "one", locked) as one, open_database(tmp_path / "two", url) as two:
            with one.lock_for_run(), pytest.raises(SiteBusy, match=r"another run \(process \d+ on \S+\)"):
                take(two)
            take(two)

    def test_other_databases_of_the_server_have_locks_of_their_own(self, tmp_path, postgresql, empty):
        other = postgresql.create()
        with open_database(tmp_path / "one", empty) as one, open_database(tmp_path / "two", other) as two:
            hold = one.lock_for_run()
            with hold:
                take(two)
        postgresql.drop(other)

    def test_a_new_site_opened_by_several_processes_at_once(self, tmp_path, empty):
        command = [sys.executable, "-c", OPEN, tmp_path / "data", empty]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        results = [each.communicate() for each in [subprocess.Popen(command, **pipes) for _ in range(3)]]
        assert results == [(b"True\n", b"")] * 3

    def test_each_index_of_the_schema_is_there(self, tmp_path, postgresql, empty):
        open_database(tmp_path, empty).close()
        found = {name for (name,) in postgresql.execute("SELECT indexname FROM pg_indexes", empty)}
        assert {index.name for table in Base.metadata.tables.values() for index in table.indexes} <= found

    def test_names_are_ordered_by_code_point_in_any_language(self, tmp_path, postgresql, empty):
        open_database(tmp_path, empty).close()
        collation = (
            "SELECT collation_name FROM information_schema.columns WHERE table_name || column_name = 'camerasname'"
        )
        assert postgresql.execute(collation, empty) == [("C",)]

    def test_pgvector_is_found_where_it_is(self, tmp_path, postgresql, empty):
        known = postgresql.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        with open_database(tmp_path, empty) as database, database.session_scope() as session:
            assert pgvector_version(session.connection()) == (known[0][0] if known else None)


def test_sqlite_has_no_pgvector(tmp_path):
    with open_database(tmp_path) as database, database.session_scope() as session:
        assert pgvector_version(session.connection()) is None
