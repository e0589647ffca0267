"""Nearest vectors by inner product. A cache: everything in it can be rebuilt from the database."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.errors import StorageError

Vector = NDArray[np.float32]


class VectorIndex(Protocol):
    """Vectors of one length under integer keys."""

    def __len__(self) -> int:
        """How many vectors there are."""
        ...

    def put(self, key: int, vector: Vector) -> None:
        """Stores ``vector (D,)`` under a key, in place of what was there."""
        ...

    def remove(self, key: int) -> None:
        """Forgets a key; an unknown one is an error (KeyError)."""
        ...

    def search(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """The keys of the nearest vectors with their inner products, nearest first, at most ``count``."""
        ...


class ExactIndex:
    """Compares with every vector, through FAISS. Changing a vector costs the same however many there are.

    Args:
        dim: Length of the vectors.

    Raises:
        StorageError: FAISS is not installed.
    """

    def __init__(self, dim: int) -> None:
        try:
            import faiss
        except ImportError as error:
            raise StorageError("faiss is not installed: pip install 'reid-pipeline[cpu]' (or [gpu])") from error
        faiss.omp_set_num_threads(1)  # its threads would spin beside the detector's
        self._faiss: Any = faiss
        self._index: Any = faiss.IndexFlatIP(dim)
        self._dim = dim
        self._row_of: dict[int, int] = {}
        self._key_of: list[int] = []

    def __len__(self) -> int:
        return len(self._key_of)

    def put(self, key: int, vector: Vector) -> None:
        """See `VectorIndex`."""
        if vector.shape != (self._dim,):
            raise ValueError(f"vector: expected ({self._dim},), got {vector.shape}")
        row = self._row_of.get(key)
        if row is None:
            self._row_of[key] = len(self._key_of)
            self._key_of.append(key)
            self._index.add(vector[None])
        else:
            self._rows()[row] = vector

    def remove(self, key: int) -> None:
        """See `VectorIndex`. The last vector moves into the gap, so nothing is copied."""
        row = self._row_of.pop(key)
        last = len(self._key_of) - 1
        if row != last:
            self._rows()[row] = self._rows()[last]
            self._key_of[row] = self._key_of[last]
            self._row_of[self._key_of[row]] = row
        self._key_of.pop()
        self._index.remove_ids(np.array([last], np.int64))

    def search(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """See `VectorIndex`."""
        count = min(count, len(self))
        if count == 0:
            return []
        similarities, rows = self._index.search(vector[None], count)
        found = [(self._key_of[row], float(value)) for row, value in zip(rows[0], similarities[0], strict=True)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def _rows(self) -> Vector:
        """The stored vectors ``(N, D)`` themselves, not a copy."""
        flat: Vector = self._faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self._dim)
        return flat.reshape(-1, self._dim)
