"""Shared floors: two cameras over one plane, people who walk on it, and what must not be believed."""

import numpy as np
import pytest

from reid_pipeline.pipeline.ground import judge_meetings
from reid_pipeline.pipeline.meetings import MIN_MEETING, SAMPLE_S
from tests.pipeline.floor import EAST, draw_site


def unlike(walks):
    """No look tells anything."""
    return np.zeros((len(walks), len(walks)))


@pytest.mark.parametrize("seed", range(4))
def test_feet_on_one_spot_are_one_person_without_any_look(seed):
    walks, cameras = draw_site(seed)
    evidence = judge_meetings(walks, cameras, unlike(walks))
    np.testing.assert_array_equal(evidence, evidence.T)
    assert not evidence[:4, :4].any()  # of one camera it says nothing
    across = evidence[:4, 4:]
    assert (np.diag(across) > 4.0).all()
    others = across[~np.eye(4, dtype=bool)]
    assert (others <= 0.0).all()
    assert (others < -4.0).sum() >= 4


@pytest.mark.parametrize("seed", range(4))
def test_a_place_alone_never_outweighs_looks_that_are_certain(seed):
    """Somebody's foot may be hidden all the time, and a tracklet may be partly somebody else's."""
    walks, cameras = draw_site(seed)
    assert -5.0 < judge_meetings(walks, cameras, unlike(walks)).min() < -4.0


def test_the_same_walks_give_the_same_evidence():
    walks, cameras = draw_site(0)
    first, second = (judge_meetings(walks, cameras, unlike(walks)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(4))
def test_two_rooms_share_no_floor(seed):
    walks, cameras = draw_site(seed)
    elsewhere, _ = draw_site(seed + 100)
    mixed = walks[:4] + elsewhere[4:]
    assert not judge_meetings(mixed, cameras, unlike(mixed)).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_that_is_late_is_not_believed(seed):
    walks, cameras = draw_site(seed, late_s=9.0)
    assert not (judge_meetings(walks, cameras, unlike(walks)) > 0).any()


def test_looks_guide_where_feet_alone_could_be_either():
    walks, cameras = draw_site(1)
    likeness = unlike(walks)
    likeness[np.arange(4), np.arange(4) + 4] = likeness[np.arange(4) + 4, np.arange(4)] = 5.0
    assert (np.diag(judge_meetings(walks, cameras, likeness)[:4, 4:]) > 4.0).all()


def test_who_stands_where_nobody_walked_is_not_judged():
    walks, cameras = draw_site(5)
    far = np.tile([[-20.0, 9.0]], (100, 1))
    walks = [EAST.see(far, 5 + np.arange(100) * SAMPLE_S, np.random.default_rng(5)), *walks]
    cameras = np.array([0, *cameras])
    evidence = judge_meetings(walks, cameras, unlike(walks))
    assert (np.diag(evidence[1:5, 5:9]) > 4.0).all()
    assert not evidence[0].any()


@pytest.mark.parametrize("length", [0, 1, MIN_MEETING - 1])
def test_too_little_says_nothing(length):
    walks, cameras = draw_site(0)
    short = [walk[:length] for walk in walks]
    assert not judge_meetings(short, cameras, unlike(short)).any()


def test_nobody_and_one_camera():
    assert judge_meetings([], np.empty(0, np.int64), np.empty((0, 0))).shape == (0, 0)
    walks, _ = draw_site(0)
    assert not judge_meetings(walks, np.zeros(8, np.int64), unlike(walks)).any()


def test_a_long_meeting_says_more_than_a_short_one():
    walks, cameras = draw_site(2)
    whole = judge_meetings(walks, cameras, unlike(walks))
    cut = [*walks[:3], walks[3][:6], *walks[4:]]
    assert 0 < judge_meetings(cut, cameras, unlike(cut))[3, 7] < whole[3, 7]
