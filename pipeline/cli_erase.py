"""The commands `erase` and `access`: what people may ask of a site about themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from reid_pipeline.pipeline.site_data import SiteData
    from reid_pipeline.storage.erasure import ErasureReport
    from reid_pipeline.storage.erasure_plan import ErasurePreview, Target


def erase(
    reason: Annotated[str, typer.Option(help="Why, for the report; without names of people.", metavar="TEXT")],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    identity: Annotated[int | None, typer.Option(help="Erase this identity.", metavar="ID", min=1)] = None,
    sighting: Annotated[
        list[str] | None,
        typer.Option(help="Or this tracklet; may be given more than once.", metavar="CAMERA:NUMBER"),
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Or all that this camera saw, --since and --until.", metavar="NAME")
    ] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: erase.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the signed report here.", metavar="FILE.json")] = None,
    actor: ActorOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Erase somebody: pictures, footage, vectors, tracklets, lines of files; for good, with a signed report.

    Shows what would go and asks. No run, no recorder and nothing that learns may go on beside it. `search IMAGE`
    finds who somebody on a photo is.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.erasure import Erasures

    if (identity is not None) + bool(sighting) + (camera is not None) != 1:
        raise InputError("erase: expected one of --identity ID, --sighting CAMERA:NUMBER and --camera NAME")
    with open_site(cameras, data, actor=actor) as site, site.database.lock_for_all():
        target = _target(site, identity, sighting or [], camera, (since, until))
        erasures = Erasures(site.database, site.access)
        erasures.recover()
        if not yes and not _confirmed(erasures.preview(target), asks=not json_output):
            print("Nothing was erased.", file=sys.stderr)
            raise typer.Exit(1)
        done = erasures.erase(target, reason)
    _show(done, report, json_output=json_output)


def access(
    identity: Annotated[int, typer.Argument(help="Number of an identity.", metavar="IDENTITY", min=1)],
    export: Annotated[Path, typer.Option(help="A new or empty folder for it.", metavar="DIR")],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Export what there is of one person, for that person: everybody else who was detected is blurred.

    Footage is not among it: nobody could be blurred there without encoding it anew.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.access import export_access
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data, actor=actor) as site:
        site.access.require_all_cameras(Permission.EXPORT)
        written = export_access(site.database, site.name, identity, export)
        subject = {"identity": identity, "folder": str(export.resolve())}
        AuditLog(site.database).note(site.access.name, Action.ACCESS, reason, subject)
    if json_output:
        print_json({"identity": identity, "export": str(written.folder), "files": written.files})
    else:
        print(f"Wrote {', '.join(written.files)} and their manifest to {written.folder}; look through the pictures.")


def _target(
    site: SiteData, identity: int | None, sightings: list[str], camera: str | None, span: tuple[str | None, str | None]
) -> Target:
    from reid_pipeline.pipeline.site_data import parse_span_us
    from reid_pipeline.storage.erasure_plan import Target

    check_camera(site, camera)
    return Target(identity, tuple(parse_tracklet(each) for each in sightings), camera, *parse_span_us(site, *span))


def _confirmed(found: ErasurePreview, *, asks: bool) -> bool:
    from reid_pipeline.pipeline.erasure_words import BESIDE, parts, whose
    from reid_pipeline.storage.errors import ErasureRefused

    if not asks:
        raise InputError("erase --json: expected --yes: nobody can be asked")
    if found.refusal is not None:
        raise ErasureRefused(found.refusal)
    print_table(("would go", "", ""), [(part.label, f"{part.count:,}", part.meaning) for part in parts(found)])
    print(f"{whose(found)} {BESIDE}")
    return typer.confirm("Erase all of this for good?", default=False)


def _show(done: ErasureReport, file: Path | None, *, json_output: bool) -> None:
    import json

    if file is not None:
        try:
            file.write_text(json.dumps(done.fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--report: {file}: {error.strerror}: it was erased; see `erase` in `audit`") from error
    if json_output:
        print_json(done.fields)
    else:
        counts = f"{done.report['tracklets']} tracklets, {done.report['crops']} pictures"
        print(f"Erasure {done.id}: {counts} are gone. Signature: {done.signature}")
