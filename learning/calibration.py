"""What an encoder's similarities mean before a site has shown it: measured on crops that it learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from reid_pipeline.learning.crop_pool import Pool
from reid_pipeline.pipeline.encoder import GraphEncoder

_CROPS: Final = 400  # of each source: some 80,000 pairs


def measure_different(encoder: GraphEncoder, sources: Sequence[Pool], seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the similarity of two different people.

    Pairs are random crops of one source. Of many people two random crops hardly ever show the same one, so no labels
    are needed; crops of one source share their cameras' light, as those of a site do.

    Args:
        encoder: The encoder.
        sources: Pools, each of many people.
        seed: Of the choice of crops.
    """
    rng = np.random.default_rng(seed)
    found = []
    for source in sources:
        chosen = rng.choice(len(source), min(_CROPS, len(source)), replace=False)
        embeddings = encoder.encode(list(source[chosen]))
        similarities = embeddings @ embeddings.T
        found.append(similarities[np.triu_indices(len(chosen), k=1)])
    together = np.concatenate(found)
    return round(float(together.mean()), 4), round(float(together.std()), 4)
