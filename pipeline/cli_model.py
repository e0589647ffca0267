"""The group `model`: the registry of models and which encoder serves a site."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from reid_pipeline.pipeline.cli_extras import needs_learning
from reid_pipeline.pipeline.cli_identity import ActorOption, ReasonOption
from reid_pipeline.pipeline.cli_output import (
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)
from reid_pipeline.storage.errors import ModelError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.model_import import ImportOptions
    from reid_pipeline.pipeline.serving import SiteModels
    from reid_pipeline.storage.model_card import Model
    from reid_pipeline.storage.model_registry import Entry

DataOption = Annotated[Path | None, typer.Option("--data", help="The data folder of a site.", metavar="DIR")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Or the cameras.yaml of the site.", metavar="FILE")]
NameArgument = Annotated[str, typer.Argument(help="A name in the registry, or a path.", metavar="NAME|PATH")]

app = typer.Typer(no_args_is_help=True)

_ULTRALYTICS: Final = re.compile(r"yolo\d+[a-z0-9-]*")
_CHECKPOINT_READER: Final = "reid_pipeline.learning.checkpoint_import"
_MEGABYTE: Final = 1_000_000


class Task(StrEnum):
    """What a model is for."""

    REID = "reid"
    DETECT = "detect"


class Colour(StrEnum):
    """Order of the channels that a model wants."""

    RGB = "RGB"
    BGR = "BGR"


class ExportFormat(StrEnum):
    """How `export` writes the graph."""

    FOLDER = "folder"
    ONNX = "onnx"
    OPENVINO = "openvino"


class ExportPrecision(StrEnum):
    """How `export` stores the weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@app.command("list")
def list_models(data: DataOption = None, json_output: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List every model on this machine, and those that can be pulled."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.storage.model_catalogue import read_catalogue
    from reid_pipeline.storage.model_registry import BUNDLED, ModelRegistry

    registry = ModelRegistry(data)
    entries = registry.entries()
    promoted = _promoted(data)
    rows = [_entry_fields(entry, promoted) for entry in entries]
    here = {entry.name for entry in entries}
    pullable = [name for name in read_catalogue() if name not in here]
    missing = [name for name in BUNDLED if name not in here]
    if json_output:
        print_json({"models": rows, "pullable": pullable, "bundled_missing": missing})
        return
    _print_entries(rows)
    if missing:
        print(f"Missing from this installation: {', '.join(missing)}")
    if pullable:
        print(f"reid-pipeline model pull: {', '.join(pullable)}, or an Ultralytics name such as yolo26n")


@app.command()
def card(
    model: NameArgument, data: DataOption = None, json_output: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Print the card of a model whose files were checked against it."""
    start_output(json_output=json_output, verbose=verbose)
    found = _load(model, data)
    if json_output:
        print_json(_card_fields(found))
    else:
        print_table(("", found.name), _card_rows(found))


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A name of `model list`, or of Ultralytics.")],
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Download a model into the registry; a broken download goes on where it stopped.

    REID_MODEL_MIRROR replaces scheme and host of every address, HTTPS_PROXY names a proxy.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.storage.model_card import load_model
    from reid_pipeline.storage.model_catalogue import pull_model, read_catalogue
    from reid_pipeline.storage.model_registry import ModelRegistry

    registry, wanted = ModelRegistry(), read_catalogue().get(name)
    if (registry.home / name).is_dir():
        _print_added("here already", load_model(registry.home / name), json_output)
    elif wanted is not None:
        with show_progress(name) as progress:
            model = pull_model(name, wanted, registry, progress)
        _print_added("pulled", model, json_output)
    elif _ULTRALYTICS.fullmatch(name):
        _print_added("pulled", _pull_ultralytics(name, registry.home / name), json_output)
    else:
        raise ModelError(
            f"{name}: not in the catalogue: expected one of {', '.join(read_catalogue())}, or an "
            "Ultralytics name such as yolo26n"
        )


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A model folder, a graph (.onnx, .xml), or a checkpoint of PyTorch.")],
    name: Annotated[str | None, typer.Option(help="Its name in the registry.")] = None,
    task: Annotated[Task | None, typer.Option(help="What it is for, where the model does not tell.")] = None,
    arch: Annotated[
        str | None, typer.Option(help="Architecture of a checkpoint: a name of torchvision or timm.")
    ] = None,
    colour: Annotated[
        Colour | None, typer.Option("--input", help="Order of the channels that an encoder wants.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Height and width that it wants.", metavar="HxW")] = None,
    normalise: Annotated[
        str | None, typer.Option(help="imagenet, lup, lupnl, half, unit (0-1) or none (0-255).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights.")] = None,
    trained_on: Annotated[list[str] | None, typer.Option(help="A data set; may be given again.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load a pickle, which can run any code.")] = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put a model into the registry, after it was loaded and used once."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.model_import import ImportOptions, import_model
    from reid_pipeline.storage.model_registry import ModelRegistry

    options = ImportOptions(
        name=name,
        task=_task(task),
        licence=licence,
        trained_on=tuple(trained_on or ()),
        colour=None if colour is None else ("RGB" if colour is Colour.RGB else "BGR"),
        size=_parse_size(size),
        normalise=normalise,
        arch=arch,
        trust=trust,
    )
    model = import_model(path, options, ModelRegistry(), _read_checkpoint)
    _print_added("imported", model, json_output)


@app.command()
def export(
    model: NameArgument,
    out: Annotated[Path, typer.Option(help="The model folder to write.", metavar="DIR")],
    form: Annotated[ExportFormat, typer.Option("--format", help="Of the graph.")] = ExportFormat.FOLDER,
    precision: Annotated[ExportPrecision, typer.Option(help="Of the weights.")] = ExportPrecision.FP32,
    calibration: Annotated[
        Path | None, typer.Option(help="For int8: pictures such as the site sees, crops or frames.", metavar="DIR")
    ] = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a model folder that works elsewhere; int8 is always OpenVINO's format."""
    start_output(json_output=json_output, verbose=verbose)
    if (calibration is None) == (precision is ExportPrecision.INT8):
        raise ModelError("--calibration: expected with --precision int8, and only there")
    from reid_pipeline.pipeline.model_export import Format, Precision, export_int8, export_model

    source = _load(model, data)
    if calibration is not None:
        written = export_int8(source, out, calibration)
    else:
        written = export_model(source, out, Format(form.value), Precision(precision.value))
    _print_added("exported", written, json_output)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="A model adapted from the site's encoder.", metavar="NAME|PATH")],
    data: DataOption = None,
    config: ConfigOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a model serve a site from its next run on."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.serving import open_site_models

    entry = open_site_models(data, config).promote(model, reason, actor)
    if json_output:
        print_json({"action": "promote", "model": entry.name, "serving": entry.hash, "previous": entry.previous})
    else:
        print(f"{entry.name} serves from the next run on.")


@app.command()
def rollback(
    data: DataOption = None,
    config: ConfigOption = None,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take the last promotion back."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.serving import open_site_models

    site = open_site_models(data, config)
    undone, serving = site.roll_back(reason, actor)
    if json_output:
        print_json({"action": "rollback", "model": undone.name, "serving": serving, "previous": undone.hash})
    else:
        print(f"{undone.name} no longer serves; from the next run on: {_name_of(site, serving)}.")


def _read_checkpoint(path: Path, folder: Path, name: str, options: ImportOptions) -> Model:
    """Reaches PyTorch by name only: nothing in this package imports it."""
    with needs_learning(f"{path}: checkpoints need PyTorch"):
        reader = importlib.import_module(_CHECKPOINT_READER)
    model: Model = reader.import_checkpoint(path, folder, name, options)
    return model


def _pull_ultralytics(name: str, folder: Path) -> Model:
    import shutil

    from reid_pipeline.pipeline.ultralytics_export import export_detector
    from reid_pipeline.storage.model_card import load_model
    from reid_pipeline.storage.model_registry import ModelRegistry

    exported = export_detector(name)
    with ModelRegistry().adding(folder.name) as work:
        shutil.copytree(exported, work, dirs_exist_ok=True)
    return load_model(folder)


def _load(model: str, data: Path | None) -> Model:
    from reid_pipeline.storage.model_card import load_model
    from reid_pipeline.storage.model_registry import ModelRegistry

    return load_model(ModelRegistry(data).find(model))


def _promoted(data: Path | None) -> list[str]:
    """Hashes of the promoted models of a site, the one that serves last."""
    if data is None:
        return []
    from reid_pipeline.pipeline.serving import open_site_models

    return [entry.hash for entry in open_site_models(data, None).promoted()]


def _name_of(site: SiteModels, model_hash: str) -> str:
    entry = site.registry.find_hash(model_hash)
    return entry.name if entry else f"the configured encoder ({model_hash[:12]})"


def _entry_fields(entry: Entry, promoted: list[str]) -> dict[str, object]:
    model = entry.model
    identity = model.identity if model else None
    about = model.card if model else None
    return {
        "name": entry.name,
        "task": about.task if about else None,
        "licence": model.licence if model else None,
        "size_mb": round(entry.size_bytes / _MEGABYTE, 2),
        "where": entry.place,
        "path": str(entry.folder),
        "hash": identity,
        "parent": about.parent if about else None,
        "promoted": identity in promoted,
        "serving": bool(promoted) and identity == promoted[-1],
        "error": entry.error,
    }


def _print_entries(rows: list[dict[str, object]]) -> None:
    table = []
    for row in rows:
        mark = "serving" if row["serving"] else "promoted" if row["promoted"] else ""
        parent = str(row["parent"] or "")[:12]
        state = f"broken: {row['error']}" if row["error"] else mark
        cells = (row["name"], row["task"] or "", row["licence"] or "", row["size_mb"], row["where"], parent, state)
        table.append([str(cell) for cell in cells])
    print_table(("name", "task", "licence", "MB", "where", "parent", ""), table)


def _card_fields(model: Model) -> dict[str, object]:
    fields = model.card.model_dump(mode="json") if model.card else {"name": model.name, "licence": model.licence}
    return {**fields, "hash": model.identity, "path": str(model.graph.parent), "files": dict(model.files)}


def _card_rows(model: Model) -> list[tuple[str, str]]:
    rows = []
    for key, value in _card_fields(model).items():
        if key in {"sha256", "name"} or value in (None, [], {}):
            continue
        rows.append((key, _shorten(value)))
    if model.card is None:
        rows.append(("card", "none: `reid-pipeline model import` makes one"))
    return rows


def _shorten(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_shorten(entry)}" for key, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return _join(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _join(values: Iterable[object]) -> str:
    return ", ".join(_shorten(value).replace("\n", ", ") for value in values)


def _print_added(done: str, model: Model, json_output: bool) -> None:
    folder = model.graph.parent
    if json_output:
        print_json({"done": done, "path": str(folder), **_card_fields(model)})
    else:
        print(f"{model.name}: {done}, in {folder}; licence {model.licence}")


def _task(task: Task | None) -> Literal["reid", "detect"] | None:
    if task is None:
        return None
    return "reid" if task is Task.REID else "detect"


def _parse_size(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if match is None:
        raise ModelError(f"--size: {size}: expected height and width in pixels, such as 256x128")
    return int(match[1]), int(match[2])
