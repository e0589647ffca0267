from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from reid_pipeline.learning.jaccard import Neighbourhood, jaccard_similarity
from reid_pipeline.learning.pseudo_labels import NOBODY, ClusterSettings, drop_unsteady, guess_people, link_averages
from tests.learning.test_jaccard import crowd

NONE = np.empty((0, 2), np.int64)


def similarities(size, seed, density=0.3):
    """A sparse symmetric matrix without two equal entries."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.uniform(0, 1, (size, size)) * (rng.uniform(size=(size, size)) < density), 1)
    return sparse.csr_array(upper + upper.T + np.eye(size))


def slow_linkage(similarity, apart, least):
    """Average linkage that joins one pair at a time."""
    dense = similarity.toarray()
    enemies = {tuple(sorted(pair)) for pair in apart.tolist()}
    clusters = [[row] for row in range(len(dense))]
    while True:
        best, found = least, None
        for one, other in combinations(range(len(clusters)), 2):
            pairs = [(a, b) for a in clusters[one] for b in clusters[other]]
            if any(tuple(sorted(pair)) in enemies for pair in pairs):
                continue
            mean = sum(dense[pair] for pair in pairs) / len(pairs)
            if mean >= best:
                best, found = mean, (one, other)
        if found is None:
            return {frozenset(each) for each in clusters}
        clusters[found[0]] += clusters.pop(found[1])


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("least", [0.15, 0.4])
def test_linkage_is_that_of_one_pair_at_a_time(seed, least):
    similarity = similarities(30, seed)
    assert partition(link_averages(similarity, NONE, least)) == slow_linkage(similarity, NONE, least)


@pytest.mark.parametrize("seed", range(6))
def test_who_is_certainly_two_is_never_joined(seed):
    similarity = similarities(30, seed)
    apart = np.random.default_rng(seed).choice(30, (25, 2))
    apart = apart[apart[:, 0] != apart[:, 1]]
    labels = link_averages(similarity, apart, 0.1)
    assert (labels[apart[:, 0]] != labels[apart[:, 1]]).all()
    assert partition(labels) == slow_linkage(similarity, apart, 0.1)


@pytest.mark.parametrize("size", range(3, 12))
def test_who_are_all_as_alike_are_one_however_sums_are_rounded(size):
    rng = np.random.default_rng(size)
    block = np.full((size, size), 1 / 1.4) + rng.uniform(-1, 1, (size, size)) * 1e-12
    similarity = sparse.csr_array(np.kron(np.eye(20), block))
    assert len(np.unique(link_averages(similarity, NONE, 0.4))) == 20


def test_a_chain_of_lookalikes_is_not_one_person():
    chain = np.eye(6) + 0.6 * (np.eye(6, k=1) + np.eye(6, k=-1))
    labels = link_averages(sparse.csr_array(chain), NONE, 0.4)
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("size", [0, 1])
def test_nobody_and_one(size):
    assert guess_people(sparse.csr_array(np.eye(size)), NONE, ClusterSettings()).tolist() == [NOBODY] * size


def test_people_are_found():
    features, owner, cameras = crowd(spread=0.2)
    similarity = jaccard_similarity(features, cameras, Neighbourhood(2, 3))
    labels = guess_people(similarity, NONE, ClusterSettings())
    together = labels[:, None] == labels[None]
    same = owner[:, None] == owner[None]
    known = (labels >= 0)[:, None] & (labels >= 0)[None]
    assert (together & same & known).sum() > 0.9 * same.sum()
    assert (together & ~same & known).sum() == 0
    assert sorted(set(labels.tolist()) - {NOBODY}) == list(range(labels.max() + 1))


def test_clusters_that_do_not_hold_are_dissolved():
    labels = np.array([0, 0, 1, 1, 2, 2])
    loose = np.array([0, 0, 1, 1, 1, 1])  # of the last two each is half of what it becomes
    assert drop_unsteady(labels, loose, 0.6).tolist() == [0, 0, NOBODY, NOBODY, NOBODY, NOBODY]
    assert drop_unsteady(labels, loose, 0.5).tolist() == labels.tolist()


def dense_jaccard(features, cameras, wanted):
    """As `slow_jaccard`, a whole row at a time."""
    similarity = features @ features.T
    own = np.where(cameras[:, None] == cameras[None], similarity, -np.inf)
    others = np.where(cameras[:, None] != cameras[None], similarity, -np.inf)

    def lists(ranks, count):
        found = np.zeros_like(similarity)
        np.put_along_axis(found, np.argsort(-ranks, axis=1)[:, :count], 1.0, axis=1)
        return found

    def reciprocal(few, many):
        parts = [lists(own, few), lists(others, many)]
        return np.maximum(np.eye(len(features)), np.maximum(*(part * part.T for part in parts)))

    near = reciprocal(wanted.own, wanted.others)
    half = reciprocal(-(-wanted.own // 2), -(-wanted.others // 2))
    agree = (near @ half.T >= 2 / 3 * half.sum(axis=1)) & (near > 0)
    grown = np.maximum(near, agree.astype(float) @ half) > 0
    weights = np.exp(2 * similarity - 2) * grown
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.maximum(np.eye(len(features)), lists(own, wanted.own_mean) + lists(others, wanted.others_mean))
    mean = mean / mean.sum(axis=1, keepdims=True) @ weights
    lesser = np.stack([np.minimum(row, mean).sum(axis=1) for row in mean])
    return lesser / (2 - lesser)


@pytest.mark.slow
def test_labels_of_two_thousand_are_those_of_dense_matrices():
    features, _, cameras = crowd(people=400, per_person=5, cameras=6, spread=0.5, dim=64)
    wanted, settings = Neighbourhood(3, 12), ClusterSettings()
    labels = guess_people(jaccard_similarity(features, cameras, wanted), NONE, settings)
    distance = 1 - dense_jaccard(features.astype(float), cameras, wanted).clip(0, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    tight, loose = (partition(fcluster(tree, limit, "distance")) for limit in (0.6, 0.65))
    expected = {
        one for one in tight if len(one) > 1 and any(len(one & other) >= 0.5 * len(one | other) for other in loose)
    }
    assert {each for each in partition(labels) if labels[next(iter(each))] != NOBODY} == expected
    assert len(expected) > 200
    assert len(expected) < sum(len(each) > 1 for each in tight)
