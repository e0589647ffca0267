"""The group `watch`: whom a run looks out for, and what it has noticed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    CamerasArgument,
    DataOption,
    ReasonOption,
    TimeOption,
    parse_tracklet,
)
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.cli_search import parse_box, read_persons, sort_files
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.storage.watch_alerts import AlertRecord
    from reid_pipeline.storage.watch_lists import WatchRecord

EntryArgument = Annotated[int, typer.Argument(help="Number of an entry.", metavar="ENTRY", min=1)]

_WEEK_US: Final = 7 * 86_400_000_000

app = typer.Typer(no_args_is_help=True)


@app.command("add")
def add_entry(
    case: Annotated[int, typer.Option(help="Number of an open case.", metavar="CASE", min=1)],
    reason: Annotated[str, typer.Option(help="Why, for the log.", metavar="TEXT")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pictures of the person, and the cameras.yaml of the site, or --data.",
            metavar="[IMAGE...] [CAMERAS.YAML]",
        ),
    ] = None,
    identity: Annotated[int | None, typer.Option(help="Watch for this identity.", metavar="ID", min=1)] = None,
    sighting: Annotated[
        list[str] | None,
        typer.Option(help="Or for who looks like this tracklet; may be given more than once.", metavar="CAMERA:NUMBER"),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(help="Who in the picture: a box in its pixels. Else the largest person.", metavar="X1,Y1,X2,Y2"),
    ] = None,
    label: Annotated[str, typer.Option(help="What those who get the alerts are told.", metavar="TEXT")] = "",
    rate: Annotated[float, typer.Option(help="The part of its alerts that may be wrong, up to 0.5.")] = 0.1,
    expires: Annotated[
        str | None, typer.Option(help="Until when, ISO-8601, within 30 days; a week if left out.")
    ] = None,
    data: DataOption = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Propose to watch for somebody: an identity, or who looks like some pictures and sightings.

    Nothing happens before a second person approves it.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.searcher import Examples, Searcher
    from reid_pipeline.pipeline.site_data import open_site, parse_time_us
    from reid_pipeline.pipeline.watch_examples import watch_examples
    from reid_pipeline.storage.permissions import Permission
    from reid_pipeline.storage.watch_lists import Proposal, WatchLists

    images, config = sort_files(files or [])
    keys = [parse_tracklet(text) for text in sighting or []]
    if (identity is None) != bool(images or keys):
        raise InputError("watch add: expected either --identity ID, or pictures and --sighting CAMERA:NUMBER")
    with open_site(config, data, actor=actor) as site:
        site.access.require_all_cameras(Permission.WATCH)
        soon_us = time.time_ns() // 1000 + _WEEK_US
        expires_us = soon_us if expires is None else parse_time_us(expires, site.timezone, "--expires")
        searcher = Searcher(site)
        persons = read_persons(searcher, images, parse_box(box, len(images)))
        examples = watch_examples(searcher, Examples(persons, keys))
        proposal = Proposal(case, reason, expires_us, rate, label, identity, examples)
        entry = WatchLists(site.database, site.access).propose(proposal)
    _say(entry, f"Added entry {entry}: somebody else has to approve it.", json_output=json_output)


@app.command("approve")
def approve_entry(
    entry: EntryArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Agree that somebody is watched for; not for whoever has added the entry."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.watch_lists import WatchLists

    with open_site(cameras, data, actor=actor) as site:
        WatchLists(site.database, site.access).approve(entry, reason)
    _say(entry, f"Entry {entry} is active.", json_output=json_output)


@app.command("end")
def end_entry(
    entry: EntryArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Watch for somebody no longer; the examples of the looks are removed."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.watch_lists import WatchLists

    with open_site(cameras, data, actor=actor) as site:
        WatchLists(site.database, site.access).end(entry, reason)
    _say(entry, f"Ended entry {entry}.", json_output=json_output)


@app.command("list")
def list_entries(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List who is watched for, why, until when, and who agreed."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.watch_lists import WatchLists

    with open_site(cameras, data) as site:
        found = WatchLists(site.database, site.access).read()
        names = {each.hash: each.name for each in site.repository.embedding_models()}
    fields = [_fields(each, names) for each in found]
    if json_output:
        print_json({"entries": fields})
        return
    columns = ("entry", "state", "case", "label", "reason", "identity", "examples", "rate", "expires", "added by")
    shown = ("entry", "state", "case", "label", "reason", "identity", "examples", "rate", "expires", "added_by")
    print_table((*columns, "approved by"), [_cells(each, (*shown, "approved_by")) for each in fields])


@app.command("alerts")
def list_alerts(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    since: TimeOption = None,
    unacknowledged: Annotated[
        bool, typer.Option("--unacknowledged", help="Only those that nobody has acknowledged.")
    ] = False,
    most: Annotated[int, typer.Option(help="How many to show at most.", metavar="N", min=1)] = 100,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List where and when somebody was seen who may be on a watch list, the newest first."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site, parse_span_us
    from reid_pipeline.storage.watch_alerts import AlertFilter, WatchAlerts

    with open_site(cameras, data) as site:
        since_us, _ = parse_span_us(site, since, None)
        found = WatchAlerts(site.database, site.access).read(AlertFilter(since_us, unacknowledged, most))
    fields = [_alert_fields(each) for each in found]
    if json_output:
        print_json({"alerts": fields})
        return
    columns = ("alert", "entry", "label", "camera", "tracklet", "identity", "time", "probability", "acknowledged by")
    shown = (*columns[:-1], "acknowledged_by")
    print_table(columns, [_cells(each, shown) for each in fields])


@app.command("acknowledge")
def acknowledge_alerts(
    alerts: Annotated[
        list[str],
        typer.Argument(
            help="Numbers of alerts; then the cameras.yaml of the site, or --data.", metavar="ALERT... [CAMERAS.YAML]"
        ),
    ],
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say that alerts were seen."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.watch_alerts import WatchAlerts

    # A list of arguments takes in all that follow, so the file is the last of them.
    file = Path(alerts[-1]) if data is None and not alerts[-1].isdigit() else None
    numbers = [_parse_alert(text) for text in (alerts if file is None else alerts[:-1])]
    with open_site(file, data, actor=actor) as site:
        WatchAlerts(site.database, site.access).acknowledge(numbers, reason)
    if json_output:
        print_json({"alerts": numbers})
    else:
        print(f"Acknowledged {len(numbers)} of the alerts.")


def _parse_alert(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{text}: expected the number of an alert: see `reid-pipeline watch alerts`")
    return int(text)


def _say(entry: int, text: str, *, json_output: bool) -> None:
    if json_output:
        print_json({"entry": entry})
    else:
        print(text)


def _fields(entry: WatchRecord, names: dict[str, str]) -> dict[str, object]:
    examples = {names.get(model_hash, model_hash): count for model_hash, count in entry.examples.items()}
    return {
        "entry": entry.id,
        "case": entry.case,
        "label": entry.label,
        "reason": entry.reason,
        "identity": entry.identity,
        "examples": examples,
        "rate": entry.rate,
        "state": entry.state.value,
        "expires": _time(entry.expires_us),
        **_who("added", entry.added),
        **_who("approved", entry.approved),
        **_who("ended", entry.ended),
    }


def _alert_fields(alert: AlertRecord) -> dict[str, object]:
    return {
        "alert": alert.id,
        "entry": alert.entry,
        "case": alert.case,
        "label": alert.label,
        "camera": alert.tracklet[0],
        "tracklet": alert.tracklet[1],
        "identity": alert.identity,
        "time": _time(alert.time_us),
        "probability": round(alert.probability, 6),
        **_who("acknowledged", alert.acknowledged),
    }


def _who(what: str, done: tuple[int, str] | None) -> dict[str, object]:
    at_us, name = done or (None, None)
    return {what: None if at_us is None else _time(at_us), f"{what}_by": name}


def _time(time_us: int) -> str:
    from reid_pipeline.pipeline.events import iso_time

    return iso_time(time_us)


def _cells(fields: dict[str, object], shown: tuple[str, ...]) -> list[str]:
    return [_cell(fields[name]) for name in shown]


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} by {name}" for name, count in value.items())
    return "" if value is None else str(value)
