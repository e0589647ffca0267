"""Small sites as material for learning."""

from __future__ import annotations

import numpy as np

from reid_pipeline.learning.material import Material
from tests.learning.builders import banded_person

SIZE = (32, 16)


def make_material(counts=(3, 1, 4, 2, 5, 1), size=SIZE, seed=0) -> Material:
    """Tracklets of as many crops, people and two cameras by turns, one after the other."""
    rng = np.random.default_rng(seed)
    tracklets = np.repeat(np.arange(len(counts)), counts)
    crops = np.stack([banded_person(1 + tracklet % 3, size, rng) for tracklet in tracklets])
    begins = np.cumsum([0, *counts[:-1]])
    return Material(
        crops=crops,
        tracklets=tracklets.astype(np.int64),
        times_us=np.arange(len(crops)) * 1_000_000,
        cameras=np.arange(len(counts)) % 2,
        camera_names=("east", "west"),
        runs=np.zeros(len(counts), np.int64),
        first_us=begins * 1_000_000,
        last_us=(begins + np.array(counts) - 1) * 1_000_000,
    )
