"""Where floors are given: one spot is one person, another spot is another, and nobody flies."""

import math

import numpy as np
import pytest

from reid_pipeline.pipeline.ground import judge_meetings
from reid_pipeline.pipeline.meetings import MIN_MEETING, SAMPLE_S
from tests.pipeline.floor import EAST, NORTH, draw_site, given_floor, stroll

CORNERS = [[-3, -3], [3, -3], [3, 3], [-3, 3]]
FLOORS = given_floor(EAST, CORNERS), given_floor(NORTH, CORNERS)
FLOWN = math.log(3e-4)


def judge(walks, cameras, floors=FLOORS):
    cameras = np.asarray(cameras)
    evidence = judge_meetings(walks, cameras, np.zeros((len(walks),) * 2), [floors[camera] for camera in cameras])
    np.testing.assert_array_equal(evidence, evidence.T)
    assert np.isfinite(evidence).all()
    return evidence


def see_both(one, other, seconds=8.0, seed=0):
    """Somebody in the east and somebody in the north, who stroll in step but so many metres apart."""
    rng = np.random.default_rng(seed)
    floor = stroll(rng, seconds)
    times = np.arange(len(floor)) * SAMPLE_S
    return [EAST.see(floor + one, times, rng), NORTH.see(floor + other, times + 0.07, rng)]


@pytest.mark.parametrize("seed", range(4))
def test_all_of_a_crowd_are_told(seed):
    walks, cameras = draw_site(seed)
    evidence = judge(walks, cameras)
    assert not evidence[:4, :4].any()
    assert (np.diag(evidence[:4, 4:]) > 3.0).all()
    others = evidence[:4, 4:][~np.eye(4, dtype=bool)]
    assert (others <= 0.0).all()
    assert (others < -4.0).sum() >= 6


@pytest.mark.parametrize("seed", range(4))
def test_one_meeting_is_enough_and_two_metres_are_another_person(seed):
    for seconds, same, another in ((8.0, 4.0, -2.0), (1.2, 2.0, -0.5)):
        assert judge(see_both([0, 0], [0, 0], seconds, seed), [0, 1])[0, 1] > same
        for other in ([2, 0], [0, 2], [-1.5, -1.5]):
            assert judge(see_both([0, 0], other, seconds, seed), [0, 1])[0, 1] < another
        assert judge(see_both([0, 0], [3, 0], seconds, seed), [0, 1])[0, 1] < 2 * another
    assert not judge(see_both([0, 0], [0, 0]), [0, 1], (None, None)).any()


def test_where_only_one_floor_is_given_it_is_found_as_without():
    walks, cameras = draw_site(0)
    without = judge(walks, cameras, (None, None))
    assert (np.diag(without[:4, 4:]) > 4.0).all()
    np.testing.assert_array_equal(judge(walks, cameras, (FLOORS[0], None)), without)


@pytest.mark.parametrize("seed", range(4))
def test_places_that_were_measured_badly(seed):
    rng = np.random.default_rng(seed)
    bad = tuple(given_floor(view, CORNERS, rng.normal(0, 0.25, (4, 2))) for view in (EAST, NORTH))
    walks, cameras = draw_site(seed, people=8)
    across = judge(walks, cameras, bad)[:8, 8:]
    assert (np.diag(across) > 3.0).all()
    assert np.median(across[~np.eye(8, dtype=bool)]) < -8.0


@pytest.mark.parametrize("seed", range(4))
def test_how_badly_is_learnt(seed):
    walks, cameras = draw_site(seed, people=8)
    for shift in (0.0, 0.9):
        floors = FLOORS[0], given_floor(NORTH, CORNERS, [shift, -shift])
        across = np.diag(judge(walks, cameras, floors)[:8, 8:])
        untold = [judge([east, north], [0, 1], floors)[0, 1] for east, north in zip(walks[:8], walks[8:], strict=True)]
        assert (across > np.array(untold) + 0.5).all()


def test_who_was_elsewhere_a_moment_ago_is_another():
    def stand(view, place, begin_s):
        times = begin_s + np.arange(MIN_MEETING) * SAMPLE_S
        return view.see(np.tile([place], (MIN_MEETING, 1)), times, np.random.default_rng(0), 0.0)

    walks = [
        stand(EAST, [-5.0, 0.0], 0.0),
        stand(EAST, [4.0, 0.0], 1.3),  # half a second later, 9 m away
        stand(NORTH, [4.0, 0.5], 1.3),
        stand(NORTH, [-5.0, 0.5], 1.3),
        stand(EAST, [4.0, 0.0], 9.0),
        stand(EAST, [-5.0, 0.0], 1.3)[:-1],
    ]
    evidence = judge(walks, [0, 0, 1, 1, 0, 0])
    assert evidence[0].tolist() == [0, FLOWN, FLOWN, 0, 0, 0]
    assert not judge(walks, [0, 0, 1, 1, 0, 0], (None, None)).any()


def test_nobody():
    assert judge([], np.empty(0, np.int64)).shape == (0, 0)
    assert not judge([np.empty((0, 4))] * 3, [0, 1, 1]).any()
