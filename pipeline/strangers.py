"""The newest people of each camera: from them it is learnt how much two different people look alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import Look

STRANGERS: Final = 32  # of each camera


class _Ring:
    """The sums of views of the newest people of one camera; a new one takes the place of the oldest."""

    def __init__(self, dim: int) -> None:
        self.identities = np.full(STRANGERS, -1, np.int64)
        self.sums = np.zeros((STRANGERS, dim), np.float32)
        self.units = np.zeros((STRANGERS, dim), np.float32)
        self.count = 0

    def add(self, identities: Sequence[int], totals: Look) -> None:
        slots = [self._slot(identity) for identity in identities]
        sums = self.sums[slots] + totals
        self.sums[slots] = sums
        self.units[slots] = sums / np.sqrt(np.einsum("nd,nd->n", sums, sums))[:, None]

    def remove(self, identity: int) -> None:
        if identity not in self.identities:
            return
        size = min(self.count, STRANGERS)
        by_age = (np.arange(size) + (self.count if self.count > STRANGERS else 0)) % STRANGERS
        kept = by_age[self.identities[by_age] != identity]
        self.count = len(kept)
        for array, empty in ((self.identities, -1), (self.sums, 0.0), (self.units, 0.0)):
            array[: self.count] = array[kept]
            array[self.count :] = empty

    def _slot(self, identity: int) -> int:
        known = (self.identities == identity).nonzero()[0]
        if len(known):
            return int(known[0])
        slot = self.count % STRANGERS
        self.identities[slot], self.sums[slot] = identity, 0.0
        self.count += 1
        return slot


class Strangers:
    """Remembers the newest people of each camera."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}

    def add(self, camera: str, identities: Sequence[int], totals: Look) -> None:
        """Takes in sums of views ``(N, D)`` of people in a camera."""
        if camera not in self._rings:
            self._rings[camera] = _Ring(totals.shape[1])
        self._rings[camera].add(identities, totals)

    def remove(self, identity: int) -> None:
        """Forgets somebody; nothing happens where that one is unknown."""
        for ring in self._rings.values():
            ring.remove(identity)

    def compare(self, looks: Look, identities: Sequence[int | None]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """How much alike people look who are most probably different, camera by camera.

        Of all people that a camera has seen at most the nearest is the same person; it counts like the second nearest:
        without it, chance would look tame.

        Args:
            looks: ``(N, D)`` of norm 1.
            identities: Whose they are, as far as known.
        """
        own = np.array([-1 if identity is None else identity for identity in identities], np.int64)
        for camera, ring in self._rings.items():
            known = ring.identities[: ring.count]
            similarities = looks @ ring.units[: ring.count].T
            similarities[own[:, None] == known[None]] = -np.inf
            similarities.sort(axis=1)
            if similarities.shape[1] > 1:
                similarities[:, -1] = similarities[:, -2]
                yield camera, similarities[np.isfinite(similarities)]
