"""Vectors as twelve bits a number: eight to compare with many quickly, all to compare with the nearest exactly."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.vector_index import Ids, Mask, Vectors

Coarse = NDArray[np.uint8]
Fine = NDArray[np.uint8]

_LARGEST: Final = 127.0
_PARTS: Final = 16.0  # of a coarse step, that the other four bits count
_ROWS_AT_ONCE: Final = 16_384
_GATHERED: Final = 2_048  # rows at once, so that they stay near the processor


def scale_of(vectors: Vectors) -> float:
    """By which vectors are multiplied, so that their largest number just fits into a byte."""
    largest = max((float(np.abs(part).max()) for part in _blocks(vectors)), default=0.0)
    return _LARGEST / max(largest, 1e-9)


def fine_width(dim: int) -> int:
    """Bytes of the lower bits of D numbers, two of them in a byte."""
    return (dim + 1) // 2


def encode(vectors: Vectors, scale: float, coarse: Coarse, fine: Fine) -> None:
    """Writes the upper bits of vectors ``(N, D)`` into ``(N, D)`` and the lower ones into ``(N, fine_width(D))``."""
    scaled = vectors * np.float32(scale)
    whole = np.clip(np.rint(scaled), -_LARGEST, _LARGEST)
    coarse[:] = whole + np.float32(_LARGEST + 1)
    rest = np.clip(np.floor((scaled - whole + np.float32(0.5)) * np.float32(_PARTS)), 0, _PARTS - 1).astype(np.uint8)
    fine[:] = rest[:, ::2]
    fine[:, : vectors.shape[1] // 2] |= rest[:, 1::2] << 4


def decode(coarse: Coarse, fine: Fine, scale: float) -> Vectors:
    """The vectors ``(N, D)`` of their bits, to 1/4,000 of the largest number."""
    rest = np.stack([fine & 15, fine >> 4], axis=2).reshape(len(fine), 2 * fine.shape[1])[:, : coarse.shape[1]]
    parts = rest.astype(np.float32) + np.float32(0.5)
    vectors: Vectors = coarse.astype(np.float32) - np.float32(_LARGEST + 1.5)
    vectors += parts / np.float32(_PARTS)
    vectors /= np.float32(scale)
    return vectors


class Scanner:
    """Compares one query with coarse bytes, and keeps the rows that are nearest.

    Args:
        query: ``(D,)``.
        count: How many rows to keep.
        kept: ``(N,)``, the rows that count, as bits; all where it is left out.

    Raises:
        StorageError: FAISS is not installed.
    """

    def __init__(self, query: Vectors, count: int, kept: NDArray[np.uint8] | None = None) -> None:
        library = load_faiss()
        self._pointer: Any = library.swig_ptr
        # Whole numbers: FAISS compares them as bytes where it can.
        self._scale = _LARGEST / max(float(np.abs(query).max()), 1e-9)
        self._query = np.rint(query * np.float32(self._scale)).astype(np.float32)
        self._rows = np.full(count, -1, np.int64)
        self._products = np.full(count, -np.inf, np.float32)
        # FAISS keeps bare pointers to what is held here.
        self._kept = kept
        self._chosen: Any = None if kept is None else library.IDSelectorBitmap(8 * len(kept), self._pointer(kept))
        self._quantizer = _quantizer(len(query))
        self._scanner: Any = self._quantizer.select_InvertedListScanner(
            library.METRIC_INNER_PRODUCT, None, False, self._chosen, False
        )
        self._scanner.set_query(self._pointer(self._query))

    def scan(self, codes: Coarse, runs: Iterable[tuple[int, int]]) -> None:
        """Compares with rows, each run from its first to before its end."""
        labels = _labels(1 << max(len(codes) - 1, 1).bit_length())
        for first, end in runs:
            self._scan(codes[first:end], labels[first:end])

    def scan_rows(self, codes: Coarse, rows: Ids) -> None:
        """Compares with some rows."""
        for first in range(0, len(rows), _GATHERED):
            some = rows[first : first + _GATHERED]
            self._scan(codes[some], some)

    def nearest(self, scale: float) -> tuple[Ids, Vectors]:
        """The rows ``(n,)`` that are nearest, in no order, and their similarities, good to some thousandths.

        Args:
            scale: That of the codes.
        """
        found = self._rows >= 0
        return self._rows[found], self._products[found] / np.float32(self._scale * scale)

    def _scan(self, codes: Coarse, labels: Ids) -> None:
        pointers = [self._pointer(each) for each in (codes, labels, self._products, self._rows)]
        self._scanner.scan_codes(len(labels), *pointers, len(self._rows))


def bits_of(kept: Mask) -> NDArray[np.uint8]:
    """A mask as `Scanner` takes it."""
    return np.packbits(kept, bitorder="little")


def load_faiss() -> Any:
    """FAISS, which has no types.

    Raises:
        StorageError: It is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise StorageError("faiss is not installed: pip install 'reid-pipeline[cpu]' (or [gpu])") from error
    return faiss


@lru_cache(maxsize=8)
def _quantizer(dim: int) -> Any:
    library = load_faiss()
    return library.ScalarQuantizer(dim, library.ScalarQuantizer.QT_8bit_direct_signed)


@cache
def _labels(rows: int) -> Ids:
    return np.arange(rows, dtype=np.int64)


def _blocks(vectors: Vectors) -> Iterable[Vectors]:
    return (vectors[first : first + _ROWS_AT_ONCE] for first in range(0, len(vectors), _ROWS_AT_ONCE))
