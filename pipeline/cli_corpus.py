"""The group `corpus`: the unlabelled crops that the encoder learns from."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    CamerasArgument,
    DataOption,
    ReasonOption,
    TimeOption,
    check_camera,
)
from reid_pipeline.pipeline.cli_output import (
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.corpus_import import ImportCounts
    from reid_pipeline.pipeline.corpus_video import VideoParts
    from reid_pipeline.pipeline.site_data import SiteData
    from reid_pipeline.storage.audit_log import Action
    from reid_pipeline.storage.corpus_records import CorpusFilter, CorpusStats

PARTLY: Final = 3

CameraOption = Annotated[
    list[str] | None, typer.Option(help="Only of this camera; may be given more than once.", metavar="NAME")
]

app = typer.Typer(no_args_is_help=True)


@app.command()
def stats(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    camera: CameraOption = None,
    since: TimeOption = None,
    until: TimeOption = None,
    plot: Annotated[Path | None, typer.Option(help="Draws the figures into this file.", metavar="FILE.svg")] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say what is in the corpus: crops by camera and day, their sizes and qualities, crops per tracklet."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.corpus_plot import draw_corpus
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.corpus_store import CorpusStore
    from reid_pipeline.storage.permissions import Permission

    if plot is not None and plot.suffix.lower() != ".svg":
        raise InputError(f"--plot: {plot}: expected a file named .svg")
    with open_site(cameras, data) as site:
        site.access.require_all_cameras(Permission.SEE)
        found = CorpusStore(site.database).stats(_wanted(site, camera, since, until))
        if plot is not None:
            _write(plot, draw_corpus(found, f"{site.name}: {found.crops:,} crops of {found.tracklets:,} tracklets"))
    if json_output:
        print_json(_fields(found))
    else:
        _print_stats(found)


@app.command("import")
def import_crops(
    path: Annotated[
        Path,
        typer.Argument(help="A folder of crops, a set with Market-1501's names, a video, or a folder of videos."),
    ],
    cameras: CamerasArgument = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The data folder; made a site where it is none.", metavar="DIR")
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="Name of the camera; of a set of several, what their names begin with.", metavar="NAME"),
    ] = None,
    fps: Annotated[
        float, typer.Option(help="Frames a second to look at in a video.", metavar="N", min=0.1, max=1000)
    ] = 10.0,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Add crops from elsewhere. What is there already adds nothing; no name or identity is kept.

    In a plain folder each picture is a tracklet, each folder in it is one, and in a folder of folders the outer ones
    are cameras. In a video people are detected and followed, and good crops of them kept, as in a run.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.corpus_import import import_folder
    from reid_pipeline.pipeline.corpus_video import import_videos, list_videos
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action
    from reid_pipeline.storage.corpus_store import CorpusStore
    from reid_pipeline.storage.permissions import Permission

    _check_name(camera)
    if not path.exists():
        raise InputError(f"{path}: does not exist; expected a folder of crops, a video or a folder of videos")
    is_video = bool(list_videos(path))
    with open_site(cameras, data, create=True, actor=actor) as site:
        site.access.require_all_cameras(Permission.KEEP)
        _note(site, Action.IMPORT, reason, folder=str(path.resolve()), camera=camera)
        store = CorpusStore(site.database)
        store.recover()
        now_us = time.time_ns() // 1000
        with show_progress("frames" if is_video else "crops") as progress:
            if is_video:
                counts = import_videos(path, store, _video_parts(site, fps), camera, now_us, progress)
            else:
                counts = import_folder(path, store, camera, now_us, progress, blur_heads=site.blurs_heads)
    _print_counts(counts, json_output)
    if counts.unreadable:
        raise typer.Exit(PARTLY)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    camera: CameraOption = None,
    since: TimeOption = None,
    until: TimeOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the crops as files, <camera>/<run>-<tracklet>/<time>.jpg, and manifest.csv with what is known of them."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.corpus_export import export_corpus
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action
    from reid_pipeline.storage.corpus_store import CorpusStore
    from reid_pipeline.storage.permissions import Permission

    with open_site(cameras, data, actor=actor) as site, show_progress("crops") as progress:
        site.access.require_all_cameras(Permission.EXPORT)
        wanted = _wanted(site, camera, since, until)
        span = {"since_us": wanted.since_us, "until_us": wanted.until_us}
        _note(site, Action.EXPORT, reason, folder=str(folder.resolve()), cameras=camera, **span)
        tracklets, crops = export_corpus(CorpusStore(site.database), folder, wanted, progress)
    if json_output:
        print_json({"path": str(folder), "tracklets": tracklets, "crops": crops})
    else:
        print(f"{crops} crops of {tracklets} tracklets are in {folder}")


def _wanted(site: SiteData, cameras: list[str] | None, since: str | None, until: str | None) -> CorpusFilter:
    from reid_pipeline.pipeline.site_data import parse_span_us
    from reid_pipeline.storage.corpus_records import CorpusFilter

    for camera in cameras or ():
        check_camera(site, camera)
    since_us, until_us = parse_span_us(site, since, until)
    return CorpusFilter(tuple(cameras or ()), since_us, until_us)


def _note(site: SiteData, action: Action, reason: str, **about: object) -> None:
    from reid_pipeline.storage.audit_log import AuditLog

    known = {key: value for key, value in about.items() if value is not None}
    AuditLog(site.database).note(site.access.name, action, reason, {"what": "corpus", **known})


def _check_name(camera: str | None) -> None:
    from reid_pipeline.pipeline.corpus_import import camera_name

    if camera is not None and camera_name(camera) != camera:
        raise InputError(f"--camera: {camera}: expected 1 to 64 letters (a-z), digits, _ and -")


def _video_parts(site: SiteData, fps: float) -> VideoParts:
    """What the site is configured with; a data folder alone knows that from its last run."""
    from reid_pipeline.pipeline.corpus_video import VideoParts
    from reid_pipeline.pipeline.datatypes import WEAK_SCORE
    from reid_pipeline.pipeline.models import build_detector, build_encoder
    from reid_pipeline.pipeline.tracker_settings import TrackerSettings

    data_dir = site.database.data_dir
    detector = build_detector(str(site.settings.get("detector.model", "bundled")), WEAK_SCORE, data_dir=data_dir)
    encoder = build_encoder(str(site.settings.get("encoder.model", "bundled")), data_dir)
    return VideoParts(detector, encoder, TrackerSettings(), fps, site.blurs_heads)


def _print_counts(counts: ImportCounts, json_output: bool) -> None:
    if json_output:
        print_json(asdict(counts))
        return
    notes = {
        "were there already": counts.known,
        "videos were there already": counts.known_videos,
        "junk and distractors left out": counts.left_out,
        "files could not be read to their end": counts.unreadable,
    }
    more = "".join(f"; {number} {text}" for text, number in notes.items() if number)
    print(f"{counts.crops} crops of {counts.tracklets} tracklets are new{more}")


def _fields(found: CorpusStats) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    return {
        **asdict(found),
        "first": None if found.first_us is None else iso_time(found.first_us),
        "last": None if found.last_us is None else iso_time(found.last_us),
        "cameras": {each.camera: {k: v for k, v in asdict(each).items() if k != "camera"} for each in found.cameras},
        "days": {_day(day): count for day, count in found.days},
    }


def _print_stats(found: CorpusStats) -> None:
    print(
        f"{found.crops:,} crops of {found.tracklets:,} tracklets, {found.bytes / 1e6:,.1f} MB; "
        f"{found.disk_bytes / 1e6:,.1f} MB of files"
    )
    rows = [(e.camera, f"{e.tracklets:,}", f"{e.crops:,}", f"{e.bytes / 1e6:,.1f}") for e in found.cameras]
    print_table(("camera", "tracklets", "crops", "MB"), rows)
    print_table(("day", "crops"), [(_day(day), f"{count:,}") for day, count in found.days])
    print_table(("crops", "tracklets"), [(str(n), f"{count:,}") for n, count in found.crops_per_tracklet])


def _day(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--plot: {path}: cannot be written, {error.strerror}; expected a file to write") from error
