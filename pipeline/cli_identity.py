"""The group `identity`: who was seen, and the operator's corrections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.site_data import SiteData
    from reid_pipeline.storage.corrections import Correction
    from reid_pipeline.storage.journeys import IdentityOverview

CamerasArgument = Annotated[
    Path | None, typer.Argument(help="The cameras.yaml of the site, or --data.", metavar="[CAMERAS.YAML]")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="The data folder of the site.", metavar="DIR")]
IdentityArgument = Annotated[int, typer.Argument(help="Number of an identity.", metavar="IDENTITY", min=1)]
ActorOption = Annotated[
    str | None, typer.Option(help="Who decides, for the log; the user of this machine if left out.", metavar="NAME")
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the log.", metavar="TEXT")]
TimeOption = Annotated[str | None, typer.Option(help="ISO-8601; without an offset in the site's time zone.")]

app = typer.Typer(no_args_is_help=True)

_TRACKLET: Final = re.compile(r"([A-Za-z0-9_-]+):([1-9]\d{0,17})")


@app.command("list")
def list_identities(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    camera: Annotated[str | None, typer.Option(help="Only whom this camera saw.", metavar="NAME")] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List identities: where and when they were seen, and who was merged into whom.

    With --camera, --since or --until only tracklets there and then are listed and counted.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site, parse_span_us

    with open_site(cameras, data) as site:
        check_camera(site, camera)
        since_us, until_us = parse_span_us(site, since, until)
        found = site.repository.identities(camera, since_us, until_us)
    if json_output:
        print_json({"identities": [_fields(each) for each in found]})
    else:
        print_table(("identity", "cameras", "tracklets", "first seen", "last seen", ""), [_row(each) for each in found])


@app.command()
def merge(
    one: IdentityArgument,
    other: IdentityArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say that two identities are one person; the older one stays, the other redirects to it."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.corrections import Corrections

    with open_site(cameras, data, actor=actor) as site:
        done = Corrections(site.database, site.access, reason).merge(one, other)
        _print_done(site, done, f"Identity {done.identity} is {done.other} now.", json_output)


@app.command()
def split(
    identity: IdentityArgument,
    tracklets: Annotated[
        list[str],
        typer.Argument(
            help="Tracklets as `journey` lists them; then the cameras.yaml of the site, or --data.",
            metavar="CAMERA:NUMBER... [CAMERAS.YAML]",
        ),
    ],
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say that some tracklets of an identity are another person, who becomes a new identity."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.corrections import Corrections

    # A list of arguments takes in all that follow, so the file is the last of them.
    file = Path(tracklets[-1]) if data is None and not _TRACKLET.fullmatch(tracklets[-1]) else None
    keys = [parse_tracklet(text) for text in (tracklets if file is None else tracklets[:-1])]
    with open_site(file, data, actor=actor) as site:
        done = Corrections(site.database, site.access, reason).split(identity, keys)
        _print_done(site, done, f"Split from identity {done.other}: the new identity {done.identity}.", json_output)


@app.command()
def undo(
    identity: IdentityArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    machine: Annotated[bool, typer.Option("--machine", help="Undo what the machine decided.")] = False,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take back the last merge or split about an identity that an operator decided."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.corrections import Corrections

    with open_site(cameras, data, actor=actor) as site:
        done = Corrections(site.database, site.access, reason).undo(identity, machine=machine)
        both = f"identities {done.identity} and {done.other}"
        who = f"identity {done.identity}" if done.identity == done.other else both
        _print_done(site, done, f"Undone: {done.undone} of {who}.", json_output)


def check_camera(site: SiteData, camera: str | None) -> None:
    """Checks a --camera.

    Raises:
        InputError: The site has no such camera.
    """
    known = site.repository.camera_names()
    if camera is not None and camera not in known:
        raise InputError(f"--camera: {camera}: expected one of {', '.join(known)}")


def parse_tracklet(text: str) -> tuple[str, int]:
    """A tracklet as people name it.

    Raises:
        InputError: It is not CAMERA:NUMBER.
    """
    match = _TRACKLET.fullmatch(text)
    if match is None:
        raise InputError(f"{text}: expected a tracklet as CAMERA:NUMBER, such as hall:7")
    return match[1], int(match[2])


def _print_done(site: SiteData, done: Correction, text: str, json_output: bool) -> None:
    """Prints what was done, and who both identities are now."""
    if not json_output:
        print(text)
        return
    both = (site.repository.identity(done.identity), site.repository.identity(done.other))
    print_json(
        {
            "action": done.type.value,
            "log_id": done.log_id,
            "identity": done.identity,
            "other": done.other,
            "undone": None if done.undone is None else done.undone.value,
            "identities": [{"identity": each.number, "merged_into": each.merged_into} for each in both],
        }
    )


def _fields(overview: IdentityOverview) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    return {
        "identity": overview.identity,
        "merged_into": overview.merged_into,
        "vacant": overview.vacant,
        "cameras": list(overview.cameras),
        "tracklets": overview.tracklets,
        "first_seen": None if overview.first_us is None else iso_time(overview.first_us),
        "last_seen": None if overview.last_us is None else iso_time(overview.last_us),
    }


def _row(overview: IdentityOverview) -> Sequence[str]:
    fields = _fields(overview)
    state = "removed" if overview.vacant else ""
    if overview.merged_into is not None:
        state = f"is {overview.merged_into} now"
    times = (str(fields[key] or "") for key in ("first_seen", "last_seen"))
    return (str(overview.identity), ", ".join(overview.cameras), str(overview.tracklets), *times, state)
