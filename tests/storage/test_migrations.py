from __future__ import annotations

import re
import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from reid_pipeline.storage import migrations
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.learning_runs import LearningRuns
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.schema import SCHEMA_REVISION, Base

SCHEMAS = Path(__file__).parent
OLD_SCHEMAS = sorted(SCHEMAS.glob("schema_????.sql"))
OLD_POSTGRESQL = sorted(SCHEMAS.glob("schema_????_postgresql.sql"))


class SqlitePlace:
    """Where a site on SQLite may be made; nothing is there yet."""

    def __init__(self, data_dir):
        data_dir.mkdir()
        self.data_dir, self.url = data_dir, None
        self.address = f"sqlite:///{data_dir / 'site.db'}"

    def load(self, script):
        connection = sqlite3.connect(self.data_dir / "site.db")
        connection.executescript(script)
        connection.close()

    def definitions(self):
        """Name to the parts of the CREATE statement, in any order, for all tables and indices."""
        connection = sqlite3.connect(self.data_dir / "site.db")
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        )
        found = {name: sorted(" ".join(part.split()) for part in re.split(r"[(),]", sql)) for name, sql in rows}
        connection.close()
        return found


class PostgresqlPlace:
    """The same on a server."""

    def __init__(self, data_dir, server):
        self.data_dir, self.url = data_dir, server.create(empty=True)
        self.address = self.url.replace("postgresql:", "postgresql+psycopg:")
        self._server = server

    def load(self, script):
        self._server.execute(script, self.url)

    def definitions(self):
        """All columns, constraints, indices and views."""
        columns = (
            "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
        constraints = (
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace"
        )
        indices = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        found = [row for query in (columns, constraints, indices) for row in self._server.execute(query, self.url)]
        return {row for row in found if row[0] != "alembic_version"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def make_place(request, tmp_path):
    """Makes places, each by its name."""
    if request.param == "sqlite":
        yield lambda name: SqlitePlace(tmp_path / name)
        return
    server = request.getfixturevalue("postgresql")
    places = []

    def make(name):
        places.append(PostgresqlPlace(tmp_path / name, server))
        return places[-1]

    yield make
    for place in places:
        server.drop(place.url)


def differences(place):
    engine = create_engine(place.address)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = compare_metadata(context, Base.metadata)
    engine.dispose()
    return found


def test_a_new_site_has_exactly_the_tables_of_the_models(make_place):
    migrated, models = make_place("migrated"), make_place("models")
    open_database(migrated.data_dir, migrated.url).close()
    assert differences(migrated) == []
    engine = create_engine(models.address)
    Base.metadata.create_all(engine)
    engine.dispose()
    # The comparison above does not look at CHECK, AUTOINCREMENT and the WHERE of an index; the statements show them.
    assert migrated.definitions() == models.definitions()


def test_the_newest_step_is_the_schema_revision_and_steps_are_one_line():
    folder = str(files(migrations))
    script = ScriptDirectory(folder, version_locations=[folder])
    assert script.get_heads() == [SCHEMA_REVISION]
    for step in script.walk_revisions():
        assert Path(step.path).name.startswith(f"v{step.revision}_")
    assert {path.stem for path in OLD_SCHEMAS} >= {f"schema_{SCHEMA_REVISION}"}


@pytest.mark.parametrize(
    ("make_place", "dump"),
    [("sqlite", path) for path in OLD_SCHEMAS]
    + [pytest.param("postgresql", path, marks=pytest.mark.postgresql) for path in OLD_POSTGRESQL],
    indirect=["make_place"],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_an_old_site_is_brought_up_to_date_and_keeps_its_rows(make_place, dump):
    old, new = make_place("old"), make_place("new")
    old.load(dump.read_text())
    open_database(new.data_dir, new.url).close()
    with open_database(old.data_dir, old.url) as database:
        repository = Repository(database, CropStore(old.data_dir))
        (boxes,) = repository.tracklet_boxes("hall")
        assert (boxes.number, boxes.identity, boxes.frames.tolist()) == (7, 1, [25])
        assert boxes.boxes.tolist() == [[1, 2, 3, 4]]
        (row,) = repository.gallery("aa", 0)
        assert row.vector.tolist() == [1, 0]
        assert repository.identity(2).merged_into == 1
        assert repository.identity_history(1)[0].evidence == {"views": 3}
        assert (repository.next_number("hall"), repository.next_identity()) == (8, 3)
        calibrated = [(each.cameras, each.slope, each.pairs) for each in repository.calibrations("aa")]
        assert calibrated == ([(("hall", "hall"), 18.75, 900)] if dump.stem >= "schema_0003" else [])
        learnt = [(each.end.model, each.start.settings) for each in LearningRuns(database).read()]
        assert learnt == ([("small-100", {"budget_s": 60.0})] if dump.stem >= "schema_0004" else [])
        assert repository.begin_run({}, {}, 0) == 2  # the counters go on too
    assert old.definitions() == new.definitions()


def test_a_step_that_fails_leaves_the_database_as_it_was(make_place):
    # A view in the way of the last table: the tables before it were made by then.
    place = make_place("place")
    place.load("CREATE VIEW embeddings AS SELECT 1 AS one")
    before = place.definitions()
    with pytest.raises(StorageError, match=r'"?embeddings"? already exists'):
        open_database(place.data_dir, place.url)
    assert place.definitions() == before
