"""The command `bench learning`, part of the group `bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, start_output


def bench_learning(
    tracklets: Annotated[int, typer.Option(min=100, help="How many are grouped to people.", metavar="N")] = 100_000,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Steps a second of `adapt` with the bundled encoder, beside Cluster Contrast; grouping N tracklets to people."""
    start_output(json_output=json_output, verbose=verbose)
    with needs_learning("bench learning needs PyTorch"):
        from reid_pipeline.learning.bench_learning import bench_learning_command

    raise typer.Exit(bench_learning_command(tracklets, json_output=json_output))
