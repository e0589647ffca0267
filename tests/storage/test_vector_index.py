"""What every vector index has to do, against a plain one; and what is particular to the segmented one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from reid_pipeline.storage import vector_codes, vector_index_ivf, vector_quick, vector_segment
from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.vector_codes import Scanner, decode, encode, scale_of
from reid_pipeline.storage.vector_index import EVERYBODY, NOBODY, Entries, IndexFilter, join_entries
from reid_pipeline.storage.vector_index_exact import ExactIndex
from reid_pipeline.storage.vector_index_gpu import GpuIndex
from reid_pipeline.storage.vector_index_ivf import SegmentedIndex
from reid_pipeline.storage.vector_segment import build_segment
from tests.storage.vector_reference import DIM, PlainIndex, draw, passes, units

SECOND_US = 1_000_000
FILTERS = {
    "all": EVERYBODY,
    "cameras": IndexFilter((1, 3)),
    "no camera": IndexFilter(()),
    "unknown camera": IndexFilter((99,)),
    "since": IndexFilter(since_us=300 * SECOND_US),
    "until": IndexFilter(until_us=300 * SECOND_US),
    "one camera for a while": IndexFilter((2,), 250 * SECOND_US, 300 * SECOND_US),
    "never": IndexFilter(since_us=300 * SECOND_US, until_us=300 * SECOND_US),
    "backwards": IndexFilter(since_us=300 * SECOND_US, until_us=200 * SECOND_US),
}


@pytest.fixture
def small(monkeypatch):
    """Segments of a hundred and more, with quick codes."""
    monkeypatch.setattr(vector_index_ivf, "SEAL_ROWS", 100)
    monkeypatch.setattr(vector_index_ivf, "MOST_ROWS", 1_600)
    monkeypatch.setattr(vector_quick, "QUICK_ROWS", 150)


class OnProcessor:
    """Blocks as a graphics processor searches them, without one."""

    def __init__(self, vectors):
        self.vectors = vectors

    def search(self, queries, k):
        similarities = queries @ self.vectors.T
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(similarities, order, axis=1), order


def settled(index):
    if isinstance(index, SegmentedIndex):
        index.settle()
    return index


MAKERS = {
    "exact": ExactIndex,
    "segmented": SegmentedIndex,
    "blocks": lambda dim: GpuIndex(dim, OnProcessor, block_rows=64),
}


@pytest.fixture(params=[*MAKERS, "graphics"])
def make(request, small):
    if request.param == "graphics":
        faiss = pytest.importorskip("faiss")
        if not faiss.get_num_gpus():
            pytest.skip("no graphics processor")
        return GpuIndex
    return MAKERS[request.param]


def check_same(index, plain, rng, k=7, wanted=EVERYBODY):
    assert len(index) == len(plain)
    np.testing.assert_array_equal(index.ids(), plain.ids())
    queries = units(rng, 5)
    found, truth = index.search(queries, k, wanted), plain.search(queries, k, wanted)
    np.testing.assert_array_equal(found.ids == NOBODY, truth.ids == NOBODY)
    np.testing.assert_allclose(found.similarities, truth.similarities, atol=2e-3)
    for query, ids, right in zip(queries, found, truth.similarities, strict=True):
        assert len(ids) == len(set(ids))
        own = [plain.rows[each] for each in ids]
        assert all(passes(wanted, *row[:2]) for row in own)
        # Not the same ids: two may be as alike as their codes can tell.
        np.testing.assert_allclose([row[2] @ query for row in own], right[: len(ids)], atol=2e-3)


class TestContract:
    @pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
    def test_the_filter_comes_before_the_search(self, make, wanted):
        rng = np.random.default_rng(1)
        index, plain = make(DIM), PlainIndex()
        for first in range(1, 700, 70):
            entries = draw(rng, first, 70)
            index.add(entries)
            plain.add(entries)
            settled(index)
        check_same(index, plain, rng, wanted=wanted)
        check_same(index, plain, rng, k=1, wanted=wanted)

    @pytest.mark.parametrize("seed", range(3))
    def test_after_anything_that_may_happen(self, make, seed):
        rng = np.random.default_rng(seed)
        index, plain, last = make(DIM), PlainIndex(), 0
        for _ in range(20):
            entries = draw(rng, last + 1, int(rng.integers(1, 120)))
            last = int(entries.ids[-1])
            gone = rng.choice(last + 10, size=int(rng.integers(1, 60)))
            before_us = int(rng.integers(last)) * SECOND_US // 2
            for each in (index, plain):
                each.add(entries)
            what = rng.choice(["remove", "purge", "expire", "nothing"])
            done = [
                each.expire(before_us) if what == "expire" else getattr(each, what)(gone)
                for each in (index, plain)
                if what != "nothing"
            ]
            assert len(set(done)) <= 1
            settled(index)
            check_same(index, plain, rng)
            check_same(index, plain, rng, wanted=IndexFilter((0, 2), last * SECOND_US // 3))

    def test_nothing_in_it(self, make):
        found = make(DIM).search(units(np.random.default_rng(0), 2), 3)
        assert (found.ids == NOBODY).all()
        assert np.isneginf(found.similarities).all()
        assert list(found) == [[], []]

    def test_fewer_than_asked_for(self, make):
        rng = np.random.default_rng(0)
        index = make(DIM)
        entries = draw(rng, 5, 3)
        index.add(entries)
        [found] = index.search(entries.vectors[1:2], 10)
        assert found[0] == 6
        assert sorted(found) == [5, 6, 7]

    def test_what_is_there_stays_as_it_is(self, make):
        rng = np.random.default_rng(0)
        index, first = make(DIM), draw(rng, 1, 200)
        index.add(first)
        settled(index)
        index.add(draw(rng, 101, 200))
        plain = PlainIndex()
        assert len(index) == 300
        [found] = index.search(first.vectors[150:151], 1)
        assert found == [151]
        assert plain.remove(np.array([1])) == 0

    def test_removed_twice_counts_once(self, make):
        index = make(DIM)
        index.add(draw(np.random.default_rng(0), 1, 200))
        settled(index)
        assert index.remove(np.array([3, 4, 1000])) == 2
        assert index.remove(np.array([3, 4])) == 0
        assert len(index) == 198

    def test_vectors_of_another_length(self, make):
        index = make(DIM)
        with pytest.raises(StorageError, match=r"expected vectors of 16 numbers, got an array \(2, 8\)"):
            index.add(draw(np.random.default_rng(0), 1, 2, dim=8))
        with pytest.raises(StorageError, match="expected vectors of 16"):
            index.search(units(np.random.default_rng(0), 1, 8), 1)

    def test_memory_is_told(self, make):
        index = make(DIM)
        index.add(draw(np.random.default_rng(0), 1, 200))
        assert index.nbytes >= 200 * (DIM + 16)


def test_entries_belong_together():
    entries = draw(np.random.default_rng(0), 1, 3)
    with pytest.raises(ValueError, match="expected N of each"):
        Entries(entries.ids[:2], entries.cameras, entries.times_us, entries.vectors)


def grown(rng, rows=1_000):
    index, plain = SegmentedIndex(DIM), PlainIndex()
    for first in range(1, rows + 1, 100):
        entries = draw(rng, first, 100)
        for each in (index, plain):
            each.add(entries)
        index.settle()
    return index, plain


class TestSegments:
    def test_small_neighbours_are_joined(self, small):
        index, _ = grown(np.random.default_rng(0))
        assert [len(each) for each in index.segments] == [400, 400, 100, 100]
        assert len(index.newest) == 0
        assert [each.quick is not None for each in index.segments] == [True, True, False, False]

    def test_none_becomes_larger_than_the_largest(self, small):
        index, plain = grown(np.random.default_rng(0), 3_500)
        assert [len(each) for each in index.segments] == [1_600, 1_600, 100, 100, 100]
        check_same(index, plain, np.random.default_rng(1))

    def test_what_is_over_is_dropped_whole(self, small):
        index, _ = grown(np.random.default_rng(0))
        last = index.segments[-1]
        index.expire(int(last.arrays.times_us.max()) + 1)
        assert len(index) == 0
        assert index.segments == ()

    def test_written_anew_when_much_is_gone(self, small):
        index, plain = grown(np.random.default_rng(0))
        for each in (index, plain):
            each.remove(np.arange(1, 150))
        assert index.segments[0].rows == 400
        index.settle()
        assert index.segments[0].rows == 251
        check_same(index, plain, np.random.default_rng(1))

    def test_searched_and_changed_while_it_is_sealed(self, small, monkeypatch):
        rng = np.random.default_rng(0)
        index, plain = SegmentedIndex(DIM), PlainIndex()
        entries, late = draw(rng, 1, 200), draw(rng, 201, 50)
        for each in (index, plain):
            each.add(entries)
        begun, go_on = threading.Event(), threading.Event()

        def slowly(some):
            begun.set()
            assert go_on.wait(10)
            return build_segment(some)

        monkeypatch.setattr(vector_index_ivf, "build_segment", slowly)
        thread = threading.Thread(target=index.settle)
        thread.start()
        assert begun.wait(10)
        for each in (index, plain):
            each.remove(np.arange(20, 40))
            each.expire(10 * SECOND_US)
            each.add(late)
        check_same(index, plain, rng)
        assert index.segments == ()
        go_on.set()
        thread.join()
        assert [len(each) for each in index.segments] == [len(plain) - 50]
        check_same(index, plain, rng)

    def test_all_is_over_while_it_is_sealed(self, small, monkeypatch):
        index = SegmentedIndex(DIM)
        index.add(draw(np.random.default_rng(0), 1, 200))

        def too_late(entries):
            index.expire(10**12)
            return build_segment(entries)

        monkeypatch.setattr(vector_index_ivf, "build_segment", too_late)
        index.settle()
        assert (len(index), index.segments) == (0, ())

    def test_what_could_not_be_sealed_is_sealed_later(self, small, monkeypatch):
        index, plain = SegmentedIndex(DIM), PlainIndex()
        for each in (index, plain):
            each.add(draw(np.random.default_rng(0), 1, 200))
        with monkeypatch.context() as patch:
            patch.setattr(vector_index_ivf, "build_segment", None)
            with pytest.raises(TypeError):
                index.settle()
        check_same(index, plain, np.random.default_rng(1))
        index.settle()
        assert [len(each) for each in index.segments] == [200]
        check_same(index, plain, np.random.default_rng(1))

    def test_quick_codes_find_the_nearest_of_many(self, monkeypatch):
        """Recall of ten among 20,000 strangers, with and without a filter by time that cuts the cameras."""
        rng = np.random.default_rng(0)
        entries = draw(rng, 1, 20_000, dim=64)
        index = SegmentedIndex(64, [build_segment(entries)])
        assert index.segments[0].quick is not None
        queries = units(rng, 40, 64)
        for wanted in (EVERYBODY, IndexFilter(since_us=6_000 * SECOND_US), IndexFilter((1,))):
            kept = wanted.keeps(entries.cameras, entries.times_us)
            truth = ExactIndex(64)
            truth.add(entries.only(kept))
            pairs = zip(index.search(queries, 10, wanted), truth.search(queries, 10), strict=True)
            assert np.mean([len(set(found) & set(right)) / 10 for found, right in pairs]) > 0.98

    def test_eight_bits_choose_among_those_of_a_quick_look(self):
        """Fewer are compared exactly than a quick look needs to find."""
        rng = np.random.default_rng(0)
        entries = draw(rng, 1, 20_000, dim=64)
        segment = build_segment(entries)
        everybody, missed = segment.select(EVERYBODY), 0
        for query in units(rng, 20, 64):
            rows, alike = segment.near(query, 104, everybody)
            right = segment.arrays.ids[rows[np.argsort(-alike)[:10]]]
            missed += len(set(np.argsort(-(entries.vectors @ query))[:10] + 1) - set(right.tolist()))
            assert len(rows) == 104
        assert missed < 20 * 10 * 0.05

    def test_shared_between_threads(self, small, monkeypatch):
        index, plain = grown(np.random.default_rng(0))
        monkeypatch.setattr(vector_index_ivf, "_SHARED_ROWS", 1)
        check_same(index, plain, np.random.default_rng(1))

    def test_similarities_are_those_of_the_vectors(self, small):
        rng = np.random.default_rng(0)
        entries = draw(rng, 1, 300)
        index = SegmentedIndex(DIM, [build_segment(entries)])
        found = index.search(entries.vectors[:20], 1)
        np.testing.assert_array_equal(found.ids[:, 0], entries.ids[:20])
        np.testing.assert_allclose(found.similarities[:, 0], 1, atol=1e-3)

    @pytest.mark.parametrize("dim", [1, 3, 8])
    def test_any_length_can_be_sealed(self, small, dim):
        entries = draw(np.random.default_rng(0), 1, 200, dim=dim)
        segment = build_segment(entries)
        again = segment.entries()
        order = np.argsort(again.ids)
        np.testing.assert_allclose(again.vectors[order], entries.vectors, atol=3e-4)
        np.testing.assert_array_equal(again.cameras[order], entries.cameras)
        np.testing.assert_array_equal(again.times_us[order], entries.times_us)

    def test_a_purge_leaves_no_byte(self, small):
        rng = np.random.default_rng(0)
        entries = draw(rng, 1, 600)
        segment = build_segment(entries)
        gone = rng.choice(entries.ids, 50, replace=False)
        rows = np.flatnonzero(np.isin(segment.arrays.ids, gone))
        quick = quick_codes(segment)
        assert segment.purge(gone) == 50
        assert not segment.arrays.ids[rows].any()
        assert not segment.arrays.coarse[rows].any()
        assert not segment.arrays.fine[rows].any()
        assert not quick_codes(segment)[rows].any()
        others = np.delete(np.arange(600), rows)
        np.testing.assert_array_equal(quick_codes(segment)[others], quick[others])
        left = set(segment.arrays.times_us.tolist())
        assert left.isdisjoint(entries.times_us[np.isin(entries.ids, gone)].tolist())
        for first, end in zip(segment.arrays.starts[:-1], segment.arrays.starts[1:], strict=True):
            assert (np.diff(segment.arrays.times_us[first:end]) >= 0).all()

    def test_runs_that_meet_are_one(self):
        runs = [(0, 3), (3, 3), (3, 5), (7, 9), (9, 12)]
        assert vector_segment._joined(runs) == [(0, 5), (7, 12)]


def quick_codes(segment):
    """The code of each row, as FAISS unpacks them."""
    return np.stack([code_of(segment.quick, segment.arrays.starts, row) for row in range(segment.rows)])


def code_of(quick, starts, row):
    import faiss

    lists, place = quick._lists, int(np.searchsorted(starts, row, side="right")) - 1
    block, offset = divmod(row - int(starts[place]), lists.n_per_block)
    packed = faiss.rev_swig_ptr(lists.get_codes(place), (block + 1) * lists.block_size)
    return lists.packer.unpack_1(packed[block * lists.block_size :].reshape(1, lists.block_size), offset)


def test_a_segment_without_anybody_near_gives_no_vectors():
    assert decode(np.zeros((0, 8), np.uint8), np.zeros((0, 4), np.uint8), 1.0).shape == (0, 8)


def test_a_purge_overwrites_what_was_not_sealed():
    index = ExactIndex(DIM)
    index.add(draw(np.random.default_rng(0), 1, 20))
    before = index.entries.vectors
    index.purge(np.array([7]))
    assert not before.any()
    assert len(index) == 19


def test_joined_entries_are_in_order():
    rng = np.random.default_rng(0)
    parts = [draw(rng, 1, 3), draw(rng, 4, 2)]
    assert join_entries(parts).ids.tolist() == [1, 2, 3, 4, 5]


def test_rows_far_down_a_long_list_are_overwritten():
    vectors = np.random.default_rng(0).standard_normal((140_000, 4)).astype(np.float32)
    starts = np.array([0, len(vectors)])
    quick = vector_quick.build_quick(vectors, starts)
    erased, others = [5, len(vectors) - 1], [6, len(vectors) - 2]
    before = [code_of(quick, starts, row) for row in others]
    assert any(code_of(quick, starts, row).any() for row in erased)
    quick.erase(starts, np.array(erased))
    assert not any(code_of(quick, starts, row).any() for row in erased)
    np.testing.assert_array_equal([code_of(quick, starts, row) for row in others], before)


def test_a_search_does_not_wait_for_other_cores(monkeypatch):
    """Two threads of a search would each have FAISS start as many as there are cores, and wait for all of them."""
    import faiss

    vectors = units(np.random.default_rng(0), 200)
    quick, threads = vector_quick.build_quick(vectors, np.array([0, 200])), []
    searching = type(quick._index).search_preassigned_c

    def spy(*arguments):
        threads.append(faiss.omp_get_max_threads())
        return searching(*arguments)

    monkeypatch.setattr(type(quick._index), "search_preassigned_c", spy)
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        assert vectors[quick.nearest(vectors[7], 1, np.array([0]), None)] @ vectors[7] > 0.8
        assert (threads, faiss.omp_get_max_threads()) == ([1], 3)
    finally:
        faiss.omp_set_num_threads(before)


class TestScanner:
    def test_rows_are_compared_as_runs_are(self, monkeypatch):
        monkeypatch.setattr(vector_codes, "_GATHERED", 7)
        rng = np.random.default_rng(0)
        vectors, query = units(rng, 500), units(rng, 1)[0]
        coarse, fine = np.empty((500, DIM), np.uint8), np.empty((500, DIM // 2), np.uint8)
        scale = scale_of(vectors)
        encode(vectors, scale, coarse, fine)
        rows = np.sort(rng.choice(500, 60, replace=False))
        by_rows, by_runs = Scanner(query, 10), Scanner(query, 10)
        by_rows.scan_rows(coarse, rows)
        by_runs.scan(coarse, [(row, row + 1) for row in rows.tolist()])
        found, alike = by_rows.nearest(scale)
        assert set(found.tolist()) == set(rows[np.argsort(-(vectors[rows] @ query))[:10]].tolist())
        np.testing.assert_allclose(alike, vectors[found] @ query, atol=0.01)
        for one, other in zip(by_runs.nearest(scale), (found, alike), strict=True):
            np.testing.assert_array_equal(np.sort(one), np.sort(other))

    def test_fewer_than_asked_for(self):
        coarse = np.full((3, 4), 200, np.uint8)
        scanner = Scanner(np.ones(4, np.float32), 10)
        scanner.scan_rows(coarse, np.array([2, 0]))
        assert sorted(scanner.nearest(1.0)[0].tolist()) == [0, 2]
