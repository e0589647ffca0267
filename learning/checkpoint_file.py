"""The published forms of checkpoints: what is wrapped around the tensors, and what their names begin with.

Loading is safe: nothing but tensors and plain values is read, unless the user trusts the file.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

from reid_pipeline.storage.errors import ModelError

logger = logging.getLogger(__name__)

# What is trained by a momentum teacher is served by it, so `teacher` comes before `student`.
_WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "teacher", "student", "net", "encoder")
_PREFIXES: Final = ("backbone.", "base.", "model.", "encoder.", "CNN.")

Kind = Literal["MoCo", "LUPerson-NL", "fast-reid", "TransReID", "DINO", "plain"]

# How the pixels of each kind were normalised in training: the code of LUPerson and LUPerson-NL, the configurations of
# fast-reid, TransReID and TransReID-SSL.
_NORMALISED: Final[dict[Kind, str]] = {
    "MoCo": "lup",
    "LUPerson-NL": "lupnl",
    "fast-reid": "imagenet",
    "TransReID": "half",
    "DINO": "imagenet",
    "plain": "imagenet",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a checkpoint, named as in the architecture.

    Attributes:
        kind: The form that it was published in.
        tensors: Those of the network, heads among them.
        neck: Batch normalisation after the pooling (`weight`, `bias`, ...) and `projection` before it.
        normalise: How its pixels were normalised, a key of `NORMALISATIONS`.
    """

    kind: Kind
    tensors: dict[str, Tensor]
    neck: dict[str, Tensor] = field(default_factory=dict)
    normalise: str = "imagenet"


def read_checkpoint(path: Path, *, trust: bool = False) -> Checkpoint:
    """Reads and recognises a checkpoint.

    Args:
        path: A ``.safetensors`` file, or one that `torch.save` wrote.
        trust: Whether a file that can run any code may be loaded.

    Raises:
        ModelError: It cannot be loaded safely, or holds no tensors.
    """
    wrapped, unwrapped = _load(path, trust=trust), False
    while isinstance(wrapped, Mapping) and not _tensors(wrapped):
        inner = next((wrapped[key] for key in _WRAPPERS if isinstance(wrapped.get(key), Mapping)), None)
        unwrapped = unwrapped or inner is wrapped.get("teacher")
        wrapped = inner
    if not isinstance(wrapped, Mapping):
        raise ModelError(f"{path}: holds no tensors by name: expected a state_dict, also inside {', '.join(_WRAPPERS)}")
    return recognise(_tensors(wrapped), path.name, distilled=unwrapped)


def recognise(tensors: Mapping[str, Tensor], file_name: str, *, distilled: bool = False) -> Checkpoint:
    """Tells the form of a checkpoint from the names of its tensors, and takes what is in front of them away.

    Args:
        tensors: The tensors as they were saved.
        file_name: Tells LUPerson's plain backbones from those of ImageNet: both have the same names.
        distilled: Whether they came from a momentum teacher.
    """
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    heads = _below(tensors, "heads.")
    kind: Kind = "plain"
    if _below(tensors, "encoder_q."):
        kind = (
            "LUPerson-NL" if any(re.match(r"(encoder_q\.)?(embed_fc|prototypes)", key) for key in tensors) else "MoCo"
        )
        tensors = _below(tensors, "encoder_q.")
    elif heads and _below(tensors, "backbone."):
        kind = "fast-reid"
    elif distilled:
        kind = "DINO"
    elif "base.cls_token" in tensors:
        kind = "TransReID"
    for prefix in _PREFIXES:
        tensors = _below(tensors, prefix) or tensors
    normalise = _NORMALISED[kind]
    if kind == "plain" and file_name.startswith("lup"):
        normalise = "lupnl" if file_name.startswith("lupws") else "lup"
    pooling = {"pool_layer.p": heads["pool_layer.p"]} if "pool_layer.p" in heads else {}
    return Checkpoint(kind, {**tensors, **pooling}, _neck(heads), normalise)


def _load(path: Path, *, trust: bool) -> object:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors: object = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: not a safetensors file: {error}") from error
        return tensors
    if trust:
        logger.warning("%s: loaded as a pickle, which can run any code", path)
    try:
        # The options of a training run are kept as a Namespace; it can hold values and do nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded: object = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:  # bytes that are no pickle can raise anything
        if trust:
            raise ModelError(f"{path}: cannot be loaded: {' '.join(str(error).split())[:160]}") from error
        raise ModelError(
            f"{path}: no checkpoint, or one that holds more than tensors and could run any code: add --trust if you "
            "trust its origin"
        ) from error
    return loaded


def _tensors(wrapped: Mapping[object, object]) -> dict[str, Tensor]:
    return {key: value for key, value in wrapped.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _neck(heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What fast-reid's head does between pooling and embedding; the classifier behind it is left out."""
    projection = heads.get("bottleneck.0.weight")
    if projection is not None and projection.ndim > 1:
        return {**_below(heads, "bottleneck.1."), "projection": projection}
    return _below(heads, "bottleneck.0.") or _below(heads, "bnneck.")
