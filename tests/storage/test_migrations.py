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

OLD_SCHEMAS = sorted(Path(__file__).parent.glob("schema_*.sql"))


def load(data_dir, dump):
    connection = sqlite3.connect(data_dir / "site.db")
    connection.executescript(dump.read_text())
    connection.close()


def definitions(path):
    """Name to the parts of the CREATE statement, in any order, for all tables and indices of a database."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    found = {name: sorted(" ".join(part.split()) for part in re.split(r"[(),]", sql)) for name, sql in rows}
    connection.close()
    return found


def differences(path):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = compare_metadata(context, Base.metadata)
    engine.dispose()
    return found


def test_a_new_site_has_exactly_the_tables_of_the_models(tmp_path):
    open_database(tmp_path / "migrated").close()
    assert differences(tmp_path / "migrated" / "site.db") == []
    engine = create_engine(f"sqlite:///{tmp_path / 'models.db'}")
    Base.metadata.create_all(engine)
    engine.dispose()
    # The comparison above does not look at CHECK, AUTOINCREMENT and the WHERE of an index; the statements show them.
    assert definitions(tmp_path / "migrated" / "site.db") == definitions(tmp_path / "models.db")


def test_the_newest_step_is_the_schema_revision_and_steps_are_one_line():
    folder = str(files(migrations))
    script = ScriptDirectory(folder, version_locations=[folder])
    assert script.get_heads() == [SCHEMA_REVISION]
    for step in script.walk_revisions():
        assert Path(step.path).name.startswith(f"v{step.revision}_")
    assert {path.stem for path in OLD_SCHEMAS} >= {f"schema_{SCHEMA_REVISION}"}


@pytest.mark.parametrize("dump", OLD_SCHEMAS, ids=lambda path: path.stem)
def test_an_old_site_is_brought_up_to_date_and_keeps_its_rows(tmp_path, dump):
    load(tmp_path, dump)
    open_database(tmp_path / "new").close()
    with open_database(tmp_path) as database:
        repository = Repository(database, CropStore(tmp_path))
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
    assert definitions(tmp_path / "site.db") == definitions(tmp_path / "new" / "site.db")


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path):
    # A view in the way of the last table: the tables before it were made by then.
    connection = sqlite3.connect(tmp_path / "site.db")
    connection.execute("CREATE VIEW embeddings AS SELECT 1")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match="embeddings already exists"):
        open_database(tmp_path)
    assert set(definitions(tmp_path / "site.db")) == {"embeddings"}
