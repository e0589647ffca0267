"""The group `record`: keeping the footage, and cutting stretches out of it. `record FILE` is `record start FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    CamerasArgument,
    DataOption,
    ReasonOption,
    TimeOption,
    check_camera,
    parse_tracklet,
)
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.clip_cutting import Cut, Span
    from reid_pipeline.pipeline.record_command import RecordSummary
    from reid_pipeline.pipeline.site_data import SiteData

_USUAL = "start"


class _WithUsual(TyperGroup):
    """A group whose first command need not be named."""

    # Newer versions of Typer have a click of their own: only the name of its context is the same in all.
    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else [_USUAL, *args])


app = typer.Typer(no_args_is_help=True, cls=_WithUsual)


@app.command(_USUAL)
def start(
    cameras: Annotated[Path, typer.Argument(help="The cameras.yaml of the site.", metavar="CAMERAS.YAML")],
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera; may be given more than once.", metavar="NAME")
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Keep the footage of the cameras as they send it, for retention.clips; the same as `record CAMERAS.YAML`.

    Files are read to their end, streams until it is stopped. Nothing is encoded anew, blurred or blanked; no sound is
    kept. A run may go on beside it.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.record_command import record_command

    done = record_command(cameras, camera or ())
    if json_output:
        print_json(_summary_fields(done))
    else:
        _print_summary(done)
    raise typer.Exit(done.exit_code)


@app.command()
def cut(
    out: Annotated[Path, typer.Option(help="A new or empty folder for the files.", metavar="DIR")],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    camera: Annotated[
        str | None, typer.Option(help="What this camera saw, --since and --until.", metavar="NAME")
    ] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    sighting: Annotated[str | None, typer.Option(help="Or this tracklet.", metavar="CAMERA:NUMBER")] = None,
    identity: Annotated[
        int | None, typer.Option(help="Or all tracklets of this identity.", metavar="ID", min=1)
    ] = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Cut a stretch out of the footage, as MP4 files without encoding anew, with a manifest of their digests."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.clip_cutting import export_clips
    from reid_pipeline.pipeline.site_data import open_site

    if (camera is not None) + (sighting is not None) + (identity is not None) != 1:
        raise InputError("record cut: expected one of --camera NAME, --sighting CAMERA:NUMBER and --identity ID")
    if (since is not None, until is not None) != (camera is not None,) * 2:
        raise InputError("record cut: expected --since and --until with --camera, and only there")
    with open_site(cameras, data, actor=actor) as site:
        spans = _spans(site, camera, (since, until), sighting, identity)
        cuts = export_clips(site, spans, out, reason, identity)
    _show(cuts, out, json_output=json_output)


def _spans(
    site: SiteData,
    camera: str | None,
    times: tuple[str | None, str | None],
    sighting: str | None,
    identity: int | None,
) -> Sequence[Span]:
    from reid_pipeline.pipeline.clip_cutting import Span
    from reid_pipeline.pipeline.journey import find_journey
    from reid_pipeline.pipeline.site_data import parse_span_us
    from reid_pipeline.storage.clips import Clips
    from reid_pipeline.storage.errors import UnknownRecord

    if identity is not None:
        found = find_journey(site.repository, identity)
        return [Span.around(each.camera, each.number, each.first_us, each.last_us) for each in found.tracklets]
    if sighting is not None:
        name, number = parse_tracklet(sighting)
        try:
            return [Span.around(name, number, *Clips(site.database, site.access).span_of(name, number))]
        except UnknownRecord as error:
            raise InputError(f"--sighting: {error}: see `reid-pipeline journey`") from error
    check_camera(site, camera)
    since_us, until_us = parse_span_us(site, *times)
    return [Span(camera or "", since_us or 0, until_us or 0)]


def _show(cuts: Sequence[Cut], out: Path, *, json_output: bool) -> None:
    from reid_pipeline.pipeline.clip_cutting import cut_fields

    fields = [cut_fields(each) for each in cuts]
    if json_output:
        print_json({"export": str(out), "clips": fields})
        return
    print_table(("file", "camera", "first", "last"), [[str(value) for value in each.values()] for each in fields])
    print(f"Wrote {len(cuts)} files and their manifest to {out}")


def _summary_fields(done: RecordSummary) -> dict[str, object]:
    cameras = {name: asdict(each) for name, each in done.cameras.items()}
    totals = {key: sum(each[key] for each in cameras.values()) for key in ("clips", "bytes", "seconds")}
    return {**totals, "recovered": done.recovered, "removed": done.removed, "cameras": cameras}


def _print_summary(done: RecordSummary) -> None:
    rows = [
        (name, str(each.clips), f"{each.seconds:,.1f}", f"{each.bytes / 1e6:,.1f}", str(each.connections))
        for name, each in done.cameras.items()
    ]
    print_table(("camera", "clips", "seconds", "MB", "connections"), rows)
    notes = {"had been left unfinished": done.recovered, "were removed, their time was up": done.removed}
    for text, number in notes.items():
        if number:
            print(f"{number} clips {text}.")
