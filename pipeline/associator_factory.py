"""The associator that the settings ask for: one place for all commands that make identities."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.protocols import Associator
from reid_pipeline.pipeline.two_pass import Operators, TwoPassAssociator, no_operators


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What an associator has to know about an encoder.

    Attributes:
        dim: Length of an embedding.
        different: Mean and standard deviation of the similarity of two different people, as the card says; None where
            it does not.
    """

    dim: int
    different: tuple[float, float] | None = None

    @classmethod
    def of(cls, encoder: GraphEncoder) -> EmbeddingSpace:
        """What an encoder tells."""
        return cls(encoder.dim, encoder.different)


def build_associator(
    settings: AssociationSettings,
    space: EmbeddingSpace,
    next_identity: int = 1,
    *,
    topology: bool = True,
    operators: Operators = no_operators,
    background: bool = False,
) -> Associator:
    """Builds an associator that knows nobody yet.

    Args:
        settings: How identities are made.
        space: Of the encoder whose embeddings it will get.
        next_identity: First number that is free.
        topology: Whether to learn and use how long people take from camera to camera.
        operators: Who else decides about identities.
        background: Whether long work may go on beside the run, as live cameras need it.
    """
    memory_us = settings.memory // timedelta(microseconds=1)
    first = PrototypeAssociator(Gallery(space.dim, memory_us), next_identity, space.different)
    rate = settings.target_false_merge_rate
    worker = ThreadPoolExecutor(1, "second-pass") if background else None
    return TwoPassAssociator(first, memory_us, rate, topology=topology, operators=operators, worker=worker)
