import math

import numpy as np
import pytest
from scipy import stats

from reid_pipeline.pipeline.appearance import AppearanceScale, LookOdds, Looks

PRIOR_MEAN, PRIOR_VARIANCE, PRIOR_PAIRS = 0.5, 0.12**2, 10
BOXES = np.array([[0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]], np.float32)


class Encoding:
    """Looks that tell the box, and a list of what was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, boxes):
        self.asked.append(boxes[:, 0].astype(int).tolist())
        return np.repeat(boxes[:, :1], 4, axis=1)


@pytest.mark.parametrize("count", [0, 1, 50, 1500])
def test_scale_learns_mean_and_deviation(count):
    values = np.random.default_rng(count).normal(0.3, 0.07, count)
    scale = AppearanceScale()
    for value in values.tolist():
        scale.learn(value)
    known = (values.mean(), values.var()) if count else (PRIOR_MEAN, PRIOR_VARIANCE)
    mean, variance = np.average([(PRIOR_MEAN, PRIOR_VARIANCE), known], axis=0, weights=[PRIOR_PAIRS, count])
    assert scale.score(mean) == pytest.approx(0, abs=1e-9)
    assert scale.score(mean + 2 * math.sqrt(variance)) == pytest.approx(2)


@pytest.mark.parametrize("pieces", [1, 3, 40])
def test_scale_learns_many_at_once_as_one_by_one(pieces):
    values = np.random.default_rng(pieces).normal(0.3, 0.07, 1200).astype(np.float32)
    one_by_one, at_once = AppearanceScale(), AppearanceScale()
    for value in values.tolist():
        one_by_one.learn(value)
    for piece in np.array_split(values, pieces):
        at_once.learn_all(piece)
        at_once.learn_all(piece[:0])
    for similarity in (0.0, 0.4, 1.0):
        assert at_once.score(similarity) == pytest.approx(one_by_one.score(similarity), abs=1e-4)
        assert at_once.similarity(at_once.score(similarity)) == pytest.approx(similarity)


def test_scale_that_learns_many_at_once_forgets_too():
    scale = AppearanceScale()
    for mean in (0.2, 0.7):
        scale.learn_all(np.random.default_rng(0).normal(mean, 0.05, 20_000).astype(np.float32))
    assert scale.score(0.7) == pytest.approx(0, abs=0.1)
    assert scale.score(0.75) == pytest.approx(1, abs=0.1)


def test_scale_of_an_encoder_that_spreads_wide_is_soon_sharp():
    scale = AppearanceScale()
    for value in np.random.default_rng(1).normal(-0.3, 0.05, 40).tolist():
        scale.learn(value)
    assert scale.score(1.0) > 10


def test_scale_forgets_the_light_of_yesterday():
    random = np.random.default_rng(0)
    scale = AppearanceScale()
    for mean in (0.2, 0.7):
        for value in random.normal(mean, 0.05, 20_000).tolist():
            scale.learn(value)
    assert scale.score(0.7) == pytest.approx(0, abs=0.1)
    assert scale.score(0.75) == pytest.approx(1, abs=0.1)


def test_looks_are_encoded_once_and_together():
    encoding = Encoding()
    looks = Looks(BOXES, encoding)
    looks.fetch([2, 0])
    looks.fetch([0, 1, 2])
    looks.fetch([0])
    assert encoding.asked == [[2, 0], [1]]
    assert {column: look[0] for column, look in looks.known()} == {2: 2, 0: 0, 1: 1}
    np.testing.assert_array_equal(looks.get(2), [2, 2, 2, 2])


def test_looks_not_fetched_are_unknown():
    looks = Looks(BOXES, Encoding())
    assert looks.get(0) is None


def test_no_looks_without_an_encoder():
    looks = Looks(BOXES, None)
    looks.fetch([0, 1])
    assert looks.get(0) is None
    assert list(looks.known()) == []


def test_a_card_tells_where_to_begin_and_people_seen_take_over():
    scale = AppearanceScale(prior=(0.2, 0.1))
    assert scale.score(0.4) == pytest.approx(2.0)
    for similarity in (0.5, 0.7) * 2000:
        scale.learn(similarity)
    assert scale.score(0.6) == pytest.approx(0.0, abs=0.3)


def taught(same, other, pairs=2000, seed=0):
    """Odds that have seen pairs of one person and of two, each with its mean and deviation."""
    rng, odds = np.random.default_rng(seed), LookOdds()
    for alike, different in zip(rng.normal(*same, pairs), rng.normal(*other, pairs), strict=True):
        odds.learn_same(float(alike))
        odds.learn_different(float(different))
    return odds


def test_odds_are_those_of_the_two_distributions_that_were_seen():
    odds = taught(same=(0.7, 0.1), other=(0.2, 0.1))
    wider = 1.3 * 0.1  # one person after a turn
    for similarity in np.linspace(0.15, 0.65, 11):
        expected = stats.norm.logpdf(similarity, 0.7, wider) - stats.norm.logpdf(similarity, 0.2, 0.1)
        assert odds.log_odds(float(similarity)) == pytest.approx(expected, abs=0.9)


def test_odds_never_fall_as_looks_get_more_alike():
    for odds in (
        LookOdds(),
        taught((0.7, 0.1), (0.2, 0.1)),
        taught((0.9, 0.01), (0.1, 0.2)),
        taught((0.3, 0.3), (0.3, 0.1)),
    ):
        found = [odds.log_odds(float(similarity)) for similarity in np.linspace(-1, 1, 101)]
        assert np.all(np.diff(found) >= -1e-9)
        assert found[0] < 0 < found[-1]


def test_an_encoder_that_hardly_tells_people_apart_is_hardly_trusted():
    clear, dim = taught((0.7, 0.1), (0.2, 0.1)), taught((0.35, 0.1), (0.2, 0.1))
    assert clear.log_odds(0.2) < -5 < dim.log_odds(0.2) < 0 < dim.log_odds(0.7) < 5 < clear.log_odds(0.7)


def test_odds_follow_the_light_of_the_day():
    odds = taught(same=(0.9, 0.02), other=(0.6, 0.05))
    assert odds.log_odds(0.7) < 0
    for alike in np.random.default_rng(1).normal(0.7, 0.02, 4000):
        odds.learn_same(float(alike))
        odds.learn_different(float(alike) - 0.4)
    assert odds.log_odds(0.7) > 0
