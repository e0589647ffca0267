"""The commands `run` and `bench`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, start_output

bench = typer.Typer(no_args_is_help=True)


class Pace(StrEnum):
    """How fast files are read."""

    MAX = "max"
    REALTIME = "realtime"


def run(
    cameras: Annotated[Path, typer.Argument(help="The cameras.yaml of the site.", metavar="CAMERAS.YAML")],
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames of each camera.")] = None,
    pace: Annotated[Pace, typer.Option(help="Files as fast as possible, or as fast as they were taken.")] = Pace.MAX,
    again: Annotated[bool, typer.Option("--again", help="Replace what these files gave in an earlier run.")] = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Follow the people in the cameras of a site.

    Files are read to their end, streams until the run is stopped. A second run on the same files goes on after the last
    frame that was stored.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.run_command import RunOptions, run_command

    options = RunOptions(max_frames=max_frames, pace=pace.value, again=again, json_output=json_output)
    raise typer.Exit(run_command(cameras, options))


@bench.callback()
def _bench() -> None:
    """Measure the speed of this machine."""


@bench.command("pipeline")
def bench_pipeline(
    peer: Annotated[bool, typer.Option(help="Measure BoxMOT too, installed into a place of its own.")] = True,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Frames a second of whole runs, beside the detector alone and BoxMOT, on the footage in REID_TEST_DATA."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.bench import bench_command

    raise typer.Exit(bench_command(json_output=json_output, with_peer=peer))


@bench.command("association")
def bench_association(
    prototypes: Annotated[int, typer.Option(min=1_000, help="How many are known.", metavar="N")] = 1_000_000,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Decisions a second about who somebody is, on one core, among N prototypes of 20 cameras."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.bench_association import bench_association_command

    raise typer.Exit(bench_association_command(prototypes, json_output=json_output))


@bench.command("search")
def bench_search(
    n: Annotated[int, typer.Option("--n", min=1_000, help="How many embeddings there are.", metavar="N")] = 1_000_000,
    dim: Annotated[int, typer.Option(min=2, help="Numbers of each.", metavar="D")] = 256,
    beside: Annotated[
        str | None,
        typer.Option(help="A PostgreSQL with pgvector, as postgresql://..., to ask the same.", metavar="URL"),
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Milliseconds and recall of searches in the vector index, among N embeddings, under filters."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.bench_search import bench_search_command

    raise typer.Exit(bench_search_command(n, dim, beside=beside, json_output=json_output))
