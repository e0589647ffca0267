"""The group `case`: inquiries, and what they hold beyond the retention time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    CamerasArgument,
    DataOption,
    ReasonOption,
    TimeOption,
)
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.storage.cases import CaseRecord, Hold

NumberArgument = Annotated[int, typer.Argument(help="Number of a case.", metavar="CASE", min=1)]

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_cases(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List cases, why they were opened, and what they hold."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.cases import Cases

    with open_site(cameras, data) as site:
        found = Cases(site.database, site.access).read()
    if json_output:
        print_json({"cases": [_fields(each) for each in found]})
        return
    columns = ("case", "title", "reason", "opened", "by", "closed", "holds")
    print_table(columns, [[str(value or "") for value in _row(each)] for each in found])


@app.command("open")
def open_case(
    title: Annotated[str, typer.Argument(help="What it is about.", metavar="TITLE")],
    reason: Annotated[str, typer.Option(help="Why, for the log.", metavar="TEXT")],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Open a case, which may then hold identities and what cameras saw."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.cases import Cases

    with open_site(cameras, data, actor=actor) as site:
        number = Cases(site.database, site.access).open(title, reason)
    _say(number, f"Opened case {number}.", json_output=json_output)


@app.command("hold")
def hold_for_case(
    case: NumberArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    identity: Annotated[int | None, typer.Option(help="Hold this identity.", metavar="ID", min=1)] = None,
    camera: Annotated[str | None, typer.Option(help="Or what this camera saw.", metavar="NAME")] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Keep what a case needs for as long as the case is open, whatever the retention time."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site, parse_span_us
    from reid_pipeline.storage.cases import Cases, Hold

    if (identity is None) == (camera is None):
        raise InputError("case hold: expected either --identity ID or --camera NAME")
    with open_site(cameras, data, actor=actor) as site:
        since_us, until_us = parse_span_us(site, since, until)
        Cases(site.database, site.access).hold(case, Hold(identity, camera, since_us, until_us), reason)
    _say(case, f"Case {case} holds it.", json_output=json_output)


@app.command("close")
def close_case(
    case: NumberArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Close a case: what only it held goes with the next retention."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.cases import Cases

    with open_site(cameras, data, actor=actor) as site:
        Cases(site.database, site.access).close(case, reason)
    _say(case, f"Closed case {case}.", json_output=json_output)


def _say(case: int, text: str, *, json_output: bool) -> None:
    if json_output:
        print_json({"case": case})
    else:
        print(text)


def _fields(case: CaseRecord) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    return {
        "case": case.id,
        "title": case.title,
        "reason": case.reason,
        "opened": iso_time(case.opened_us),
        "opened_by": case.opened_by,
        "closed": None if case.closed_us is None else iso_time(case.closed_us),
        "holds": [_hold_fields(each) for each in case.holds],
    }


def _hold_fields(hold: Hold) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    since, until = (None if each is None else iso_time(each) for each in (hold.since_us, hold.until_us))
    return {"identity": hold.identity, "camera": hold.camera, "since": since, "until": until}


def _row(case: CaseRecord) -> list[object]:
    *others, holds = _fields(case).values()
    return [*others, ", ".join(_hold_words(each) for each in case.holds) if holds else ""]


def _hold_words(hold: Hold) -> str:
    if hold.identity is not None:
        return f"identity {hold.identity}"
    fields = _hold_fields(hold)
    return f"{hold.camera} {fields['since'] or ''} to {fields['until'] or ''}"
