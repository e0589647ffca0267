"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.scene import Scene, build_scene

if TYPE_CHECKING:
    from tests.postgresql_server import PostgresqlServer


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps compiled models out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The scene, built once; tests only read it."""
    return build_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server, where one can be started."""
    pytest.importorskip("psycopg", reason="no PostgreSQL: the driver psycopg is not installed")
    from tests.postgresql_server import NoServer, PostgresqlServer

    try:
        server = PostgresqlServer()
    except NoServer as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the database of a new site is: None is SQLite in its data folder."""
    if request.param == "sqlite":
        yield None
        return
    server = request.getfixturevalue("postgresql")
    url = server.create()
    yield url
    server.drop(url)
