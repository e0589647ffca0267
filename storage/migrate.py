"""Brings the schema of a site up to date with Alembic, without alembic.ini or env.py.

The steps are the modules of `migrations`. All that are missing run in the one transaction of the caller: a site has
either its old schema or the new one, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from reid_pipeline.storage import migrations
from reid_pipeline.storage.errors import NewerSchema, NotASiteDatabase
from reid_pipeline.storage.schema import SCHEMA_REVISION


def migrate(connection: Connection) -> None:
    """Applies the steps that the database lacks, inside the transaction of `connection`.

    Raises:
        NewerSchema: The database has a revision that this version of the program does not know.
        NotASiteDatabase: It has tables, but no revision: another program's.
    """
    folder = str(files(migrations))
    script = ScriptDirectory(folder, version_locations=[folder])

    def missing_steps(current: Collection[str], _: MigrationContext) -> list[RevisionStep]:
        revisions = script.iterate_revisions(SCHEMA_REVISION, tuple(current), implicit_base=True)
        steps = [MigrationStep.upgrade_from_script(script.revision_map, each) for each in revisions]
        return steps[::-1]  # Alembic walks from the newest back

    context = MigrationContext.configure(connection, opts={"fn": missing_steps})
    _check_origin(connection, context.get_current_revision(), {each.revision for each in script.walk_revisions()})
    with Operations.context(context):
        context.run_migrations()


def _check_origin(connection: Connection, current: str | None, known: Collection[str]) -> None:
    if current is None and inspect(connection).get_table_names():
        raise NotASiteDatabase("it holds tables of another program; expected an empty database, or that of a site")
    if current is not None and current not in known:
        raise NewerSchema(
            f"its schema is {current}, this version of reid-pipeline knows schemas up to {SCHEMA_REVISION}; "
            "update reid-pipeline"
        )
