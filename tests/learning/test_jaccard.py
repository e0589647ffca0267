import numpy as np
import pytest

from reid_pipeline.learning.jaccard import Neighbourhood, find_nearest, jaccard_similarity


def crowd(people=12, per_person=5, cameras=3, spread=0.35, seed=0, dim=16):
    """Embeddings of tracklets of people, who they are, and in which camera."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, dim))
    owner = np.repeat(np.arange(people), per_person)
    features = centres[owner] + spread * rng.normal(size=(len(owner), dim))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32), owner, rng.integers(0, cameras, len(owner))


def ranked(similarity, row, among, count):
    """The nearest of a row, the obvious way."""
    return [other for other in np.argsort(-similarity[row], kind="stable") if other in among][:count]


def neighbours(similarity, cameras, own, others):
    size = len(similarity)
    lists = []
    for row in range(size):
        mine = set(np.flatnonzero(cameras == cameras[row]))
        lists.append((ranked(similarity, row, mine, own), ranked(similarity, row, set(range(size)) - mine, others)))
    return lists


def reciprocal(lists, row):
    return {row} | {other for part in (0, 1) for other in lists[row][part] if row in lists[other][part]}


def slow_jaccard(features, cameras, wanted):
    """The definition with loops over rows and sets, dense."""
    similarity = features.astype(float) @ features.T.astype(float)
    size = len(features)
    full = neighbours(similarity, cameras, wanted.own, wanted.others)
    half = neighbours(similarity, cameras, -(-wanted.own // 2), -(-wanted.others // 2))
    weights = np.zeros((size, size))
    for row in range(size):
        near = reciprocal(full, row)
        grown = set(near)
        for other in near:
            theirs = reciprocal(half, other)
            if len(theirs & near) >= 2 / 3 * len(theirs):
                grown |= theirs
        for other in grown:
            weights[row, other] = np.exp(-(2 - 2 * similarity[row, other]))
        weights[row] /= weights[row].sum()
    mean = np.zeros_like(weights)
    for row in range(size):
        chosen = {row, *full[row][0][: wanted.own_mean], *full[row][1][: wanted.others_mean]}
        mean[row] = np.mean([weights[other] for other in chosen], axis=0)
    lesser = np.minimum(mean[:, None], mean[None]).sum(axis=2)
    return lesser / (2 - lesser)


@pytest.mark.parametrize("wanted", [Neighbourhood(), Neighbourhood(3, 6, 1, 2), Neighbourhood(4, 9, 2, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_the_definition_says(wanted, seed):
    features, _, cameras = crowd(seed=seed)
    found = jaccard_similarity(features, cameras, wanted).toarray()
    np.testing.assert_allclose(found, slow_jaccard(features, cameras, wanted), atol=1e-5)


def test_pairs_that_are_less_alike_are_left_out():
    features, _, cameras = crowd()
    every = jaccard_similarity(features, cameras, Neighbourhood()).toarray()
    some = jaccard_similarity(features, cameras, Neighbourhood(), least=0.3)
    np.testing.assert_allclose(some.toarray(), np.where(every >= 0.3, every, 0.0), atol=1e-6)
    assert some.nnz == (every >= 0.3).sum() < (every > 0).sum()


def test_a_block_of_rows_at_a_time_gives_the_same(monkeypatch):
    features, _, cameras = crowd()
    whole = jaccard_similarity(features, cameras, Neighbourhood()).toarray()
    monkeypatch.setattr("reid_pipeline.learning.jaccard._AT_ONCE", 40)
    np.testing.assert_allclose(jaccard_similarity(features, cameras, Neighbourhood()).toarray(), whole, atol=1e-7)


def test_neighbours_are_looked_for_in_the_own_camera_and_in_the_others_apart():
    features, _, cameras = crowd()
    nearest = find_nearest(features, cameras, Neighbourhood(3, 6))
    expected = neighbours(features.astype(float) @ features.T.astype(float), cameras, 3, 6)
    assert nearest.own.tolist() == [own for own, _ in expected]
    assert nearest.others.tolist() == [others for _, others in expected]


def test_where_there_are_fewer_neighbours_there_is_nobody():
    features = np.array([[1, 0], [0.8, 0.6], [0.96, 0.28]], np.float32)
    nearest = find_nearest(features, np.array([0, 0, 1]), Neighbourhood(3, 4))
    assert nearest.own.tolist() == [[0, 1, -1], [1, 0, -1], [2, -1, -1]]
    assert nearest.others[2].tolist() == [0, 1, -1, -1]


def test_one_camera_alone():
    features, _, _ = crowd(people=3, per_person=2)
    found = jaccard_similarity(features, np.zeros(6, int), Neighbourhood(3, 4)).toarray()
    np.testing.assert_allclose(found, slow_jaccard(features, np.zeros(6, int), Neighbourhood(3, 4)), atol=1e-5)


def test_the_same_person_is_more_alike_than_others():
    features, owner, cameras = crowd()
    found = jaccard_similarity(features, cameras, Neighbourhood(3, 6)).toarray()
    same = owner[:, None] == owner[None]
    assert found[same].mean() > 5 * found[~same].mean()
