"""Looks as bytes, one a number, for a first quick comparison with very many: four times less to read than floats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.errors import PipelineError

Codes = NDArray[np.uint8]
Labels = NDArray[np.int64]

ERROR: Final = 0.02  # of a similarity; the largest of a million, of the looks of three encoders, was 0.018
_LARGEST: Final = 127.0
_WIDEST: Final = 8.0  # deviations of a number of a look of norm 1 that a byte reaches to; what is beyond is cut off


class ByteCodes:
    """Turns looks into bytes and finds the nearest ones, through FAISS.

    Args:
        dim: Length D of a look.

    Raises:
        PipelineError: FAISS is not installed.
    """

    def __init__(self, dim: int) -> None:
        try:
            import faiss
        except ImportError as error:
            raise PipelineError("faiss is not installed: pip install 'reid-pipeline[cpu]' (or [gpu])") from error
        library: Any = faiss
        self._scale = np.float32(_LARGEST * math.sqrt(dim) / _WIDEST)
        self._pointer: Any = library.swig_ptr
        self._quantizer: Any = library.ScalarQuantizer(dim, library.ScalarQuantizer.QT_8bit_direct_signed)
        self._scanner: Any = self._quantizer.select_InvertedListScanner(
            library.METRIC_INNER_PRODUCT, None, False, None, False
        )

    def encode(self, looks: Look) -> Codes:
        """Bytes ``(..., D)`` of looks ``(..., D)`` of norm 1."""
        return (self._quantise(looks) + np.float32(_LARGEST + 1)).astype(np.uint8)

    def nearest(self, looks: Look, stored: Sequence[Codes], count: int, least: float) -> Labels:
        """The nearest of what is stored, for each look.

        Args:
            looks: ``(Q, D)`` of norm 1.
            stored: Codes ``(n, D)``, contiguous; their rows are counted on from one to the next.
            count: How many to find at most.
            least: Similarity above which they count. What is nearer to it than `ERROR` may count or not.

        Returns:
            ``(Q, count)`` rows in no order, -1 where there are not so many.
        """
        # Whole numbers: FAISS compares them as bytes where it can, and as floats elsewhere, with the same result.
        queries = self._quantise(looks)
        labels = np.arange(sum(map(len, stored)), dtype=np.int64)
        ends = np.cumsum([len(codes) for codes in stored])
        parts = [
            (len(codes), self._pointer(codes), self._pointer(labels[end - len(codes) : end]))
            for codes, end in zip(stored, ends.tolist(), strict=True)
        ]
        found = np.full((len(queries), count), -1, np.int64)
        products = np.full((len(queries), count), least * self._scale**2, np.float32)  # what is less does not get in
        for query, heap, rows in zip(queries, products, found, strict=True):
            self._scanner.set_query(self._pointer(query))
            best, best_rows = self._pointer(heap), self._pointer(rows)
            for length, codes, own in parts:
                self._scanner.scan_codes(length, codes, own, best, best_rows, count)
        return found

    def _quantise(self, looks: Look) -> Look:
        whole: Look = np.clip(np.rint(looks * self._scale), -_LARGEST, _LARGEST, dtype=np.float32)
        return whole
