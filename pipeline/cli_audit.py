"""The group `audit`: who did what with people's data, and whether the log of it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import CamerasArgument, DataOption, TimeOption
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output

if TYPE_CHECKING:
    from reid_pipeline.storage.audit_log import AuditCheck, AuditRecord

CHANGED = 1  # exit code

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_entries(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    since: TimeOption = None,
    until: TimeOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List who searched, exported, merged, held or erased what, when and why."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site, parse_span_us
    from reid_pipeline.storage.audit_log import AuditLog
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data) as site:
        site.access.require_all_cameras(Permission.AUDIT)
        since_us, until_us = parse_span_us(site, since, until)
        found = [_fields(each) for each in AuditLog(site.database).read(since_us, until_us)]
    if json_output:
        print_json({"entries": found})
        return
    columns = ("entry", "time", "who", "what", "why", "about")
    print_table(columns, [[str(value) for value in each.values()][:-1] for each in found])


@app.command()
def verify(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    expect: Annotated[
        str | None,
        typer.Option(help="The digest that an earlier check gave, if no entry came since.", metavar="DIGEST"),
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check that the log is as it was written: nothing changed, nothing missing; exit 1 where it is not."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import AuditLog
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data) as site:
        site.access.require_all_cameras(Permission.AUDIT)
        log = AuditLog(site.database)
        check = log.verify()
    faults = list(check.faults)
    if expect is not None and expect != check.digest:
        faults.append(f"the end of the log is {check.digest}: expected {expect}")
    if json_output:
        print_json({**asdict(check), "faults": faults, "whole": not faults, "public_key": log.public_key})
    else:
        print("\n".join(faults) or _words(check))
    if faults:
        raise typer.Exit(CHANGED)


def _words(check: AuditCheck) -> str:
    taken = f", {check.erased} of them emptied by erasures" if check.erased else ""
    return f"{check.entries} entries{taken}: whole. Note the digest of its end elsewhere: {check.digest}"


def _fields(record: AuditRecord) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    return {
        "id": record.id,
        "time": iso_time(record.at_us),
        "actor": record.actor,
        "action": record.action,
        "reason": record.reason if record.erasure is None else f"taken by erasure {record.erasure}",
        "subject": dict(record.subject),
        "erasure": record.erasure,
    }
