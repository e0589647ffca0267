"""The command `adapt`: the encoder of a site learns from the site's own crops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, show_progress, start_output
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.serving import open_site_models

METHODS = ("site", "scl")


def adapt(
    config: Annotated[Path | None, typer.Argument(help="The site's cameras.yaml.", metavar="CAMERAS.YAML")] = None,
    data: Annotated[Path | None, typer.Option(help="Or its data folder.", metavar="DIR")] = None,
    method: Annotated[str, typer.Option(help="site, or scl: selective contrastive learning as published.")] = "site",
    encoder: Annotated[
        str | None, typer.Option(help="Encoder to start from; else the configured one.", metavar="NAME")
    ] = None,
    budget: Annotated[float, typer.Option(help="Minutes to learn for.", metavar="MINUTES")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Learn the looks of a site from its own crops; promote the encoder only if it is shown to be better."""
    start_output(json_output=json_output, verbose=verbose)
    check_learning(method, budget)
    with needs_learning("adapt needs PyTorch"):
        from reid_pipeline.learning.adapt_command import AdaptOptions, adapt_site_encoder
        from reid_pipeline.learning.run_record import alone

    options = AdaptOptions("scl" if method == "scl" else "site", encoder, 60.0 * budget, seed)
    site = open_site_models(data, config)
    with alone(site.data_dir):
        report = adapt_site_encoder(site, options, show_progress)
    if json_output:
        print_json(report)
    else:
        print(f"{'promoted' if report['promoted'] else 'not promoted'}: {report['model']}: {report['reason']}")


def check_learning(method: str, budget: float) -> None:
    """Checks what `adapt` and `nightly` are told of the learning.

    Args:
        method: See `METHODS`.
        budget: Minutes.

    Raises:
        InputError: One of them cannot be.
    """
    if method not in METHODS:
        raise InputError(f"--method: {method}: expected one of {', '.join(METHODS)}")
    if not 0 < budget <= 24 * 60:
        raise InputError(f"--budget: {budget:g}: expected minutes above 0, at most 1440")
