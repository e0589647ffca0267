"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_output import (
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)

if TYPE_CHECKING:
    from reid_pipeline.pipeline.demo import DemoResult, Journey
    from reid_pipeline.pipeline.metrics_tracking import TrackingScores

_SHOWN = ("IDF1", "HOTA", "MOTA", "IDSW")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the virtual site and what is found in it.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another place with other people.")] = 0,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render a virtual site, follow the people in it, and score that against the truth."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.demo import run_demo

    with show_progress("frames rendered") as progress:
        result = run_demo(out, seed, progress)
    if json_output:
        print_json(result.as_dict())
    else:
        _print(result)


def _print(result: DemoResult) -> None:
    rows = [_row(name, scores) for name, scores in result.cameras.items()]
    print_table(("", *_SHOWN), [*rows, _row("all cameras", result.site)])
    print_table(("identity", "journey"), [(str(journey.identity), _story(journey)) for journey in result.journeys])
    print(f"{result.people} people walked there, {len(result.journeys)} were found; {result.fps:.0f} frames/s.")
    print(f"The pictures, with boxes and identities: {result.folder / 'data' / 'videos'}")


def _row(name: str, scores: TrackingScores) -> tuple[str, ...]:
    values = scores.as_dict()
    return (name, *(f"{values[key]:.3f}" if key != "IDSW" else f"{values[key]:.0f}" for key in _SHOWN))


def _story(journey: Journey) -> str:
    return ", ".join(f"{visit.camera} {_clock(visit.since_s)}-{_clock(visit.until_s)}" for visit in journey.visits)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
