"""Tracklets to people: against a version that computes everything anew at each step, and by hand."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from reid_pipeline.pipeline.clustering import cluster_tracklets

NEVER, HOPELESS = -math.inf, -7.0


def slow_clusters(log_odds, transit, apart, starts, least, meetings):
    clusters = [[each] for each in range(len(starts))]

    def path(members):
        ordered = sorted(members, key=lambda each: starts[each])
        return sum(transit[one, two] for one, two in pairwise(ordered))

    def gain(first, second):
        pairs = [(one, two) for one in first for two in second]
        average = np.mean([NEVER if apart[pair] else log_odds[pair] for pair in pairs])
        average += sum(meetings[pair] for pair in pairs)
        if average <= HOPELESS:
            return NEVER
        return average + path(first + second) - path(first) - path(second)

    while len(clusters) > 1:
        best, one, two = max((gain(one, two), i, j) for (i, one), (j, two) in combinations(enumerate(clusters), 2))
        if best <= least:
            break
        clusters[one] += clusters.pop(two)
    labels = np.empty(len(starts), int)
    for members in clusters:
        labels[members] = min(members)
    return labels


def draw(seed, size=16):
    """Random log-odds around four people, ways and pairs that are apart; no two joins gain the same."""
    rng = np.random.default_rng(seed)
    people = rng.integers(4, size=size)
    log_odds = rng.normal(-3, 3, (size, size)) + 6 * (people[:, None] == people[None])
    log_odds = (log_odds + log_odds.T) / 2
    starts = rng.permutation(size).astype(float)
    transit = np.where(starts[None] > starts[:, None], rng.normal(0, 2, (size, size)), NEVER)
    apart = np.triu(rng.uniform(size=(size, size)) < 0.1, 1)
    return log_odds, transit, apart | apart.T, starts


@pytest.mark.parametrize("seed", range(25))
def test_against_all_anew_at_each_step(seed):
    log_odds, transit, apart, starts = draw(seed)
    least = (0.0, 1.5)[seed % 2]
    rng = np.random.default_rng(seed + 1000)
    meetings = np.where(rng.uniform(size=log_odds.shape) < 0.1, rng.normal(0, 6, log_odds.shape), 0.0)
    meetings = meetings + meetings.T
    labels = cluster_tracklets(log_odds, transit, apart, starts, least, meetings)
    np.testing.assert_array_equal(labels, slow_clusters(log_odds, transit, apart, starts, least, meetings))
    assert 1 < len(set(labels.tolist())) < 16


@pytest.mark.parametrize("seed", range(10))
def test_those_apart_are_never_joined_not_through_others_either(seed):
    _, transit, apart, starts = draw(seed)
    labels = cluster_tracklets(np.full((16, 16), 9.0), transit, apart, starts, -4.0)
    assert len(set(labels.tolist())) < 16
    assert not apart[labels[:, None] == labels[None]].any()


def test_a_third_who_is_like_both_goes_to_the_one_it_is_more_like():
    log_odds = np.array([[0.0, 8.0, 9.0], [8.0, 0.0, 9.5], [9.0, 9.5, 0.0]])
    apart = np.zeros((3, 3), bool)
    apart[0, 1] = apart[1, 0] = True
    labels = cluster_tracklets(log_odds, np.zeros((3, 3)), apart, np.arange(3.0), 0.0)
    assert labels.tolist() == [0, 1, 1]


def test_a_way_that_cannot_be_walked_outweighs_looks_and_one_that_is_usual_helps():
    log_odds, apart = np.full((2, 2), 2.0), np.zeros((2, 2), bool)
    for transit, labels in ((-3.0, [0, 1]), (0.0, [0, 0])):
        gaps = np.array([[NEVER, transit], [NEVER, NEVER]])
        assert cluster_tracklets(log_odds, gaps, apart, np.arange(2.0), 1.0).tolist() == labels
    usual = np.array([[NEVER, 3.0], [NEVER, NEVER]])
    assert cluster_tracklets(np.full((2, 2), -1.0), usual, apart, np.arange(2.0), 1.0).tolist() == [0, 0]


def test_who_comes_in_between_changes_the_path():
    # The way from 0 to 2 is implausible, but nobody has to walk it who was seen as 1 on the way.
    log_odds = np.array([[0.0, 5.0, 4.0], [5.0, 0.0, 4.5], [4.0, 4.5, 0.0]])
    transit = np.array([[NEVER, 0.0, -9.0], [NEVER, NEVER, 0.0], [NEVER, NEVER, NEVER]])
    apart = np.zeros((3, 3), bool)
    assert cluster_tracklets(log_odds, transit, apart, np.arange(3.0), 0.0).tolist() == [0, 0, 0]
    alone = np.ix_([0, 2], [0, 2])
    assert cluster_tracklets(log_odds[alone], transit[alone], apart[alone], np.arange(2.0), 0.0).tolist() == [0, 1]


def test_no_way_outweighs_hopeless_looks():
    transit = np.array([[NEVER, 50.0], [NEVER, NEVER]])
    labels = cluster_tracklets(np.full((2, 2), -7.5), transit, np.zeros((2, 2), bool), np.arange(2.0), 0.0)
    assert labels.tolist() == [0, 1]


def test_labels_are_first_positions_in_any_order_of_starts():
    log_odds, transit, apart, starts = draw(3)
    labels = cluster_tracklets(log_odds, transit, apart, starts, 0.0)
    order = np.random.default_rng(0).permutation(16)
    mixed = np.ix_(order, order)
    again = cluster_tracklets(log_odds[mixed], transit[mixed], apart[mixed], starts[order], 0.0)
    np.testing.assert_array_equal(again[:, None] == again[None], (labels[:, None] == labels[None])[mixed])
    for found in (labels, again):
        assert all(found[label] == label and label <= place for place, label in enumerate(found.tolist()))


@pytest.mark.parametrize("size", [1, 5])
def test_nothing_is_joined_below_the_least(size):
    log_odds, transit, apart, starts = draw(0, size)
    labels = cluster_tracklets(log_odds, transit, apart, starts, math.inf)
    assert labels.tolist() == list(range(size))


def test_a_meeting_is_not_outvoted_by_those_who_did_not_meet():
    people = np.array([0, 0, 0, 1, 1, 1])
    log_odds = np.where(people[:, None] == people[None], 4.0, -3.0)
    meetings, apart = np.zeros((6, 6)), np.zeros((6, 6), bool)
    meetings[2, 3] = meetings[3, 2] = 6.0
    labels = cluster_tracklets(log_odds, np.zeros((6, 6)), apart, np.arange(6.0), 0.0, meetings)
    assert labels.tolist() == [0] * 6
    meetings[0, 4] = meetings[4, 0] = -8.0
    labels = cluster_tracklets(log_odds, np.zeros((6, 6)), apart, np.arange(6.0), 0.0, meetings)
    assert labels.tolist() == [0, 0, 0, 3, 3, 3]
