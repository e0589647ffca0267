"""Models as folders: the graph and `model.json`, its card. The card is checked against the files before either is used.

A model's hash names it everywhere: the SHA-256 over the hashes of its files and over the parts of the card that change
what it computes (`input`, `output`).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reid_pipeline.storage.errors import ModelError

CARD_NAME: Final = "model.json"
GRAPH_SUFFIXES: Final = (".xml", ".onnx")

Triple = tuple[float, float, float]
PositiveInt = Annotated[int, Field(gt=0)]


class _Card(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class InputCard(_Card):
    """How an image becomes the graph's input: resized, then (x * pixel_scale - mean) / std in this colour order."""

    height: PositiveInt
    width: PositiveInt
    resize: Literal["stretch", "letterbox", "letterbox_topleft"]
    colour: Literal["RGB", "BGR"]
    pixel_scale: float = 1.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)


class OutputCard(_Card):
    """What the graph gives: embeddings of length `dim`, or detections of one of the known heads."""

    head: Literal["embedding", "ultralytics", "ultralytics_nms", "yolox", "ssd"]
    dim: PositiveInt | None = None
    person_class: Annotated[int, Field(ge=0)] = 0


class NetworkCard(_Card):
    """What an encoder's graph was exported from, so that it can be trained further: a backbone of timm and a head."""

    backbone: str
    keep_resolution: bool = False


class ModelCard(_Card):
    """The card of a model.

    Attributes:
        name: What it is called; a folder may have another name.
        task: What it is for.
        graph: File name of the graph.
        sha256: Hash of each file by its name, the graph among them.
        input: How an image becomes the graph's input.
        output: What the graph gives.
        licence: Under which the weights may be used.
        trained_on: Data sets.
        parent: Hash of the model that this one was made from.
        scores: Measured figures: in each entry ``dataset``, metrics by name, and ``conditions``.
        calibration: What maps similarities to probabilities, by name; encoders only.
        network: What it can be trained further as; None where it cannot.
    """

    name: Annotated[str, Field(min_length=1)]
    task: Literal["reid", "detect"]
    graph: Annotated[str, Field(pattern=r"^[^/\\]+\.(xml|onnx)$")]
    sha256: dict[str, str]
    input: InputCard
    output: OutputCard
    licence: str = "unknown"
    trained_on: tuple[str, ...] = ()
    parent: str | None = None
    scores: tuple[dict[str, float | str], ...] = ()
    calibration: dict[str, tuple[float, ...]] | None = None
    network: NetworkCard | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model on disk whose files are as its card says.

    Attributes:
        card: What it is; None for a graph without a card.
        graph: The `.xml` or `.onnx` file.
        files: SHA-256 of each file of the model by name.
    """

    card: ModelCard | None
    graph: Path
    files: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The card's name, else the file's."""
        return self.card.name if self.card else self.graph.stem

    @property
    def licence(self) -> str:
        """The licence that the card states, or ``unknown``."""
        return self.card.licence if self.card else "unknown"

    @property
    def identity(self) -> str | None:
        """The model's hash by its own card; None for a graph without one."""
        return self.hash(self.card.input, self.card.output) if self.card else None

    def hash(self, input_card: InputCard, output_card: OutputCard) -> str:
        """The model's hash: SHA-256 over file hashes, input and output, as 64 hexadecimal digits."""
        parts: dict[str, Any] = {
            "files": {name: digest for name, digest in self.files if name.endswith((".xml", ".bin", ".onnx"))},
            "input": input_card.model_dump(mode="json"),
            "output": output_card.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def models_folder() -> Path:
    """Where models are searched by name: ``$REID_HOME/models``, by default in ``~/.local/share/reid-pipeline``."""
    home = os.environ.get("REID_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share" / "reid-pipeline") / "models"


def load_model(path: Path) -> Model:
    """Finds the model at a path: its folder, or its graph file with or without a card beside it.

    Raises:
        ModelError: There is nothing, it is no model, or card and files disagree.
    """
    if path.is_dir():
        return _load_folder(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model: expected a folder with {CARD_NAME}, or an .xml or .onnx file")
    if path.suffix not in GRAPH_SUFFIXES:
        raise ModelError(f"{path}: not a model graph: expected an .xml (OpenVINO) or .onnx file")
    card_path = path.parent / CARD_NAME
    if card_path.is_file():
        card = _read_card(card_path)
        if card.graph == path.name:
            return _check(card, path.parent)
    return _without_card(path)


def write_card(card: ModelCard, folder: Path) -> Model:
    """Writes a card beside the files that it names, their hashes taken anew, and loads the model.

    Args:
        card: The card; of ``sha256`` only the names count.
        folder: Where the files are.

    Raises:
        ModelError: A file is missing, or the card makes no sense.
    """
    missing = [name for name in card.sha256 if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder / missing[0]}: no such file: expected the file that the card of {card.name} names")
    hashes = {name: _sha256(folder / name) for name in sorted(card.sha256)}
    fields = card.model_copy(update={"sha256": hashes}).model_dump(mode="json")
    (folder / CARD_NAME).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return load_model(folder)


def _load_folder(folder: Path) -> Model:
    if (folder / CARD_NAME).is_file():
        return _check(_read_card(folder / CARD_NAME), folder)
    graphs = sorted(file for file in folder.iterdir() if file.suffix in GRAPH_SUFFIXES)
    if len(graphs) != 1:
        found = ", ".join(graph.name for graph in graphs) or "none"
        raise ModelError(f"{folder}: expected {CARD_NAME} or exactly one .xml or .onnx file, found {found}")
    return _without_card(graphs[0])


def _read_card(path: Path) -> ModelCard:
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise ModelError(f"{path}: {key}: {str(first.get('input'))[:80]!r}: {first['msg']}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _check(card: ModelCard, folder: Path) -> Model:
    if card.graph not in card.sha256:
        raise ModelError(f"{folder / CARD_NAME}: sha256: expected an entry for the graph {card.graph}")
    for name, expected in sorted(card.sha256.items()):
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ModelError(f"{folder / CARD_NAME}: sha256.{name}: no such file in the model's folder")
        actual = _sha256(file)
        if actual != expected.lower():
            raise ModelError(
                f"{folder / CARD_NAME}: sha256.{name}: {expected[:12]}… is expected but the file has {actual[:12]}…: "
                "restore the file, or correct the card if the change is wanted"
            )
    _check_sense(card, folder)
    return Model(card, folder / card.graph, tuple(sorted(card.sha256.items())))


def _check_sense(card: ModelCard, folder: Path) -> None:
    embeds = card.output.head == "embedding"
    if embeds != (card.task == "reid"):
        raise ModelError(f"{folder / CARD_NAME}: output.head: {card.output.head!r} does not fit task {card.task!r}")
    if embeds and card.output.dim is None:
        raise ModelError(f"{folder / CARD_NAME}: output.dim: missing: expected the length of an embedding")


def _without_card(graph: Path) -> Model:
    files = [graph, graph.with_suffix(".bin")] if graph.suffix == ".xml" else [graph]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"{graph}: its weights {missing[0]} are missing beside it")
    return Model(None, graph, tuple((file.name, _sha256(file)) for file in files))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
