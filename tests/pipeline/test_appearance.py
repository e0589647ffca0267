import math

import numpy as np
import pytest

from reid_pipeline.pipeline.appearance import AppearanceScale, Looks

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
