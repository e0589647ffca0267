"""The command `simulate`: writes a virtual site, of which all is known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, show_progress, start_output


def simulate(
    out: Annotated[Path, typer.Option(help="Where to write it: a new or empty folder.", metavar="DIR")],
    cameras: Annotated[int, typer.Option(help="Cameras; the first two overlap.", metavar="C")] = 3,
    people: Annotated[int, typer.Option(help="People at the site.", metavar="P")] = 10,
    seconds: Annotated[float, typer.Option(help="Length of each video.", metavar="S")] = 40.0,
    fps: Annotated[float, typer.Option(help="Frames per second.", metavar="F")] = 8.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same site.", metavar="N")] = 1,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render a virtual site: videos, the truth about them, and a cameras.yaml to run on it."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.virtual_files import SETTINGS_FILE, check_folder, write_site
    from reid_pipeline.pipeline.virtual_site import build_site, overlaps

    start_s = time.monotonic()
    check_folder(out)
    site = build_site(cameras, people, seconds, fps, seed)
    with show_progress("frames") as progress:
        written = write_site(site, out, progress=progress)
    if json_output:
        fields: dict[str, object] = {
            "out": str(out),
            "settings": str(out / SETTINGS_FILE),
            "cameras": [camera.name for camera in site.cameras],
            "overlaps": [list(pair) for pair in overlaps(site)],
            "people": people,
            "people_seen": written.seen,
            "frames": written.frames,
            "boxes": written.boxes,
            "seed": seed,
            "wall_s": round(time.monotonic() - start_s, 3),
        }
        print_json(fields)
    else:
        size = f"{cameras} cameras, {site.frames} frames each, {written.seen} people in {written.boxes} boxes"
        print(f"Wrote {out}: {size}.")
        print(f"To run on it: reid-pipeline run {out / SETTINGS_FILE}")
