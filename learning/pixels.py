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


def normalise_as(card: InputCard, images: Tensor) -> Tensor:
    """BGR images ``(N, 3, H, W)``, 0 to 255, to the input of a network whose card says how."""
    ordered = images.flip(1) if card.colour == "RGB" else images
    mean, std = (ordered.new_tensor(each).view(1, 3, 1, 1) for each in (card.mean, card.std))
    return (ordered * card.pixel_scale - mean) / std


def input_card(height: int, width: int) -> InputCard:
    """The same, said in a card."""
    mean = (PIXEL_MEAN, PIXEL_MEAN, PIXEL_MEAN)
    std = (PIXEL_STD, PIXEL_STD, PIXEL_STD)
    return InputCard(height=height, width=width, resize="stretch", colour="BGR", mean=mean, std=std)
