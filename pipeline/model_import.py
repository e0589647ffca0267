"""Models from elsewhere, checked and put into the registry: folders with a card, bare graphs, PyTorch checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import openvino as ov

from reid_pipeline.pipeline.detector import describe_detector
from reid_pipeline.pipeline.model_check import check_works
from reid_pipeline.pipeline.runtime_openvino import read_graph
from reid_pipeline.pipeline.ultralytics_export import export_detector
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import (
    GRAPH_SUFFIXES,
    InputCard,
    Model,
    ModelCard,
    OutputCard,
    Triple,
    load_model,
    write_card,
)
from reid_pipeline.storage.model_registry import ModelRegistry, is_model_name

CHECKPOINT_SUFFIXES: Final = frozenset({".pth", ".pt", ".tar", ".ckpt", ".safetensors"})

# Factor of the pixels 0-255, then mean and standard deviation of R, G, B.
NORMALISATIONS: Final[dict[str, tuple[float, Triple, Triple]]] = {
    "imagenet": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "lup": (1 / 255, (0.3525, 0.3106, 0.3140), (0.2660, 0.2522, 0.2505)),  # LUPerson, Fu et al. 2021, code
    "lupnl": (1 / 255, (0.3452, 0.3070, 0.3114), (0.2633, 0.2500, 0.2480)),  # LUPerson-NL, Fu et al. 2022, code
    "half": (1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": (1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "none": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the command line says about a model; None: as the model itself says.

    Attributes:
        name: Name in the registry.
        task: What it is for.
        licence: Under which it may be used.
        trained_on: Data sets.
        colour: Order of the channels that it wants.
        size: Height and width in pixels that it wants.
        normalise: A key of `NORMALISATIONS`.
        arch: Architecture of a checkpoint.
        trust: Whether a file that can run any code may be loaded.
    """

    name: str | None = None
    task: Literal["reid", "detect"] | None = None
    licence: str | None = None
    trained_on: tuple[str, ...] = ()
    colour: Literal["RGB", "BGR"] | None = None
    size: tuple[int, int] | None = None
    normalise: str | None = None
    arch: str | None = None
    trust: bool = False


# Writes the model of a checkpoint into a folder under a name.
ReadCheckpoint = Callable[[Path, Path, str, ImportOptions], Model]


def import_model(path: Path, options: ImportOptions, registry: ModelRegistry, read_checkpoint: ReadCheckpoint) -> Model:
    """Puts a model into the registry after it was loaded and used once.

    Args:
        path: A model folder, a graph, or a checkpoint.
        options: What the model itself does not say.
        registry: Gets the model.
        read_checkpoint: Reads checkpoints of encoders.

    Raises:
        ModelError: It is no model, something about it has to be said, or it does not work.
    """
    checkpoint = path.is_file() and path.suffix in CHECKPOINT_SUFFIXES
    source = None if checkpoint else load_model(path)
    name = options.name or _usual_name(path, source)
    if source is not None and source.card is not None:
        check_works(source)
    with registry.adding(name) as work:
        if source is None:
            _convert(path, work, name, options, read_checkpoint)
        else:
            _copy(source, work, _card_of(source, name, path, options))
        if source is None or source.card is None:
            check_works(load_model(work))
    return load_model(registry.home / name)


def input_card(options: ImportOptions, size: tuple[int, int], normalise: str) -> InputCard:
    """The card of an encoder's input, crops stretched to ``size``.

    Raises:
        ModelError: There is no such normalisation.
    """
    if normalise not in NORMALISATIONS:
        raise ModelError(f"--normalise: {normalise}: expected one of {', '.join(NORMALISATIONS)}")
    scale, mean, std = NORMALISATIONS[normalise]
    colour = options.colour or "RGB"
    if colour == "BGR":  # a card's numbers stand in its colour order
        mean, std = (mean[2], mean[1], mean[0]), (std[2], std[1], std[0])
    height, width = size
    return InputCard(height=height, width=width, resize="stretch", colour=colour, pixel_scale=scale, mean=mean, std=std)


def _usual_name(path: Path, source: Model | None) -> str:
    name = source.card.name if source and source.card else path.name.split(".")[0]
    return name if is_model_name(name) else path.stem


def _convert(path: Path, work: Path, name: str, options: ImportOptions, read_checkpoint: ReadCheckpoint) -> None:
    """Makes a model of a checkpoint: a detector of Ultralytics where the task says so, else an encoder."""
    if options.task != "detect":
        read_checkpoint(path, work, name, options)
        return
    if not options.trust:
        raise ModelError(f"{path}: a detector's checkpoint can run any code: add --trust if you trust its origin")
    model = load_model(export_detector(str(path)))
    _copy(model, work, _card_of(model, name, path, options))


def _copy(source: Model, work: Path, card: ModelCard) -> None:
    for file in card.sha256:
        shutil.copy(source.graph.parent / file, work / file)
    write_card(card, work)


def _card_of(source: Model, name: str, path: Path, options: ImportOptions) -> ModelCard:
    card = source.card or _describe(source, path, options)
    if options.task not in (None, card.task):
        raise ModelError(f"{path}: its card says task {card.task}: expected --task {card.task}, or none")
    if source.card and (options.colour or options.size or options.normalise):
        raise ModelError(f"{path}: its card says how it wants its pixels: leave out --input, --size and --normalise")
    changes: dict[str, object] = {"name": name}
    if options.licence:
        changes["licence"] = options.licence
    if options.trained_on:
        changes["trained_on"] = options.trained_on
    return card.model_copy(update=changes)


def _describe(source: Model, path: Path, options: ImportOptions) -> ModelCard:
    """Makes the card of a graph that has none."""
    if options.task != "reid":
        try:
            pixels, output = describe_detector(source)
            return _new_card(source, "detect", pixels, output)
        except ModelError as error:
            if options.task == "detect" or read_graph(source.graph) is None:
                raise
            if not (options.colour and options.normalise):
                raise ModelError(f"{_what_to_type(path)} ({error})") from error
    return _describe_encoder(source, path, options)


def _describe_encoder(source: Model, path: Path, options: ImportOptions) -> ModelCard:
    graph = read_graph(source.graph)
    if graph is None:
        raise ModelError(f"{source.graph}: OpenVINO cannot read it: write model.json beside it and import the folder")
    shape = graph.inputs[0].partial_shape
    known = len(shape) == 4 and shape[2].is_static and shape[3].is_static
    size = options.size or ((shape[2].get_length(), shape[3].get_length()) if known else None)
    if not (options.colour and options.normalise and size):
        raise ModelError(_what_to_type(path))
    try:
        fits = shape.compatible(ov.PartialShape([-1, 3, *size]))
        graph.reshape([1, 3, *size])
        dim = int(graph.outputs[0].shape[-1])
    except RuntimeError:
        fits = False
    if not fits:
        raise ModelError(f"{path}: its input is {shape}: {size[0]}x{size[1]} does not fit")
    return _new_card(
        source, "reid", input_card(options, size, options.normalise), OutputCard(head="embedding", dim=dim)
    )


def _new_card(source: Model, task: Literal["reid", "detect"], pixels: InputCard, output: OutputCard) -> ModelCard:
    files = {name: digest for name, digest in source.files if Path(name).suffix in (*GRAPH_SUFFIXES, ".bin")}
    return ModelCard(name=source.name, task=task, graph=source.graph.name, sha256=files, input=pixels, output=output)


def _what_to_type(path: Path) -> str:
    return (
        f"{path}: no card, and no detector that is recognised: for an encoder say how it wants its pixels, as in: "
        f"reid-pipeline model import {path} --task reid --input RGB --size 256x128 --normalise imagenet"
    )
