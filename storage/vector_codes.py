"""Vectors as twelve bits a number: eight to compare with many quickly, all to compare with the nearest exactly."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.vector_index import Ids, Vectors

Coarse = NDArray[np.uint8]
Fine = NDArray[np.uint8]

_LARGEST: Final = 127.0
_PARTS: Final = 16.0  # of a coarse step, that the other four bits count
_ROWS_AT_ONCE: Final = 16_384
_COMPARED_AT_ONCE: Final = 2_048


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


def compare(query: Vectors, coarse: Coarse, rows: Ids, count: int, scale: float) -> tuple[Ids, Vectors]:
    """Compares some rows by their upper bits.

    Args:
        query: ``(D,)``.
        coarse: ``(N, D)``.
        rows: Which ``(n,)``.
        count: How many to find at most.
        scale: That of the codes.

    Returns:
        The rows that are nearest, in no order, and their similarities, good to some thousandths.

    Raises:
        StorageError: FAISS is not installed.
    """
    library = load_faiss()
    pointer: Any = library.swig_ptr
    # Whole numbers: FAISS compares them as bytes where it can.
    own_scale = _LARGEST / max(float(np.abs(query).max()), 1e-9)
    asked = np.rint(query * np.float32(own_scale)).astype(np.float32)
    scanner = _quantizer(len(query)).select_InvertedListScanner(library.METRIC_INNER_PRODUCT, None, False, None, False)
    scanner.set_query(pointer(asked))
    found, products = np.full(count, -1, np.int64), np.full(count, -np.inf, np.float32)
    for first in range(0, len(rows), _COMPARED_AT_ONCE):
        some = rows[first : first + _COMPARED_AT_ONCE]
        codes = coarse[some]
        scanner.scan_codes(len(some), pointer(codes), pointer(some), pointer(products), pointer(found), count)
    kept = found >= 0
    return found[kept], products[kept] / np.float32(own_scale * scale)


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


def _blocks(vectors: Vectors) -> Iterable[Vectors]:
    return (vectors[first : first + _ROWS_AT_ONCE] for first in range(0, len(vectors), _ROWS_AT_ONCE))
