"""OSNet, an encoder that mixes features of four scales in every block.

Source: Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019. Modules are called as in the
published checkpoints of torchreid, so that these load.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

# Channels after the stem and after each of the three stages.
WIDTHS: Final[dict[str, tuple[int, int, int, int]]] = {
    "osnet_x1_0": (64, 256, 384, 512),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_25": (16, 64, 96, 128),
}
DIM: Final = 512
_SCALES: Final = 4
_NARROWING: Final = 4  # a block works on so many times fewer channels than it gives
_GATE_NARROWING: Final = 16


class OsNet(nn.Module):
    """Normalised crops ``(N, 3, H, W)`` to embeddings ``(N, 512)``, not yet of length one.

    Args:
        widths: Channels after the stem and after each stage.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = _Conv(3, widths[0], 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(widths[0], widths[1], halve=True)
        self.conv3 = _stage(widths[1], widths[2], halve=True)
        self.conv4 = _stage(widths[2], widths[3], halve=False)
        self.conv5 = _Conv(widths[3], widths[3], 1)
        self.fc = nn.Sequential(nn.Linear(widths[3], DIM), nn.BatchNorm1d(DIM), nn.ReLU())

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        maps = self.maxpool(self.conv1(crops))
        maps = self.conv5(self.conv4(self.conv3(self.conv2(maps))))
        embeddings: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return embeddings


class _Conv(nn.Module):
    def __init__(self, inside: int, outside: int, side: int, *, stride: int = 1, rectify: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, side, stride, side // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)
        self.rectify = rectify

    def forward(self, maps: Tensor) -> Tensor:
        normal: Tensor = self.bn(self.conv(maps))
        return functional.relu(normal) if self.rectify else normal


class _LightConv(nn.Module):
    """A pointwise convolution, then one that looks at each channel alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv2(self.conv1(maps))))


class _Gate(nn.Module):
    """Weighs the channels of a scale by what is in the picture; all scales share it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // _GATE_NARROWING, 1)
        self.fc2 = nn.Conv2d(width // _GATE_NARROWING, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = maps.mean(dim=(2, 3), keepdim=True)
        return maps * torch.sigmoid(self.fc2(functional.relu(self.fc1(pooled))))


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        width = outside // _NARROWING
        self.conv1 = _Conv(inside, width, 1)
        self.conv2a = _LightConv(width)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(_LightConv(width) for _ in range(depth))) for depth in range(2, _SCALES + 1)
        )
        self.gate = _Gate(width)
        self.conv3 = _Conv(width, outside, 1, rectify=False)
        self.downsample = _Conv(inside, outside, 1, rectify=False) if inside != outside else None

    def forward(self, maps: Tensor) -> Tensor:
        narrow = self.conv1(maps)
        scales = [scale(narrow) for scale in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)]
        mixed = self.conv3(sum(self.gate(scale) for scale in scales))
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return functional.relu(mixed + shortcut)


def _stage(inside: int, outside: int, *, halve: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [_Block(inside, outside), _Block(outside, outside)]
    if halve:
        blocks.append(nn.Sequential(_Conv(outside, outside, 1), nn.AvgPool2d(2, stride=2)))
    return nn.Sequential(*blocks)
