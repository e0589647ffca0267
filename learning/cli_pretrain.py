"""The command `pretrain`: an encoder learns from the crops of a site, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, show_progress, start_output
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.site_data import open_site

if TYPE_CHECKING:  # torch is slow to import
    from reid_pipeline.learning.pretrain import Pretrained, PretrainJob
    from reid_pipeline.storage.model_card import Model

LEARNING: Final = "learning"  # folder of a site
_UNFINISHED: Final = "pretraining"  # folder in it, renamed to the model's name in the end


def pretrain(
    cameras: Annotated[Path | None, typer.Argument(help="The site's cameras.yaml.", metavar="CAMERAS.YAML")] = None,
    data: Annotated[Path | None, typer.Option(help="Or its data folder.", metavar="DIR")] = None,
    recipe: Annotated[
        str, typer.Option(help="A YAML file, or site, site-vit-s or luperson-r50.", metavar="NAME")
    ] = "site",
    encoder: Annotated[
        str | None, typer.Option(help="Encoder to begin with; else random weights.", metavar="NAME")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Minutes to learn for at most; else the recipe's epochs.", metavar="MINUTES")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoint, log and model; else all stays with the site.", metavar="DIR"),
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make an encoder from the site's own crops without labels; go on where an earlier call was broken off."""
    start_output(json_output=json_output, verbose=verbose)
    if budget is not None and not 0 < budget < 1e6:
        raise InputError(f"--budget: {budget:g}: expected minutes above 0")
    with open_site(cameras, data) as site:
        data_dir = site.database.data_dir
    with needs_learning("pretrain needs PyTorch"):
        from reid_pipeline.learning.distributed import join_ranks
        from reid_pipeline.learning.pretrain import PretrainJob
        from reid_pipeline.learning.pretrain_recipe import find_pretrain_recipe

    budget_s = None if budget is None else 60.0 * budget
    job = PretrainJob(find_pretrain_recipe(recipe), seed, budget_s, _find(encoder, data_dir))
    with join_ranks():
        made = _pretrain(job, data_dir, out)
    if made is None:
        return
    fields = {"model": made.model.name, "path": str(made.model.graph.parent), **_figures(made)}
    if json_output:
        print_json(fields)
    else:
        print(f"{made.model.name} is in {made.model.graph.parent}")


def _find(encoder: str | None, data_dir: Path) -> Model | None:
    """The encoder to begin with."""
    if encoder is None:
        return None
    from reid_pipeline.pipeline.model_names import find_model
    from reid_pipeline.storage.model_card import load_model

    return load_model(find_model(encoder, "encoder", data_dir))


def _pretrain(job: PretrainJob, data_dir: Path, out: Path | None) -> Pretrained | None:
    """Reads the corpus and learns; of several processes only the first shows progress and gets a result."""
    from reid_pipeline.learning.material_reader import read_material
    from reid_pipeline.learning.pretrain import pretrain as learn
    from reid_pipeline.storage.model_registry import SITE_MODELS

    card = job.input_card()
    work = out or data_dir / LEARNING / _UNFINISHED
    models = out or data_dir / SITE_MODELS
    with _noted(job, data_dir, own=out is None) as tell:
        with _show("reading the corpus") as progress:
            material = read_material(data_dir, (card.height, card.width), progress)
        with _show("pre-training") as progress:
            made = learn(material, job, work, models, lambda at: progress(at.step, at.steps))
        if made is not None:
            tell(made)
    if made is not None and out is None:
        work.rename(data_dir / LEARNING / made.model.name)
    return made


@contextmanager
def _noted(job: PretrainJob, data_dir: Path, *, own: bool) -> Iterator[Callable[[Pretrained], None]]:
    """Notes it in the site's log of learning; where all of it is the site's ``own``, nothing else learns there."""
    from reid_pipeline.learning.distributed import rank
    from reid_pipeline.learning.run_record import alone, recorded
    from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningStatus

    if rank() > 0:
        yield lambda _: None
        return
    parent = None if job.start is None else job.start.identity
    told = {"budget_s": job.budget_s, "recipe": job.recipe.model_dump(mode="json")}
    with (
        alone(data_dir) if own else nullcontext(),
        recorded(data_dir, LearningKind.PRETRAIN, job.seed, told, parent) as tell,
    ):
        yield lambda made: tell(LearningEnd(LearningStatus.DONE, made.model.name, figures=_figures(made)))


def _figures(made: Pretrained) -> dict[str, object]:
    return {name: getattr(made, name) for name in ("crops", "tracklets", "steps", "epochs", "queue", "loss")}


@contextmanager
def _show(label: str) -> Iterator[Callable[[int, int], None]]:
    from reid_pipeline.learning.distributed import rank

    if rank() > 0:
        yield lambda done, total: None
        return
    with show_progress(label) as progress:
        yield progress
