"""The bytes that an embedding is stored as: ``float32`` little endian, sealed on an encrypted site."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from reid_pipeline.storage.encryption import OVERHEAD, SEALED, Kind, Place, Sealer, Vault


class VectorName(NamedTuple):
    """Whose embedding it is: the tracklet by camera and number, the capture time, and the hash of the model."""

    camera: str
    number: int
    time_us: int
    model_hash: str

    @property
    def place(self) -> Place:
        """Whose key it has."""
        return Place.at(Kind.EMBEDDINGS, self.camera, self.time_us)

    def __str__(self) -> str:
        return f"{self.number} {self.time_us} {self.model_hash}"


def seal_vector(sealer: Sealer, name: VectorName, vector: NDArray[np.float32]) -> bytes:
    """The bytes to store of a vector ``(D,)``."""
    return sealer.seal(name.place, str(name), vector.astype("<f4").tobytes())


def open_vectors(vault: Vault, session: Session, stored: Iterable[tuple[VectorName, bytes]]) -> NDArray[np.float32]:
    """Vectors ``(N, D)`` of a model as they were before they were stored; of at least one.

    Args:
        vault: Of the site.
        session: The transaction that they were read in.
        stored: Each with its name.

    Raises:
        SealBroken: One was changed, or put in the place of another one.
    """
    opened = [
        vault.open(name.place, str(name), content, session) if content.startswith(SEALED) else content
        for name, content in stored
    ]
    return np.frombuffer(b"".join(opened), "<f4").astype(np.float32).reshape(len(opened), -1)


def count_numbers(stored: bytes) -> int:
    """How many numbers a stored vector has."""
    return (len(stored) - (OVERHEAD if stored.startswith(SEALED) else 0)) // 4
