"""Looks as bytes against the looks themselves."""

import numpy as np
import pytest

from reid_pipeline.pipeline.byte_codes import ERROR, ByteCodes


def units(count, dim, seed=0):
    looks = np.random.default_rng(seed).normal(size=(count, dim))
    return (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("dim", [64, 100, 256])
@pytest.mark.parametrize("least", [-1.0, 0.3])
def test_the_nearest_of_several_pieces(dim, least):
    looks, stored = units(5, dim, 1), units(300, dim, 2)
    codes = ByteCodes(dim).encode(stored)
    pieces = [codes[:7], codes[7:8], codes[8:250], codes[250:]]
    found = ByteCodes(dim).nearest(looks, pieces, 20, least)
    for similarities, rows in zip(looks @ stored.T, found, strict=True):
        near = rows[rows >= 0]
        assert len(set(near.tolist())) == len(near)
        if len(near) < 20:
            assert set(near.tolist()) >= set(np.flatnonzero(similarities > least + ERROR).tolist())
        assert similarities[near].min(initial=1.0) > least - ERROR
        np.testing.assert_allclose(
            np.sort(similarities[near])[::-1], np.sort(similarities)[::-1][: len(near)], atol=2 * ERROR
        )
    assert (found >= 0).all() == (least < 0)


def test_opposite_looks_and_fewer_than_asked_for():
    axis = np.eye(4, dtype=np.float32)[:1]
    codes = ByteCodes(4)
    found = codes.nearest(axis, [codes.encode(np.concatenate([-axis, axis]))], 3, 0.0)
    assert sorted(found[0].tolist()) == [-1, -1, 1]


def test_looks_without_a_negative_number():
    look = np.full((1, 64), 1 / 8, np.float32)
    codes = ByteCodes(64)
    assert codes.nearest(look, [codes.encode(look)], 1, 1 - ERROR).tolist() == [[0]]
    assert codes.nearest(look, [codes.encode(look)], 1, 1 + ERROR).tolist() == [[-1]]


def test_nothing_is_stored():
    assert ByteCodes(4).nearest(np.eye(4, dtype=np.float32), [], 2, -1.0).tolist() == [[-1, -1]] * 4
