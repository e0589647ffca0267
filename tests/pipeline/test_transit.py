"""How long people take between cameras: learnt from gaps that are known, and against plain loops."""

import numpy as np
import pytest

from reid_pipeline.pipeline.transit import _following, find_separate, learn_shortest, learn_transit, measure_gaps


def test_gaps_by_hand():
    gaps = measure_gaps(np.array([0.0, 8.0]), np.array([10.0, 20.0]))
    assert gaps.tolist() == [[-10.0, -2.0], [-20.0, -12.0]]


@pytest.mark.parametrize("seed", range(3))
def test_following_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 100, 30)
    probability = np.where(starts[None] > starts[:, None], rng.uniform(size=(30, 30)), 0.0)
    expected = np.zeros((30, 30))
    for row in range(30):
        nobody_yet = 1.0
        for column in sorted(range(30), key=lambda each: starts[each]):
            sure = probability[row, column] if probability[row, column] > 0.5 else 0.0
            expected[row, column] = nobody_yet * sure
            nobody_yet *= 1.0 - sure
    np.testing.assert_allclose(_following(starts, probability), expected, atol=1e-12)


WAYS = {(0, 1): (30.0, 3.0), (1, 2): (90.0, 5.0), (0, 2): (200.0, 8.0)}


class Walks:
    """People who each walk from camera 0 over 1 to 2, or straight from 0 to 2."""

    def __init__(self, people=60, seed=0):
        rng = np.random.default_rng(seed)
        rows = []
        for person in range(people):
            now, camera = rng.uniform(0, 6000), 0
            rows.append((now, camera, person))
            for onward in ((1, 2), (2,))[person % 2]:
                now += 5.0 + rng.normal(*WAYS[camera, onward])
                camera = onward
                rows.append((now, camera, person))
        starts, cameras, people = zip(*sorted(rows), strict=True)
        self.starts, self.cameras = np.array(starts), np.array(cameras)
        same = np.equal.outer(people, people)
        self.probability = np.where(same, 0.95, 0.02)
        self.gaps = measure_gaps(self.starts, self.starts + 5.0)
        self.ratio = learn_transit(self.gaps, self.starts, self.cameras, self.probability)

    def of(self, first, second, gap_s, within_s):
        pairs = (self.cameras == first)[:, None] & (self.cameras == second)[None] & np.isfinite(self.ratio)
        return self.ratio[pairs & (np.abs(self.gaps - gap_s) < within_s)]


@pytest.fixture(scope="module")
def walks():
    return Walks()


class TestTransit:
    @pytest.mark.parametrize(("cameras", "way"), WAYS.items())
    def test_the_usual_gap_speaks_for_one_person_and_others_against(self, walks, cameras, way):
        mean, deviation = way
        assert walks.of(*cameras, mean, 2 * deviation).min() > 1.0
        far = [walks.of(*cameras, gap, 20.0) for gap in (mean + 400.0, mean + 700.0)]
        assert np.concatenate(far).max() < -0.5

    def test_each_pair_of_cameras_has_its_own_way(self, walks):
        assert walks.of(0, 1, 30.0, 4.0).min() > walks.of(0, 1, 90.0, 4.0).max() + 2.0
        assert walks.of(1, 2, 90.0, 4.0).min() > walks.of(1, 2, 30.0, 4.0).max() + 2.0

    def test_cameras_of_which_nothing_is_known_follow_the_others(self, walks):
        assert walks.of(2, 1, 60.0, 30.0).min() > 0.3
        assert walks.of(2, 1, 1000.0, 200.0).max() < -0.5

    def test_one_sighting_is_little_knowledge(self, walks):
        odd = Walks()
        row, column = np.argwhere((odd.cameras == 2)[:, None] & (odd.cameras == 1)[None] & (odd.gaps > 1000))[0]
        odd.probability[row, column] = 0.95
        odd.ratio = learn_transit(odd.gaps, odd.starts, odd.cameras, odd.probability)
        assert odd.ratio[row, column] > walks.ratio[row, column] + 1.0
        assert odd.of(2, 1, 60.0, 30.0).min() > 0.3

    def test_only_what_comes_later_is_a_next_sighting(self, walks):
        np.testing.assert_array_equal(np.isfinite(walks.ratio), walks.starts[None] > walks.starts[:, None])

    def test_one_of_two_that_start_at_once_comes_later(self):
        starts = np.zeros(3)
        ratio = learn_transit(measure_gaps(starts, starts + 5), starts, np.arange(3), np.full((3, 3), 0.9))
        np.testing.assert_array_equal(np.isfinite(ratio), np.triu(np.ones((3, 3), bool), 1))

    def test_without_anybody_the_same_all_gaps_say_little(self, walks):
        ratio = learn_transit(walks.gaps, walks.starts, walks.cameras, np.zeros_like(walks.probability))
        later = ratio[np.isfinite(ratio)]
        assert not np.isnan(ratio).any()
        assert later.min() > np.log(0.03) - 1e-9


class TestSeparateCameras:
    def simultaneous(self, shared_view):
        """Twelve people seen by two cameras at one time; where they share a view, half of them by both."""
        cameras = np.repeat([0, 1], 12)
        starts = np.zeros(24)
        probability = np.full((24, 24), 0.02)
        if shared_view:
            for person in range(0, 12):
                probability[person, 12 + person] = probability[12 + person, person] = 0.9
        return find_separate(measure_gaps(starts, starts + 5), cameras, probability), cameras

    def test_cameras_that_share_no_view_see_two_people(self):
        separate, cameras = self.simultaneous(shared_view=False)
        np.testing.assert_array_equal(separate, cameras[:, None] != cameras[None])

    def test_cameras_that_share_a_view_may_see_one(self):
        assert not self.simultaneous(shared_view=True)[0].any()

    def test_a_few_simultaneous_sightings_prove_nothing(self):
        starts = np.zeros(8)
        cameras = np.repeat([0, 1], 4)  # 16 pairs
        assert not find_separate(measure_gaps(starts, starts + 5), cameras, np.zeros((8, 8))).any()

    def test_people_seen_one_after_the_other_are_never_parted(self):
        starts = np.arange(40) * 10.0
        assert not find_separate(measure_gaps(starts, starts + 5), np.arange(40) % 2, np.zeros((40, 40))).any()


class TestShortest:
    """Cameras 0, 1 and 2 share no view; 3 sees what 0 sees."""

    def learn(self, people=60, quick=False):
        rng = np.random.default_rng(1)
        rows = []
        for person in range(people):
            now = rng.uniform(0, 200)
            rows += [(now, 0, person), (now + rng.uniform(0, 4), 3, person)]
            way = 5.0 if quick and person == 7 else 40.0 + rng.uniform(0, 10)
            rows += [(now + 10 + way, 1, person), (rng.uniform(0, 200) + 500, 2, person)]
        starts, cameras, who = (np.array(each) for each in zip(*rows, strict=True))
        return learn_shortest(starts, starts + 10, cameras, who)

    def test_ways_that_many_took(self):
        shortest = self.learn()
        assert shortest[3, 1] == pytest.approx(20, abs=2)  # half of what the quickest took from where both see
        assert shortest[1, 0] == shortest[0, 1] == 0  # nobody went there straight; still nobody is in both at once

    def test_cameras_that_share_a_view_or_never_saw_people_at_one_time_are_left_out(self):
        shortest = self.learn()
        assert not {(0, 3), (3, 0), (0, 2), (2, 0), (1, 1)} & shortest.keys()

    def test_one_who_was_taken_for_another_tells_nothing(self):
        assert self.learn(quick=True)[3, 1] == pytest.approx(20, abs=2)

    def test_few(self):
        assert self.learn(people=3) == {}
