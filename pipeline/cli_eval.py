"""The group `eval`: scores against a ground truth, computed by `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_output import (
    BlurHeadsOption,
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)

SiteModels = Annotated[Path | None, typer.Option("--data", help="Search the models of this site too.", metavar="DIR")]

MIN_CONFIDENCE = 0.001  # average precision needs the weak detections too

GroundTruth = Annotated[Path, typer.Option("--gt", help="The ground truth.", metavar="FILE")]
Prediction = Annotated[Path, typer.Option("--pred", help="What the pipeline wrote.", metavar="FILE")]
Match = Annotated[str, typer.Option(help="When two boxes match: overlap (iou), or distance of the feet (foot:PIXELS).")]

app = typer.Typer(no_args_is_help=True)


DropIgnored = Annotated[bool, typer.Option("--drop-ignored", help="Leave out ground truth with conf 0, as for MOT15.")]


@app.command()
def detect(
    images: Annotated[Path, typer.Option(help="Folder of .jpg or .png.", metavar="DIR")],
    labels: Annotated[Path, typer.Option(help="Folder of YOLO text labels.", metavar="DIR")],
    model: Annotated[str, typer.Option(help="The detector: a path or a name.", metavar="NAME")],
    data: SiteModels = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score a detector: AP, precision and recall for persons, 0 to 1."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.evaluate import evaluate_detect
    from reid_pipeline.pipeline.models import build_detector

    detector = build_detector(model, MIN_CONFIDENCE, data_dir=data)
    with show_progress("images") as progress:
        scores = evaluate_detect(images, labels, detector, progress=progress)
    _print_scores(scores.as_dict(), json_output)


@app.command()
def reid(
    query: Annotated[Path, typer.Option(help="Folder of crops, named as in Market-1501.", metavar="DIR")],
    gallery: Annotated[Path, typer.Option(help="Folder of crops to find them in.", metavar="DIR")],
    encoder: Annotated[str, typer.Option(help="The encoder: a path or a name.", metavar="NAME")],
    blur_heads: BlurHeadsOption = False,
    data: SiteModels = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score an encoder by the Market-1501 protocol: mAP, ranks and mINP in percent."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.evaluate import evaluate_reid
    from reid_pipeline.pipeline.models import build_encoder

    built = build_encoder(encoder, data)
    with show_progress("crops") as progress:
        scores = evaluate_reid(query, gallery, built, progress, blur_heads=blur_heads)
    _print_scores(scores.as_dict(), json_output)


@app.command()
def mot(
    gt: GroundTruth,
    pred: Prediction,
    max_frame: Annotated[int | None, typer.Option(help="Leave out frames after this one.", metavar="N")] = None,
    match: Match = "iou",
    drop_ignored: DropIgnored = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score the tracks of one camera: HOTA, IDF1, MOTA and their parts, 0 to 1."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.evaluate import evaluate_mot

    _print_scores(evaluate_mot(gt, pred, max_frame, match, drop_ignored=drop_ignored).as_dict(), json_output)


@app.command()
def mtmc(
    gt: GroundTruth,
    pred: Prediction,
    match: Match = "iou",
    drop_ignored: DropIgnored = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score the identities of a site, one assignment over all cameras."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.evaluate import evaluate_mtmc

    _print_scores(evaluate_mtmc(gt, pred, match, drop_ignored=drop_ignored).as_dict(), json_output)


def _print_scores(scores: Mapping[str, float], json_output: bool) -> None:
    if json_output:
        print_json(scores)
    else:
        print_table(("score", "value"), [(name, _shorten(value)) for name, value in scores.items()])


def _shorten(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"
