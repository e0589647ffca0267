"""One contract for every vector index, against a search by hand."""

import numpy as np
import pytest

from reid_pipeline.storage.vector_index import ExactIndex

DIM = 16


@pytest.fixture(params=[ExactIndex])
def index(request):
    return request.param(DIM)


def unit(random, count=1):
    vectors = random.normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def nearest(known, vector, count):
    """Every key with its inner product, nearest first."""
    products = [(key, float(np.dot(vector.astype(np.float64), other))) for key, other in known.items()]
    return sorted(products, key=lambda pair: -pair[1])[:count]


def agree(found, expected):
    assert [key for key, _ in found] == [key for key, _ in expected]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_any_sequence_of_changes(index, seed):
    random = np.random.default_rng(seed)
    known = {}
    for step in range(400):
        key = int(random.integers(60)) * 1_000_003  # keys are any integers, not rows
        if random.random() < 0.65:
            known[key] = unit(random)[0]
            index.put(key, known[key])
        elif key in known:
            del known[key]
            index.remove(key)
        assert len(index) == len(known)
        if step % 5 == 0:
            wanted = unit(random)[0]
            agree(index.search(wanted, 7), nearest(known, wanted, 7))


def test_filled_and_emptied_and_filled_again(index):
    random = np.random.default_rng(0)
    for _ in range(3):
        vectors = dict(enumerate(unit(random, 20)))
        for key, vector in vectors.items():
            index.put(key, vector)
        agree(index.search(vectors[3], 20), nearest(vectors, vectors[3], 20))
        for key in random.permutation(20).tolist():
            index.remove(key)
        assert len(index) == 0
        assert index.search(vectors[3], 5) == []


def test_the_nearest_comes_first_and_equal_ones_by_key(index):
    axes = np.eye(DIM, dtype=np.float32)
    for key in (9, 3, 12, 7, 1, 8):
        index.put(key, axes[1])
    index.put(4, axes[0])
    assert index.search(axes[1], 9) == [(1, 1.0), (3, 1.0), (7, 1.0), (8, 1.0), (9, 1.0), (12, 1.0), (4, 0.0)]
    assert index.search(axes[0], 1) == [(4, 1.0)]


def test_fewer_vectors_than_asked_for(index):
    index.put(1, unit(np.random.default_rng(0))[0])
    assert len(index.search(unit(np.random.default_rng(1))[0], 10)) == 1


def test_the_stored_vector_is_a_copy(index):
    vector = unit(np.random.default_rng(0))[0]
    wanted = vector.copy()
    index.put(1, vector)
    vector[:] = 0
    assert index.search(wanted, 1)[0][1] == pytest.approx(1)


def test_nothing_in_it(index):
    assert len(index) == 0
    assert index.search(np.zeros(DIM, np.float32), 3) == []


def test_an_unknown_key_cannot_be_removed(index):
    index.put(1, unit(np.random.default_rng(0))[0])
    with pytest.raises(KeyError):
        index.remove(2)
    assert len(index) == 1


@pytest.mark.parametrize("shape", [(DIM - 1,), (1, DIM), ()])
def test_a_vector_of_another_length_is_refused(index, shape):
    with pytest.raises(ValueError, match=r"vector: expected \(16,\), got"):
        index.put(1, np.zeros(shape, np.float32))
    assert len(index) == 0
