"""Re-ranking against a slow version that goes by the paper's sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reid_pipeline.pipeline.reranking import Reranking, rerank
from tests.pipeline.crowd import draw_crowd, unit


def by_sets(query, looks, settings):
    """Equations 3 to 12 of the paper, one pair at a time."""
    every = [query, *looks]
    count = len(every)
    distance = [[max(2 - 2 * float(one @ other), 0.0) for other in every] for one in every]

    def nearest(one, k):
        return set(sorted(range(count), key=lambda other: (distance[one][other], other))[: k + 1])

    def reciprocal(one, k):
        return {other for other in nearest(one, k) if one in nearest(other, k)}

    def expanded(one):
        near = reciprocal(one, settings.neighbours)
        found = set(near)
        for other in near:
            theirs = reciprocal(other, round(settings.neighbours / 2))
            if len(near & theirs) >= 2 / 3 * len(theirs):
                found |= theirs
        return found

    def weights(one):
        near = expanded(one)
        row = [math.exp(-distance[one][other]) if other in near else 0.0 for other in range(count)]
        return [each / sum(row) for each in row]

    plain = [weights(one) for one in range(count)]
    mean = []
    for one in range(count):
        friends = nearest(one, settings.averaged - 1)
        mean.append([sum(plain[other][place] for other in friends) / len(friends) for place in range(count)])
    found = []
    for other in range(1, count):
        lesser = sum(map(min, mean[0], mean[other]))
        greater = sum(map(max, mean[0], mean[other]))
        own = settings.own_distance
        found.append((1 - own) * (1 - lesser / greater) + own * distance[0][other])
    return found


@pytest.mark.parametrize("settings", [Reranking(), Reranking(20, 6, 0.0), Reranking(3, 1, 0.5)])
@pytest.mark.parametrize("count", [1, 4, 40])
def test_against_the_sets_of_the_paper(settings, count):
    crowd = draw_crowd(people=10, sightings=6, noise=0.2, seed=3)
    looks = crowd.looks.astype(np.float64)
    distances = rerank(looks[0], looks[1 : count + 1], settings)
    np.testing.assert_allclose(distances, by_sets(looks[0], looks[1 : count + 1], settings), rtol=1e-9)


def test_nobody():
    assert rerank(np.ones(1, np.float32), np.empty((0, 1), np.float32)).shape == (0,)


def test_a_chance_likeness_comes_after_the_neighbours():
    """One who is as near as the query's own people, but stands among others, whom the query does not know."""
    rng = np.random.default_rng(0)
    query = unit(np.array([1.0, 0, 0, 0]))
    own = unit(query + 0.3 * rng.normal(size=(9, 4)) * (0, 1, 0, 0))
    chance = unit(np.array([1.0, 0, 0.25, 0]))
    others = unit(chance + np.array([0, 0, 0.2, 0]) + 0.05 * rng.normal(size=(9, 4)) * (0, 0, 0, 1))
    looks = np.concatenate([own, chance[None], others]).astype(np.float32)
    near = np.argsort(-(looks @ query))
    assert list(near).index(9) < 8
    assert list(np.argsort(rerank(query.astype(np.float32), looks, Reranking(own_distance=0.1)))).index(9) >= 8
