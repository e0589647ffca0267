"""The group `db`: the stored data of a site as a whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import ActorOption, CamerasArgument, DataOption
from reid_pipeline.pipeline.cli_output import (
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)

if TYPE_CHECKING:
    from reid_pipeline.storage.backup import Backup

FAULTY = 1  # exit code

app = typer.Typer(no_args_is_help=True)


@app.command()
def migrate(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring the database up to date with this version of the program, as every command does that opens it."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.schema import SCHEMA_REVISION

    with open_site(cameras, data):
        pass
    if json_output:
        print_json({"schema": SCHEMA_REVISION})
    else:
        print(f"The schema is {SCHEMA_REVISION}.")


@app.command()
def backup(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    to: Annotated[
        Path | None, typer.Option(help="A new or empty folder; else one in data_dir/backups.", metavar="DIR")
    ] = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Copy the whole site while it runs: database, crops, corpus, models; not the footage.

    It is as sensitive as the site itself.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog
    from reid_pipeline.storage.backup import back_up
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data, actor=actor) as site:
        site.access.require_all_cameras(Permission.KEEP)
        folder = {} if to is None else {"folder": str(to.resolve())}
        AuditLog(site.database).note(site.access.name, Action.BACKUP, "", folder)
        with show_progress("backing up") as progress:
            done = back_up(site.database.data_dir, to, progress)
    _say(done, f"Backed up to {done.folder}", json_output=json_output)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="Folder of a backup.", metavar="BACKUP")],
    data: Annotated[
        Path, typer.Option("--data", help="A new or empty folder, which becomes the site's.", metavar="DIR")
    ],
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a backup a site again, after checking every byte of it."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog
    from reid_pipeline.storage.backup import restore as restore_backup

    with show_progress("restoring") as progress:
        done = restore_backup(backup, data, progress)
    with open_site(None, data, actor=actor) as site:
        AuditLog(site.database).note(site.access.name, Action.RESTORE, "", {"taken_at": done.taken_at})
    _say(done, f"Restored to {done.folder}, as of {done.taken_at}", json_output=json_output)


@app.command()
def check(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    mend: Annotated[bool, typer.Option("--mend", help="Remove what is left over, end what was broken off.")] = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Look for rows without files, files without rows, broken-off erasures, a damaged database; exit 1 where any."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.permissions import Permission
    from reid_pipeline.storage.site_check import check_site, mend_site

    with open_site(cameras, data) as site:
        site.access.require_all_cameras(Permission.KEEP)
        if mend:
            with site.database.lock_for_all():
                mend_site(site.database, site.access)
        found = check_site(site.database)
    if json_output:
        print_json({"findings": [asdict(each) for each in found], "whole": not found})
    elif found:
        rows = [(each.what, str(each.count), ", ".join(each.examples)) for each in found]
        print_table(("what", "how many", "such as"), rows)
    else:
        print("All is in order.")
    if found:
        raise typer.Exit(FAULTY)


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="A new file, outside of the data folder.", metavar="FILE")],
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a master key for site.master_key. Who loses it loses what it encrypts: keep a copy somewhere safe."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.storage.master_key import write_key

    write_key(file)
    if json_output:
        print_json({"path": str(file)})
    else:
        print(f"A new key is in {file}: keep a copy of it somewhere safe.")


@app.command()
def stats(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say how many rows each table has, and how much of the disk each part takes."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.site_check import measure_site

    with open_site(cameras, data) as site:
        sizes = measure_site(site.database)
    if json_output:
        print_json(asdict(sizes))
        return
    print_table(("table", "rows"), [(name, f"{count:,}") for name, count in sizes.rows.items()])
    print_table(("on disk", "bytes"), [(name, f"{size:,}") for name, size in sizes.bytes.items()])


def _say(done: Backup, text: str, *, json_output: bool) -> None:
    if json_output:
        print_json({**asdict(done), "folder": str(done.folder)})
    else:
        print(f"{text}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB")
