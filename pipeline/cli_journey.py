"""The command `journey`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    CamerasArgument,
    DataOption,
    IdentityArgument,
    ReasonOption,
)
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output

if TYPE_CHECKING:
    from reid_pipeline.storage.journeys import JourneyRecord


def journey(
    identity: IdentityArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write it with its pictures and a manifest into this new or empty folder.", metavar="DIR"),
    ] = None,
    clips: Annotated[bool, typer.Option(help="Export the footage of each sighting too, as far as it was kept.")] = True,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show one identity's path over the cameras, or export it."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.clip_cutting import SiteFootage, spans_for_log
    from reid_pipeline.pipeline.journey import export_journey, find_journey, journey_fields
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog
    from reid_pipeline.storage.clips import Clips
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data, actor=actor) as site:
        found = find_journey(site.repository, identity)
        footage = SiteFootage(Clips(site.database, site.access)) if clips and export is not None else None
        folder: dict[str, object] = {} if export is None else {"folder": str(export.resolve())}
        if footage is not None and (spans := spans_for_log(footage.spans(found))):
            folder["clips"] = spans
        action = Action.JOURNEY if export is None else Action.EXPORT
        site.access.require(Permission.SEE if export is None else Permission.EXPORT)
        AuditLog(site.database).note(site.access.name, action, reason, {"identity": found.identity, **folder})
        written = None if export is None else export_journey(found, site.name, site.crops, export, footage=footage)
    if json_output:
        fields = journey_fields(found)
        print_json(fields if written is None else {**fields, "export": str(written.folder), "files": written.files})
        return
    _print(found, identity)
    if written is not None:
        print(f"Wrote {', '.join(written.files)} and their manifest to {written.folder}")


def _print(found: JourneyRecord, asked: int) -> None:
    from reid_pipeline.pipeline.events import iso_time

    if found.identity != asked:
        print(f"Identity {asked} is {found.identity} now.")
    rows = []
    for each in found.tracklets:
        seconds = f"{(each.last_us - each.first_us) / 1_000_000:.1f}"
        probability = "" if each.probability is None else f"{each.probability:.3f}"
        tracklet = f"{each.camera}:{each.number}"
        rows.append((tracklet, iso_time(each.first_us), iso_time(each.last_us), seconds, probability, str(each.views)))
    print_table(("tracklet", "first seen", "last seen", "seconds", "probability", "views"), rows)
