"""A small site for tests of the adaptation: people in stripes of their own colours, and networks soon learnt."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.part_network import PartNetwork

SIZE = (32, 16)
CPU = torch.device("cpu")


def striped_person(person: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A person in six colours of its own, in the light of the day."""
    colours = np.random.default_rng(person).integers(30, 226, (6, 3))
    rows = np.arange(size[0]) * 6 // size[0]
    crop = colours[rows][:, None] * rng.uniform(0.8, 1.0) + rng.normal(0, 6, (*size, 3))
    return crop.clip(0, 255).astype(np.uint8)


def site_material(
    people: int = 12, visits: int = 4, cameras: int = 3, crops: int = 3, seed: int = 0, size: tuple[int, int] = SIZE
) -> tuple[Material, np.ndarray]:
    """Tracklets of people who come several times, two at once in a camera; and who each tracklet is."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(people), visits)
    rng.shuffle(owner)
    count = len(owner)
    first = np.arange(count) * 1_000_000
    tracklets = np.repeat(np.arange(count), crops)
    pictures = np.stack([striped_person(int(owner[each]), size, rng) for each in tracklets])
    where = rng.integers(0, cameras, count)
    last = first + np.where(owner != np.roll(owner, -1), 1_500_000, 500_000)
    material = Material(
        crops=pictures,
        tracklets=tracklets,
        times_us=first[tracklets] + np.tile(np.arange(crops) * 100_000, count),
        cameras=where,
        camera_names=tuple(f"camera{number}" for number in range(cameras)),
        runs=np.zeros(count, np.int64),
        first_us=first,
        last_us=last,
    )
    return material, owner


class TinyBackbone(nn.Module):
    """Maps of a quarter of the size, and their mean."""

    def __init__(self, maps: int = 8) -> None:
        super().__init__()
        self.num_features = maps
        self.stem = nn.Sequential(nn.Conv2d(3, maps, 4, stride=4, bias=False), nn.BatchNorm2d(maps), nn.ReLU())

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Maps ``(N, maps, H / 4, W / 4)``."""
        return self.stem(images)

    def forward_head(self, maps: torch.Tensor) -> torch.Tensor:
        """Features ``(N, maps)``."""
        return maps.mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Both."""
        return self.forward_head(self.forward_features(images))


def tiny_network(dim: int = 8, parts: int = 4, seed: int = 0) -> PartNetwork:
    """A network with random weights, and statistics as if it had been trained."""
    torch.manual_seed(seed)
    network = PartNetwork(EncoderNetwork(TinyBackbone(), 8, dim), 8, parts)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.2, 1.0)
    return network


def units(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    """Random features of norm 1."""
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, dim))).float()
    return drawn / drawn.norm(dim=1, keepdim=True)
