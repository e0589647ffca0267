"""A nano person detector: a residual backbone, a two-way feature pyramid and one anchor-free head for three grids.

All of it is plain convolutions, so a graph of it takes any input size whose sides are multiples of 32.

Source: the layout of the output follows Ge et al., "YOLOX", 2021; the two-way pyramid Liu et al., "PANet", 2018.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.pipeline.detector_heads import YOLOX_STRIDES, yolox_grid

BOX_VALUES: Final = 4
_PRIOR: Final = -4.6  # logit of 1 %: what a cell believes before it has learnt anything


class DetectorNetwork(nn.Module):
    """Images to raw candidates, one for each grid cell.

    Args:
        widths: Channels at strides 2, 4, 8, 16 and 32.
        depths: Residual blocks at strides 4, 8, 16 and 32.
        neck: Channels of the pyramid and the head.
        classes: Number of class scores; the person's is the first. More than one serves training only.
    """

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], neck: int = 64, classes: int = 1) -> None:
        super().__init__()
        self.stem = _conv(3, widths[0], 3, stride=2)
        self.stages = nn.ModuleList(
            _stage(before, width, depth) for before, width, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.lateral = nn.ModuleList(_conv(width, neck, 1) for width in widths[2:])
        self.down_path = nn.ModuleList(_conv(neck, neck, 3) for _ in YOLOX_STRIDES[1:])
        self.up_path = nn.ModuleList(_conv(neck, neck, 3, stride=2) for _ in YOLOX_STRIDES[1:])
        self.heads = nn.ModuleList(_Head(neck, classes) for _ in YOLOX_STRIDES)

    def forward(self, images: Tensor) -> Tensor:
        """Gives ``(N, cells, 4 + classes)`` for normalised images ``(N, 3, H, W)``.

        A row holds the centre's offset from the cell's corner in cells, the logarithm of width and height in cells, and
        the logits of the classes. Cells come in rows, finest grid first.
        """
        features = self._pyramid(images)
        rows = [head(feature).flatten(2) for head, feature in zip(self.heads, features, strict=True)]
        return torch.cat(rows, dim=2).transpose(1, 2)

    def _pyramid(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        levels = [lateral(x) for lateral, x in zip(self.lateral, found[1:], strict=True)]
        for fine in (1, 0):  # coarse to fine
            wider = functional.interpolate(levels[fine + 1], scale_factor=2.0, mode="nearest")
            levels[fine] = self.down_path[fine](levels[fine] + wider)
        for coarse in (1, 2):  # and back
            levels[coarse] = levels[coarse] + self.up_path[coarse - 1](levels[coarse - 1])
        return levels


class PersonRows(nn.Module):
    """A trained network as it is exported: rows as of YOLOX, the person alone.

    ``(N, cells, 6)``: the four numbers of the box, a probability, and a one in the place of the class score.
    """

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        rows = self.network(images)
        score = rows[..., BOX_VALUES : BOX_VALUES + 1].sigmoid()
        return torch.cat([rows[..., :BOX_VALUES], score, torch.ones_like(score)], dim=2)


class _Head(nn.Module):
    """A box and the scores for each cell of one grid."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.boxes = nn.Sequential(_conv(width, width, 3), nn.Conv2d(width, BOX_VALUES, 1))
        self.scores = nn.Sequential(_conv(width, width, 3), nn.Conv2d(width, classes, 1))
        nn.init.constant_(_last(self.scores), _PRIOR)
        nn.init.constant_(_last(self.boxes), 0.5)

    def forward(self, feature: Tensor) -> Tensor:
        return torch.cat([self.boxes(feature), self.scores(feature)], dim=1)


def _last(layers: nn.Sequential) -> Tensor:
    bias = layers[-1].bias
    if not isinstance(bias, Tensor):
        raise TypeError("the last layer has no bias")
    return bias


class _Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width, 3)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def _stage(before: int, width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(_conv(before, width, 3, stride=2), *(_Residual(width) for _ in range(depth)))


def _conv(before: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def cell_grid(height: int, width: int) -> Tensor:
    """Column, row and stride of each cell ``(cells, 3)`` in the order of the network's rows."""
    return torch.from_numpy(yolox_grid((height, width)))


def decode(rows: Tensor, grid: Tensor) -> Tensor:
    """The boxes of raw rows: centre x, centre y, width, height in pixels, ``(N, cells, 4)``."""
    stride = grid[:, 2:]
    centre = (rows[..., :2] + grid[:, :2]) * stride
    size = rows[..., 2:BOX_VALUES].clamp(max=6.0).exp() * stride
    return torch.cat([centre, size], dim=-1)
