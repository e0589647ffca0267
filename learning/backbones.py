"""Architectures that checkpoints are published for, without their classifiers: crops to pooled features."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from reid_pipeline.learning.checkpoint_file import Checkpoint
from reid_pipeline.learning.osnet import WIDTHS, OsNet

USUAL_SIZE: Final = (256, 128)  # height, width of crops in most of the field
_PATCH: Final = 16
_STEM_WIDTH: Final = 64

# Number of blocks in the four stages, and whether these are bottlenecks.
_RESNETS: Final[dict[tuple[tuple[int, ...], bool], str]] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
_VIT_WIDTHS: Final = {192: "tiny", 384: "small", 768: "base"}

Size = tuple[int, int]


def guess_architecture(tensors: Mapping[str, Tensor]) -> str | None:
    """Names the architecture of a checkpoint where its tensors leave no doubt."""
    if "conv2.0.conv2a.conv1.weight" in tensors and "conv1.conv.weight" in tensors:
        stem = len(tensors["conv1.conv.weight"])
        return next((name for name, widths in WIDTHS.items() if widths[0] == stem), None)
    if "pos_embed" in tensors and "patch_embed.proj.weight" in tensors:
        width = _VIT_WIDTHS.get(tensors["pos_embed"].shape[-1])
        return f"vit_{width}_patch{_PATCH}_224" if width else None
    blocks = tuple(_count_blocks(tensors, f"layer{stage}") for stage in range(1, 5))
    return _RESNETS.get((blocks, "layer1.0.conv3.weight" in tensors))


def infer_size(tensors: Mapping[str, Tensor]) -> Size:
    """Height and width that a checkpoint was trained with, where it tells: twice as high as wide."""
    positions = tensors.get("pos_embed")
    if positions is None:
        return USUAL_SIZE
    columns = math.isqrt((positions.shape[1] - 1) // 2)
    if 2 * columns * columns == positions.shape[1] - 1:
        return 2 * columns * _PATCH, columns * _PATCH
    side = math.isqrt(positions.shape[1] - 1) * _PATCH
    return side, side


def build_backbone(arch: str, checkpoint: Checkpoint, size: Size) -> nn.Module | None:
    """Builds an architecture with random weights; None where there is none of that name.

    Args:
        arch: A ResNet of torchvision, an OSNet, or a name of timm.
        checkpoint: Decides on variants that the name does not tell.
        size: Height and width of the input in pixels, for transformers.
    """
    import timm

    if arch in WIDTHS:
        return OsNet(WIDTHS[arch])
    if arch in _RESNETS.values():
        return _build_resnet(arch, checkpoint)
    if not timm.is_model(arch):
        return None
    if not arch.startswith("vit_"):
        network: nn.Module = timm.create_model(arch, pretrained=False, num_classes=0)
        return network
    transformer: nn.Module = timm.create_model(arch, pretrained=False, num_classes=0, img_size=size)
    if "patch_embed.conv.0.weight" in checkpoint.tensors:
        transformer.patch_embed = ConvolutionStem(len(checkpoint.tensors["patch_embed.proj.weight"]))
    return transformer


def _build_resnet(arch: str, checkpoint: Checkpoint) -> nn.Module:
    """A ResNet as torchvision's, or with what fast-reid changes about it: stem, last stage, pooling."""
    from torchvision.models import get_model

    network: nn.Module = get_model(arch, weights=None)
    network.fc = nn.Identity()
    if checkpoint.kind == "fast-reid":
        network.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        _keep_resolution(network.get_submodule("layer4.0"))
    if "pool_layer.p" in checkpoint.tensors:
        network.avgpool = GeneralisedMean(checkpoint.tensors.pop("pool_layer.p"))
    return network


def _keep_resolution(block: nn.Module) -> None:
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)


class GeneralisedMean(nn.Module):
    """Pools ``(N, C, H, W)`` to ``(N, C, 1, 1)`` by the mean of powers.

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018.

    Args:
        power: One number; 1 is the mean, large ones near the maximum.
    """

    def __init__(self, power: Tensor) -> None:
        super().__init__()
        self.power = float(power.reshape(-1)[0])

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        means = maps.clamp(min=1e-6).pow(self.power).mean(dim=(2, 3), keepdim=True)
        return means.pow(1 / self.power)


class _HalfInstanceNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the rest."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(width // 2, affine=True)
        self.BN = nn.BatchNorm2d(width - width // 2)

    def forward(self, maps: Tensor) -> Tensor:
        first, second = torch.split(maps, [self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(first), self.BN(second)], dim=1)


class ConvolutionStem(nn.Module):
    """Three convolutions before a transformer's patches: ``(N, 3, H, W)`` to ``(N, patches, width)``.

    Source: Luo et al., "Self-Supervised Pre-Training for Transformer-Based Person Re-Identification", 2021.

    Args:
        width: Of the transformer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        side = _STEM_WIDTH
        self.conv = nn.Sequential(
            nn.Conv2d(3, side, 7, stride=2, padding=3, bias=False),
            _HalfInstanceNorm(side),
            nn.ReLU(),
            nn.Conv2d(side, side, 3, padding=1, bias=False),
            _HalfInstanceNorm(side),
            nn.ReLU(),
            nn.Conv2d(side, side, 3, padding=1, bias=False),
            nn.BatchNorm2d(side),
            nn.ReLU(),
        )
        self.proj = nn.Conv2d(side, width, _PATCH // 2, stride=_PATCH // 2)

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        patches: Tensor = self.proj(self.conv(crops))
        return patches.flatten(2).transpose(1, 2)


def _count_blocks(tensors: Mapping[str, Tensor], stage: str) -> int:
    found = (re.match(rf"{stage}\.(\d+)\.", key) for key in tensors)
    return len({match[1] for match in found if match})
