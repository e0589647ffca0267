"""The quick first look at very many vectors: two bits a number, compared by how many of them differ.

A bit tells on which side of the middle a vector lies, along an axis drawn at random. How many differ between two
vectors grows with the angle between them, seen from the middle. That is good enough to choose some thousand of
millions, which are then compared by more.

Source: Charikar, "Similarity estimation techniques from rounding algorithms", 2002; axes at right angles: Ji, Li, Yan,
Zhang, Tian, "Super-bit locality-sensitive hashing", 2012; by Hadamard's matrix: Ailon, Chazelle, "Approximate nearest
neighbors and the fast Johnson-Lindenstrauss transform", 2006.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.vector_codes import load_faiss
from reid_pipeline.storage.vector_index import Ids, Mask, Vectors

Bits = NDArray[np.uint8]

_TIMES: Final = 2  # bits a number: with one, strangers that are a little more alike than others are not told apart
_WORD: Final = 64  # bits that FAISS compares at once
_ROWS_AT_ONCE: Final = 65_536


def bits_width(dim: int) -> int:
    """Bytes of the bits of D numbers: two each, and more up to a power of two and a whole word."""
    return max(_TIMES * _axes(dim), _WORD) // 8


def turn(vectors: Vectors) -> Vectors:
    """Vectors ``(N, D)`` along B axes ``(B, N)``, drawn some D at a time that are at right angles.

    By random signs and Hadamard's matrix: without a product of matrices, whose threads would wait for those of others,
    and to the last bit the same everywhere.
    """
    count, dim = vectors.shape
    width, axes = 8 * bits_width(dim), _axes(dim)
    turned = np.zeros((width // axes, axes, count), np.float32)
    turned[:, :dim] = vectors.T * _signs(width // axes, dim)
    half = 1
    while half < axes:
        pairs = turned.reshape(-1, 2, half, count)
        pairs[:, 0], pairs[:, 1] = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        half *= 2
    return turned.reshape(width, count)


def take_bits(turned: Vectors, middles: Vectors) -> Bits:
    """The bits ``(N, B / 8)`` of turned vectors ``(B, N)``, given where the middle is along each axis ``(B,)``."""
    return np.packbits(turned > middles[:, None], axis=0).T


class FirstLook:
    """Sifts rows of several parts for those whose bits differ least from a query's.

    Args:
        count: How many rows to find; somewhat more where many differ as much.
        width: Bytes of the bits of a row.
    """

    def __init__(self, count: int, width: int) -> None:
        self._count = count
        self._seen = np.zeros(8 * width + 1, np.int64)  # rows that were let through, by how many bits differ
        self._bound = len(self._seen)  # there are enough that differ by less, or as much
        self._found: list[tuple[int, Ids, NDArray[np.int32]]] = []

    def sift(self, part: int, query: Bits, bits: Bits, run: tuple[int, int], gone: Mask) -> None:
        """Looks through a run of rows of a part, from its first to before its end.

        Args:
            part: Its number.
            query: ``(1, W)``, taken as those of the part.
            bits: ``(N, W)``, of the part.
            run: Which rows.
            gone: ``(N,)``, rows that do not count.
        """
        for first in range(*run, _ROWS_AT_ONCE):
            end = min(first + _ROWS_AT_ONCE, run[1])
            differing = count_differing(query, bits[first:end])
            near = np.flatnonzero(differing < self._bound)
            near = near[~gone[first:end][near]]
            if len(near):
                self._let_through(part, near + first, differing[near])

    def nearest(self) -> Iterator[tuple[int, Ids]]:
        """The parts with rows among the nearest, and these rows."""
        kept: dict[int, list[Ids]] = {}
        for part, rows, differing in self._found:
            kept.setdefault(part, []).append(rows[differing <= self._bound])
        return ((part, np.concatenate(rows)) for part, rows in kept.items())

    def _let_through(self, part: int, rows: Ids, differing: NDArray[np.int32]) -> None:
        self._seen += np.bincount(differing, minlength=len(self._seen))
        self._bound = int(np.cumsum(self._seen).searchsorted(self._count))
        kept = differing <= self._bound
        self._found.append((part, rows[kept], differing[kept]))


def count_differing(query: Bits, bits: Bits) -> NDArray[np.int32]:
    """How many bits of rows ``(N, W)`` differ from a query's ``(1, W)``; W is a multiple of 8.

    Raises:
        StorageError: FAISS is not installed.
    """
    library = load_faiss()
    differing = np.empty(len(bits), np.int32)
    pointers = [library.swig_ptr(each) for each in (query, bits, differing)]
    library.hammings(*pointers[:2], 1, len(bits), bits.shape[1], pointers[2])
    return differing


def _axes(dim: int) -> int:
    return 1 << (dim - 1).bit_length()


@cache
def _signs(times: int, dim: int) -> Vectors:
    """Drawn ``(times, D, 1)``; the stream of raw bits is the same in every version of NumPy."""
    drawn = np.random.PCG64(0).random_raw((times, dim, 1)) >> np.uint64(63)
    return 1 - 2 * drawn.astype(np.float32)
