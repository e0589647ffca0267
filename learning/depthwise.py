"""Wide depthwise convolutions on a processor: single precision while the rest learns in bfloat16.

Their gradients in bfloat16 fall back to a plain loop there: for 96 maps of 192 x 16 x 8 and 5 x 5 filters with stride 2
they take 130 ms on two cores instead of 6 ms (torch 2.13).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_WIDE: Final = 5  # side of a filter; those of 3 x 3 are fast in both


class SinglePrecisionConv2d(nn.Conv2d):
    """Computes in single precision whatever `torch.autocast` asks for."""

    def forward(self, maps: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        if not torch.is_autocast_enabled(maps.device.type):
            return super().forward(maps)
        with torch.autocast(maps.device.type, enabled=False):
            return super().forward(maps.float())


def spare_wide_depthwise(network: nn.Module) -> None:
    """Makes the wide depthwise convolutions of a network `SinglePrecisionConv2d`; weights and names stay."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1 and max(layer.kernel_size) >= _WIDE:
            layer.__class__ = SinglePrecisionConv2d
