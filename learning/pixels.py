"""Pixels as the networks trained here take them: one mean and one deviation for all channels, in the order BGR."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from reid_pipeline.storage.model_card import InputCard

PIXEL_MEAN: Final = 114.0
PIXEL_STD: Final = 58.0


def normalise(images: Tensor) -> Tensor:
    """``(N, H, W, 3) uint8`` to the network's input ``(N, 3, H, W)``."""
    return (images.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD


def input_card(height: int, width: int) -> InputCard:
    """The same, said in a card."""
    mean = (PIXEL_MEAN, PIXEL_MEAN, PIXEL_MEAN)
    std = (PIXEL_STD, PIXEL_STD, PIXEL_STD)
    return InputCard(height=height, width=width, resize="stretch", colour="BGR", mean=mean, std=std)
