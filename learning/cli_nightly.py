"""The command `nightly`: a site's encoder made better unattended, once or every night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Annotated, Final

import typer

from reid_pipeline.learning.cli_adapt import check_learning
from reid_pipeline.learning.errors import Stopped
from reid_pipeline.learning.night_service import SystemClock, Tally, Timetable, serve_nights, stopped_by_signals
from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, show_progress, start_output
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.serving import open_site_models
from reid_pipeline.pipeline.site_data import open_site

Night = Callable[[], dict[str, object]]

_COPIES: Final = 3  # of the crops in memory: all, those learnt from and those held out; and what learning needs beside


def nightly(
    config: Annotated[Path | None, typer.Argument(help="The site's cameras.yaml.", metavar="CAMERAS.YAML")] = None,
    data: Annotated[Path | None, typer.Option(help="Or its data folder.", metavar="DIR")] = None,
    at: Annotated[
        str | None, typer.Option(help="Every night at this time of the site, until SIGTERM.", metavar="HH:MM")
    ] = None,
    method: Annotated[str, typer.Option(help="site, or scl: selective contrastive learning as published.")] = "site",
    encoder: Annotated[
        str | None, typer.Option(help="Encoder to start from; else the configured one.", metavar="NAME")
    ] = None,
    budget: Annotated[float, typer.Option(help="Minutes to learn for; examining comes on top.")] = 60.0,
    memory: Annotated[
        float | None, typer.Option(help="GB of memory; else half of the machine's.", metavar="GB")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Adapted models to keep for a rollback.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the encoder of a site better unattended: learn, examine, promote or not, tidy up; now or every night."""
    start_output(json_output=json_output, verbose=verbose)
    check_learning(method, budget)
    if memory is not None and not 0.5 <= memory < 1e5:
        raise InputError(f"--memory: {memory:g}: expected GB, at least 0.5")
    begins = None if at is None else _parse_time_of_day(at)
    with open_site(config, data) as found:
        timezone = found.timezone
    with needs_learning("nightly needs PyTorch"):
        from reid_pipeline.learning.adapt_command import AdaptOptions
        from reid_pipeline.learning.nightly import NightOptions, run_night

    adapting = AdaptOptions("scl" if method == "scl" else "site", encoder, 60.0 * budget, seed, _most_bytes(memory))
    options = NightOptions(adapting, keep)

    def night() -> dict[str, object]:
        report = run_night(open_site_models(data, config), options, show_progress)
        if not json_output:
            print(f"{'promoted' if report['promoted'] else 'not promoted'}: {report['reason']}", flush=True)
        return report

    told = _run_once(night) if begins is None else _serve(night, Timetable(begins, timezone))
    if json_output:
        print_json(told)


def _run_once(night: Night) -> dict[str, object]:
    with stopped_by_signals():
        try:
            return night()
        except Stopped as signal:
            return {"model": None, "path": None, "promoted": False, "reason": f"stopped by {signal}"}


def _serve(night: Night, table: Timetable) -> dict[str, object]:
    tally = Tally()
    with stopped_by_signals():
        try:
            serve_nights(night, table, tally, SystemClock())
        except (Stopped, KeyboardInterrupt):
            return {"nights": tally.nights, "failed": tally.failed}


def _parse_time_of_day(text: str) -> time:
    try:
        hours, minutes = text.split(":")
        return time(int(hours), int(minutes))
    except ValueError as error:
        raise InputError(f"--at: {text}: expected a time of the day such as 02:00") from error


def _most_bytes(memory: float | None) -> int:
    """Of the crops, where all of the learning may take ``memory`` GB, or half of the machine's."""
    import psutil

    return int((psutil.virtual_memory().total / 2 if memory is None else memory * 1e9) / _COPIES)
