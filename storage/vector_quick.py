"""The quick first look at very many vectors: four bits for four numbers, compared in the registers of the processor.

A product quantiser whose inverted lists are cameras. What it says is good enough to choose some hundred of a million,
which are then compared by more.

Source: André, Kermarrec, Le Scouarnec, "Quick(er) ADC", 2018, as FAISS has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.vector_codes import load_faiss
from reid_pipeline.storage.vector_index import Ids, Mask, Vectors

QUICK_ROWS: Final = 16_384  # fewer are as well compared by eight bits
_SAMPLE: Final = 8_192
_BITS: Final = 4
_NUMBERS: Final = 4  # that share the bits


def is_quick(rows: int, dim: int) -> bool:
    """Whether N vectors of D numbers are worth it and can be had so."""
    return rows >= QUICK_ROWS and dim % _NUMBERS == 0


class QuickCodes:
    """N vectors as codes, in lists.

    Args:
        index: Of FAISS, as `build_quick` makes it.
    """

    def __init__(self, index: Any) -> None:
        self._library = load_faiss()
        self._index = index
        self._lists: Any = self._library.downcast_InvertedLists(index.invlists)

    @property
    def nbytes(self) -> int:
        """Memory that it takes; rows stand in blocks of 32."""
        sizes = [self._index.get_list_size(number) for number in range(self._index.nlist)]
        blocks = sum(-(-size // self._lists.n_per_block) for size in sizes)
        return int(blocks * self._lists.block_size + 8 * sum(sizes))

    def nearest(self, query: Vectors, count: int, lists: Ids, kept: NDArray[np.uint8] | None) -> Ids:
        """The rows ``(n,)`` of some lists that seem nearest to a query ``(D,)``.

        Args:
            query: What is compared.
            count: How many rows to find at most.
            lists: Which lists.
            kept: The rows that count, as bits; all where it is None.
        """
        chosen = None if kept is None else self._library.IDSelectorBitmap(8 * len(kept), self._library.swig_ptr(kept))
        how = self._library.SearchParametersIVF(sel=chosen, nprobe=len(lists))
        asked, keys, offsets = query.astype(np.float32), lists.astype(np.int64), np.zeros(len(lists), np.float32)
        similarities, rows = np.empty(count, np.float32), np.empty(count, np.int64)
        pointers = [self._library.swig_ptr(each) for each in (asked, keys, offsets, similarities, rows)]
        with _one_core(self._library):
            self._index.search_preassigned_c(1, pointers[0], count, *pointers[1:], False, how)
        return rows[rows >= 0]

    def erase(self, starts: Ids, rows: Ids) -> None:
        """Overwrites the codes of rows, given where each list starts."""
        blank, rows_of_block = np.zeros(self._index.code_size, np.uint8), self._lists.n_per_block
        for row, place in zip(rows.tolist(), (np.searchsorted(starts, rows, side="right") - 1).tolist(), strict=True):
            block, offset = divmod(row - int(starts[place]), rows_of_block)
            size = self._lists.block_size
            codes = self._library.rev_swig_ptr(self._lists.get_codes(place), (block + 1) * size)
            # Block by block: FAISS refuses rows far down a long list.
            self._lists.packer.pack_1(blank, offset, codes[block * size :].reshape(1, size))

    def write(self, path: Path) -> None:
        """Writes it to a file."""
        self._library.write_index(self._index, str(path))


def read_quick(path: Path) -> QuickCodes:
    """Reads what was written; the file has to be whole."""
    return QuickCodes(load_faiss().read_index(str(path)))


def build_quick(vectors: Vectors, starts: Ids) -> QuickCodes:
    """Learns and makes the codes.

    Args:
        vectors: ``(N, D)``, list after list.
        starts: ``(L + 1,)``, first row of each list, and the end.

    Raises:
        StorageError: FAISS is not installed.
    """
    library = load_faiss()
    dim, lists = vectors.shape[1], len(starts) - 1
    centres = library.IndexFlatIP(dim)  # asked for by FAISS, and never looked at: who searches names the lists
    centres.add(np.zeros((lists, dim), np.float32))
    index = library.IndexIVFPQ(centres, dim, lists, dim // _NUMBERS, _BITS, library.METRIC_INNER_PRODUCT)
    index.by_residual = False
    index.pq.cp.min_points_per_centroid = 1
    numbers, places = np.arange(len(vectors)), np.repeat(np.arange(lists), np.diff(starts))
    with _one_core(library):
        index.pq.train(vectors[:: -(-len(vectors) // _SAMPLE)].copy())
        index.is_trained = True
        index.add_core(len(vectors), *(library.swig_ptr(each) for each in (vectors, numbers, places)))
    quick = library.IndexIVFPQFastScan(index)
    quick.own_fields = False
    quick.referenced_objects = [centres]
    return QuickCodes(quick)


@contextmanager
def _one_core(library: Any) -> Iterator[None]:
    """Keeps FAISS, in this thread, from waiting for other cores, which have better to do: a run may be beside it."""
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


def rows_mask(rows: int, runs: list[tuple[int, int]]) -> Mask:
    """A mask ``(N,)`` of runs of rows."""
    kept = np.zeros(rows, bool)
    for first, end in runs:
        kept[first:end] = True
    return kept
