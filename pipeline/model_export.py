"""Models written out for other programs and machines: the same network in another format or precision."""

from __future__ import annotations

import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import openvino as ov

from reid_pipeline.pipeline.model_check import check_alike, check_works
from reid_pipeline.pipeline.onnx_half import halve
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model, ModelCard, load_model, write_card

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})


class Format(StrEnum):
    """How the graph is written; `folder` copies the model as it is."""

    FOLDER = "folder"
    ONNX = "onnx"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """How the weights are stored."""

    FP32 = "fp32"
    FP16 = "fp16"


def export_model(model: Model, out: Path, form: Format, precision: Precision) -> Model:
    """Writes a model folder that works elsewhere, checked by using it once.

    Args:
        model: The model, with a card.
        out: The folder to make; it may be there but empty.
        form: The format of the graph.
        precision: Of the weights; a copy keeps its own.

    Returns:
        What was written. But for a copy it is a model of its own, whose parent is the model that it was made from.

    Raises:
        ModelError: There is no card, the folder is not empty, or the model cannot be written like this.
    """
    if model.card is None:
        raise ModelError(f"{model.graph}: has no card: reid-pipeline model import {model.graph} makes one")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ModelError(f"{out}: exists: expected a folder that is not there yet, or is empty")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        written = _write(model, model.card, work, form, precision)
        check_works(written)
        if model.card.task == "reid":
            check_alike(model, written)
        work.chmod(0o755)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_model(out)


def export_int8(model: Model, out: Path, calibration: Path) -> Model:
    """Writes the INT8 version of a model, accepted only where it agrees with the original.

    Args:
        model: The model, with a card.
        out: The folder to make.
        calibration: A folder of pictures such as the site sees: crops for an encoder, frames for a detector.

    Raises:
        ModelError: There are too few pictures, or the INT8 model is too much worse.
    """
    from reid_pipeline.pipeline.int8 import quantise

    files = sorted(file for file in calibration.rglob("*") if file.suffix.lower() in _PICTURES)
    images = [np.asarray(image, np.uint8) for image in map(cv2.imread, map(str, files)) if image is not None]
    return quantise(model, images, out)[0]


def _write(model: Model, card: ModelCard, work: Path, form: Format, precision: Precision) -> Model:
    if form is Format.FOLDER:
        for file in card.sha256:
            shutil.copy(model.graph.parent / file, work / file)
        return write_card(card, work)
    stem = model.graph.stem
    if form is Format.OPENVINO:
        _write_openvino(model, work / f"{stem}.xml", precision)
        names = [f"{stem}.xml", f"{stem}.bin"]
    else:
        _write_onnx(model, work / f"{stem}.onnx", precision)
        names = [f"{stem}.onnx"]
    changes = {"graph": names[0], "sha256": dict.fromkeys(names, ""), "parent": model.identity}
    return write_card(card.model_copy(update=changes), work)


def _write_openvino(model: Model, path: Path, precision: Precision) -> None:
    try:
        graph = ov.Core().read_model(model.graph)
        ov.save_model(graph, path, compress_to_fp16=precision is Precision.FP16)
    except RuntimeError as error:
        raise ModelError(f"{model.graph}: OpenVINO cannot convert it: {str(error).splitlines()[-1][:160]}") from error


def _write_onnx(model: Model, path: Path, precision: Precision) -> None:
    if model.graph.suffix != ".onnx":
        raise ModelError(f"{model.graph}: not ONNX, and OpenVINO cannot write it: expected --format openvino or folder")
    if precision is Precision.FP32:
        shutil.copy(model.graph, path)
        return
    path.write_bytes(halve(model.graph.read_bytes()))
