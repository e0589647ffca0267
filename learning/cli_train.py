"""The command `train`: a bundled model from its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, show_progress, start_output


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe: a YAML file, or a name such as site-zero.", metavar="RECIPE")
    ],
    data: Annotated[Path, typer.Option(help="Folder that the paths of the recipe stand in.", metavar="DIR")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, the log and the model.", metavar="DIR")],
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a model from its recipe; go on where an earlier call was broken off."""
    start_output(json_output=json_output, verbose=verbose)
    with needs_learning("train needs PyTorch"):
        from reid_pipeline.learning.recipe import find_recipe, load_recipe
        from reid_pipeline.learning.train_recipe import train_recipe

    wanted = load_recipe(find_recipe(recipe))
    with show_progress(wanted.name) as progress:
        model = train_recipe(wanted, data, out, lambda at: progress(at.step, at.steps))
    scores = model.card.scores if model.card else ()
    if json_output:
        print_json({"model": model.name, "path": str(model.graph.parent), "scores": list(scores)})
    else:
        print(f"{model.name} is in {model.graph.parent}")
