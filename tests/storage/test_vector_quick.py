"""The first look at very many vectors, against counting bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard

from reid_pipeline.storage import vector_quick
from reid_pipeline.storage.vector_quick import FirstLook, bits_width, count_differing, take_bits, turn
from tests.storage.vector_reference import units


def differing(query, bits):
    return np.unpackbits(query ^ bits, axis=1).sum(axis=1)


@pytest.mark.parametrize(("dim", "width"), [(1, 8), (16, 8), (64, 16), (65, 32), (256, 64), (384, 128)])
def test_width_of_the_bits(dim, width):
    assert bits_width(dim) == width


@pytest.mark.parametrize("dim", [1, 16, 100, 256])
def test_turned_by_signs_and_hadamards_matrix(dim):
    vectors, axes = units(np.random.default_rng(0), 7, dim), 1 << (dim - 1).bit_length()
    times = 8 * bits_width(dim) // axes
    padded = np.zeros((7, axes))
    expected = []
    for signs in vector_quick._signs(times, dim)[:, :, 0]:
        padded[:, :dim] = vectors * signs
        expected.append(hadamard(axes) @ padded.T)
    np.testing.assert_allclose(turn(vectors), np.concatenate(expected), atol=1e-4)


def test_no_axis_is_drawn_twice():
    turned = turn(np.eye(32, dtype=np.float32))
    alike = np.abs(turned @ turned.T) / 32
    assert (alike - np.eye(len(alike))).max() < 0.9


def test_signs_are_the_same_everywhere():
    """Of another stream of numbers, the bits of queries would not fit those in the files."""
    signs = vector_quick._signs(2, 12).ravel()
    assert signs.tolist() == [-1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, 1, -1, 1, -1, 1, -1, -1, 1, 1, 1, 1, -1, -1]


def test_bits_tell_the_side_of_the_middle():
    vectors = units(np.random.default_rng(0), 50, 100)
    middles = turn(vectors.mean(axis=0)[None])[:, 0]
    bits = take_bits(turn(vectors), middles)
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1), (turn(vectors) > middles[:, None]).T)


def test_the_part_that_differs_grows_with_the_angle():
    rng = np.random.default_rng(0)
    one, other = units(rng, 200, 256), units(rng, 200, 256)
    for angle in (0.3, 0.8, 1.3):
        aside = other - (other * one).sum(axis=1, keepdims=True) * one
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        near = (np.cos(angle) * one + np.sin(angle) * aside).astype(np.float32)
        bits, theirs = (take_bits(turn(each), np.zeros(512, np.float32)) for each in (one, near))
        assert differing(bits, theirs).mean() / 512 == pytest.approx(angle / np.pi, abs=0.01)


@pytest.mark.parametrize("width", [8, 16, 32, 40, 64])
def test_bits_that_differ_are_counted(width):
    rng = np.random.default_rng(0)
    bits = rng.integers(256, size=(100, width), dtype=np.uint8)
    np.testing.assert_array_equal(count_differing(bits[3:4], bits[10:]), differing(bits[3], bits[10:]))


class TestFirstLook:
    @pytest.mark.parametrize("rows_at_once", [3, 17, 10_000])
    @pytest.mark.parametrize("count", [1, 30, 200, 5_000])
    def test_it_keeps_those_that_differ_least(self, monkeypatch, rows_at_once, count):
        monkeypatch.setattr(vector_quick, "_ROWS_AT_ONCE", rows_at_once)
        rng = np.random.default_rng(0)
        look = FirstLook(count, 8)
        every, passing = [], []
        for part in range(3):
            query, bits, gone = *draw(rng, 300), rng.random(300) < 0.2
            runs = [(0, 40), (100, 101), (120, 120), (150, 290)]
            for run in runs:
                look.sift(part, query, bits, run, gone)
            rows = np.concatenate([np.arange(*run) for run in runs])
            passing += [(part, row) for row in rows[~gone[rows]].tolist()]
            every += differing(query, bits[rows[~gone[rows]]]).tolist()
        found = [(part, row) for part, rows in look.nearest() for row in rows.tolist()]
        assert len(found) == len(set(found))
        least = sorted(every)[:count][-1]
        distances = dict(zip(passing, every, strict=True))
        assert {each for each, value in distances.items() if value < least} <= set(found)
        assert all(distances[each] <= least for each in found)
        assert min(count, len(every)) <= len(found)

    def test_all_the_same(self):
        """As many as were looked at before there were enough, not all."""
        query, bits = np.ones((1, 8), np.uint8), np.ones((100_000, 8), np.uint8)
        look = FirstLook(10, 8)
        look.sift(0, query, bits, (0, 100_000), np.zeros(100_000, bool))
        [(part, rows)] = look.nearest()
        assert part == 0
        np.testing.assert_array_equal(rows, np.arange(vector_quick._ROWS_AT_ONCE))

    def test_nobody(self):
        look = FirstLook(10, 8)
        look.sift(0, np.zeros((1, 8), np.uint8), np.zeros((5, 8), np.uint8), (0, 5), np.ones(5, bool))
        assert list(look.nearest()) == []


def draw(rng, count):
    """A query, and bits some of which are near it."""
    query = rng.integers(256, size=(1, 8), dtype=np.uint8)
    return query, query ^ (
        rng.integers(256, size=(count, 8), dtype=np.uint8) & rng.integers(256, size=(count, 1)).astype(np.uint8)
    )
