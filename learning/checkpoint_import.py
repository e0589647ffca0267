"""Published checkpoints of PyTorch made into encoders: recognised, matched to an architecture, exported as ONNX.

A checkpoint that is only loosely loaded gives an encoder of noise, so nothing is imported unless `MIN_MATCHED` of the
tensors, by count and by size, are the architecture's in name and shape.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from reid_pipeline.learning.backbones import build_backbone, guess_architecture, infer_size
from reid_pipeline.learning.checkpoint_file import Checkpoint, read_checkpoint
from reid_pipeline.learning.export import Provenance, export_encoder
from reid_pipeline.pipeline.model_import import ImportOptions, input_card
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model

logger = logging.getLogger(__name__)

MIN_MATCHED: Final = 0.99

_UNTRAINED: Final = "num_batches_tracked"  # a counter that no output depends on
_SHOWN: Final = 3  # names in a message


@dataclass(frozen=True, slots=True)
class Match:
    """How well a checkpoint fits an architecture.

    Attributes:
        share: Matched part of all tensors of both, 0-1, by count or by size, whichever is lower.
        missing: Names that only the architecture has.
        unknown: Names that only the checkpoint has.
        misshapen: Names with another shape, and both shapes.
    """

    share: float
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __str__(self) -> str:
        parts = (("missing", self.missing), ("unknown", self.unknown), ("of another shape", self.misshapen))
        return "; ".join(
            f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
            for what, names in parts
            if names
        )


def import_checkpoint(path: Path, folder: Path, name: str, options: ImportOptions) -> Model:
    """Writes the encoder of a checkpoint as a model folder.

    Args:
        path: The checkpoint.
        folder: The model folder to write; one that is there is replaced.
        name: Name of the model.
        options: Architecture, input and licence where they are not those of the checkpoint's kind.

    Raises:
        ModelError: It cannot be read safely, its architecture is not known, or it does not fit that.
    """
    checkpoint = read_checkpoint(path, trust=options.trust)
    arch = options.arch or guess_architecture(checkpoint.tensors)
    if arch is None:
        first = ", ".join(list(checkpoint.tensors)[:_SHOWN])
        raise ModelError(f"{path}: its architecture is not recognised (tensors {first}, …): name it with --arch")
    size = options.size or infer_size(checkpoint.tensors)
    network = build_backbone(arch, checkpoint, size)
    if network is None:
        raise ModelError(f"{path}: --arch {arch}: not an architecture of torchvision (ResNet) or timm, nor an OSNet")
    fill(network, checkpoint, f"{path}: as {arch}")
    encoder = nn.Sequential(network, *_neck(checkpoint.neck)).eval()
    with torch.inference_mode():
        dim = int(encoder(torch.zeros(1, 3, *size)).flatten(1).shape[1])
    normalise = options.normalise or checkpoint.normalise
    logger.info("%s: %s as %s, pixels normalised as %s", path, checkpoint.kind, arch, normalise)
    provenance = Provenance(options.licence or "unknown", options.trained_on or ("unknown",))
    return export_encoder(encoder, input_card(options, size, normalise), dim, folder, name, provenance)


def fill(network: nn.Module, checkpoint: Checkpoint, what: str) -> None:
    """Loads the tensors of a checkpoint into a network.

    Args:
        network: The network; it is changed.
        checkpoint: The tensors; heads that the network does not have are left out.
        what: What is loaded, for messages.

    Raises:
        ModelError: They do not fit.
    """
    wanted = _trained(network.state_dict())
    given = {key: value for key, value in _trained(checkpoint.tensors).items() if key in wanted or not is_head(key)}
    match = match_tensors(wanted, given)
    if match.share < MIN_MATCHED:
        raise ModelError(f"{what}: {match.share:.1%} of its tensors fit, expected {MIN_MATCHED:.0%}: {match}")
    if match.missing or match.unknown or match.misshapen:
        logger.warning("%s: %s", what, match)
    fitting = {key: given[key].float() for key in wanted if key in given and given[key].shape == wanted[key].shape}
    network.load_state_dict(fitting, strict=False)


def match_tensors(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Match:
    """Compares the tensors of an architecture with those of a checkpoint, by name and shape."""
    both = [key for key in wanted if key in given]
    fitting = {key for key in both if wanted[key].shape == given[key].shape}
    sizes = {key: tensor.numel() for tensors in (given, wanted) for key, tensor in tensors.items()}
    by_size = sum(sizes[key] for key in fitting) / max(sum(sizes.values()), 1)
    return Match(
        share=min(len(fitting) / max(len(sizes), 1), by_size),
        missing=tuple(key for key in wanted if key not in given),
        unknown=tuple(key for key in given if key not in wanted),
        misshapen=tuple(
            f"{key} {list(given[key].shape)} for {list(wanted[key].shape)}" for key in both if key not in fitting
        ),
    )


def is_head(key: str) -> bool:
    """Whether a tensor belongs to what follows the embedding: classifiers, projections, memories.

    Example:
        >>> is_head("fc.0.weight"), is_head("layer4.0.conv1.weight")
        (True, False)
    """
    first = key.split(".", maxsplit=1)[0]
    return first.startswith(
        ("fc", "head", "classifier", "queue", "prototypes", "bottleneck", "bnneck", "gem", "embed_fc")
    )


def _trained(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if not key.endswith(_UNTRAINED)}


def _neck(tensors: Mapping[str, Tensor]) -> list[nn.Module]:
    """The layers between pooling and embedding: a projection where there is one, and batch normalisation."""
    layers: list[nn.Module] = []
    projection = tensors.get("projection")
    if projection is not None:
        linear = nn.Linear(projection.shape[1], projection.shape[0], bias=False)
        linear.weight.data = projection.flatten(1).float()
        layers.append(linear)
    if "weight" in tensors:
        norm = nn.BatchNorm1d(len(tensors["weight"]))
        norm.load_state_dict({key: tensors[key].float() for key in tensors if key != "projection"}, strict=False)
        layers.append(norm)
    return layers
