"""The probability that two tracklets are one person: each step against a plain version, the whole on made-up people."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit

from reid_pipeline.pipeline.likeness import (
    Mixture,
    find_apart,
    fit_logistic,
    fit_mixture,
    judge_few,
    judge_pairs,
    normalise_similarity,
    shared_neighbours,
)
from tests.pipeline.crowd import DIM, draw_crowd, unit


def random_looks(count, seed=0, dim=DIM):
    return unit(np.random.default_rng(seed).normal(size=(count, dim))).astype(np.float32)


def never(count):
    return np.zeros((count, count), bool)


def slow_shared_neighbours(similarity):
    """Weighted Jaccard of extended reciprocal neighbours, by sets and loops."""
    rows = range(len(similarity))
    ranking = [sorted(rows, key=lambda other: -similarity[row, other]) for row in rows]

    def reciprocal(row, count):
        return {other for other in ranking[row][: count + 1] if row in ranking[other][: count + 1]}

    weights = np.zeros_like(similarity)
    for row in rows:
        near = reciprocal(row, 12)
        close = [reciprocal(other, 6) for other in near]
        chosen = near.union(*(part for part in close if len(part & near) > 2 / 3 * len(part)))
        total = sum(np.exp(2 * (similarity[row, other] - 1)) for other in chosen)
        for other in chosen:
            weights[row, other] = np.exp(2 * (similarity[row, other] - 1)) / total
    smooth = np.array([np.mean([weights[other] for other in ranking[row][:4]], axis=0) for row in rows])
    return np.array(
        [[np.minimum(smooth[a], smooth[b]).sum() / np.maximum(smooth[a], smooth[b]).sum() for b in rows] for a in rows]
    )


def test_who_is_seen_at_one_time_by_one_camera():
    cameras = np.array([0, 0, 0, 1, 1])
    first, last = np.array([0, 10, 11, 0, 30]), np.array([10, 20, 40, 50, 30])
    apart = [(a, b) for a, b in np.argwhere(find_apart(cameras, first, last)).tolist() if a < b]
    assert apart == [(0, 1), (1, 2), (3, 4)]
    assert (find_apart(cameras, first, last) == find_apart(cameras, first, last).T).all()


class TestSharedNeighbours:
    @pytest.mark.parametrize("seed", range(3))
    def test_against_sets(self, seed):
        looks = draw_crowd(people=8, sightings=5, noise=0.2, seed=seed).looks.astype(np.float64)
        similarity = looks @ looks.T
        np.testing.assert_allclose(shared_neighbours(similarity), slow_shared_neighbours(similarity), atol=1e-12)

    def test_many_that_look_exactly_the_same(self):
        shared = shared_neighbours(np.ones((30, 30)))
        np.testing.assert_allclose(np.diag(shared), 1.0)
        assert ((shared >= 0) & (shared <= 1 + 1e-12)).all()

    def test_fewer_than_neighbours(self):
        np.testing.assert_allclose(shared_neighbours(np.eye(3)), np.ones((3, 3)))


class TestNormalising:
    def test_against_loops(self):
        rng = np.random.default_rng(1)
        cameras = np.array([0] * 9 + [1] * 12 + [2] * 3)  # the last are few: all cameras tell what is usual
        similarity = rng.normal(size=(24, 24))
        similarity = similarity + similarity.T

        def above(row, column):
            there = [other for other in range(24) if cameras[other] == cameras[column]]
            usual = sorted(similarity[row, there if len(there) >= 8 else range(24)])[:-3]
            return (similarity[row, column] - np.mean(usual)) / np.std(usual)

        expected = [[(above(a, b) + above(b, a)) / 2 for b in range(24)] for a in range(24)]
        np.testing.assert_allclose(normalise_similarity(similarity, cameras), expected, atol=1e-12)

    def test_whoever_is_likely_the_same_is_not_what_is_usual(self):
        rng = np.random.default_rng(2)
        similarity, cameras = rng.normal(size=(20, 20)), np.zeros(20, int)
        similarity = similarity + similarity.T
        same = np.zeros((20, 20), bool)
        same[:6, :6] = True  # six of one person: more than are left out in any case

        def above(row, column):
            usual = sorted(similarity[row])[: 20 - max(int(same[row].sum()), 3)]
            return (similarity[row, column] - np.mean(usual)) / np.std(usual)

        expected = [[(above(a, b) + above(b, a)) / 2 for b in range(20)] for a in range(20)]
        np.testing.assert_allclose(normalise_similarity(similarity, cameras, same), expected, atol=1e-12)


class TestMixture:
    SHAPE, PLACE, SCALE, SHARE, MEAN, DEVIATION = 9.0, -3.0, 0.35, 0.03, 6.0, 1.0

    def draw(self, share=SHARE, count=20_000):
        rng = np.random.default_rng(4)
        same = round(share * count)
        strangers = self.PLACE + rng.gamma(self.SHAPE, self.SCALE, count - same)
        return np.concatenate([strangers, rng.normal(self.MEAN, self.DEVIATION, same)])

    def test_is_found_again(self):
        found = fit_mixture(self.draw())
        assert found.share == pytest.approx(self.SHARE, rel=0.05)
        assert found.mean == pytest.approx(self.MEAN, abs=0.15)
        assert found.deviation == pytest.approx(self.DEVIATION, rel=0.1)
        assert found.place + found.shape * found.scale == pytest.approx(self.PLACE + self.SHAPE * self.SCALE, abs=0.03)
        assert found.shape**0.5 * found.scale == pytest.approx(self.SHAPE**0.5 * self.SCALE, rel=0.05)
        spread = self.SHAPE**0.5 * self.SCALE
        expected = (self.MEAN - self.PLACE - self.SHAPE * self.SCALE) / spread
        assert found.separation == pytest.approx(expected, rel=0.05)

    def test_of_strangers_alone_has_no_share(self):
        assert fit_mixture(self.draw(share=0.0)).share < 0.001

    def test_probability_is_that_of_the_two_parts(self):
        mixture = Mixture(self.SHAPE, self.PLACE, self.SCALE, self.SHARE, self.MEAN, self.DEVIATION)
        place = np.array([2.5, 4.0, 6.0])
        same = 0.03 * stats.norm.pdf(place, 6.0, 1.0)
        other = 0.97 * stats.gamma.pdf(place, 9.0, -3.0, 0.35)
        np.testing.assert_allclose(mixture.probability(place), same / (same + other))

    def test_probability_never_falls(self):
        mixture = fit_mixture(self.draw())
        probability = mixture.probability(np.linspace(-40, 40, 2000))
        assert (np.diff(probability) >= 0).all()
        assert probability[0] < 1e-5
        assert probability[-1] > 0.99

    @pytest.mark.parametrize("values", [np.zeros(100), np.r_[np.zeros(95), np.ones(5)]])
    def test_values_that_do_not_vary(self, values):
        mixture = fit_mixture(values)
        assert np.isfinite(mixture.probability(values)).all()
        assert np.isfinite(mixture.separation)


@pytest.mark.parametrize("seed", range(4))
def test_the_regression_is_the_best_one(seed):
    rng = np.random.default_rng(seed)
    features = np.stack([np.ones(400), rng.normal(size=400), rng.uniform(size=400) ** 3], axis=1)
    targets = expit(features @ [-rng.uniform(0, 12), rng.uniform(0, 8), rng.uniform(0, 15)])
    penalty = np.array([1e-6, 1.0, 1.0])

    def loss(weights):
        score = features @ weights
        return (np.logaddexp(0, score) - targets * score).sum() + (penalty * weights**2).sum() / 2

    best = optimize.minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(fit_logistic(features, targets), best, atol=1e-2)


def area_under_curve(scores, crowd):
    """How often a pair of one person scores higher than a pair of strangers."""
    pairs = np.triu(~crowd.apart, 1)
    same = crowd.same[pairs]
    wins = stats.mannwhitneyu(scores[pairs][same], scores[pairs][~same]).statistic
    return wins / (same.sum() * (~same).sum())


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(noise=0.1)


@pytest.fixture(scope="module")
def judged(crowd):
    return judge_pairs(crowd.looks, crowd.cameras, crowd.apart)


class TestJudgement:
    def test_the_same_person_is_told_from_strangers(self, crowd, judged):
        pairs = np.triu(~crowd.apart, 1)
        probability, same = judged.probability[pairs], crowd.same[pairs]
        assert area_under_curve(judged.log_odds, crowd) > 0.999
        assert judged.mixture.separation > 5
        assert judged.mixture.share == pytest.approx(same.mean(), rel=0.2)
        assert probability.sum() == pytest.approx(same.sum(), rel=0.15)
        for low, high in ((0.0, 0.1), (0.9, 1.0)):
            within = (probability >= low) & (probability <= high)
            assert same[within].mean() == pytest.approx(probability[within].mean(), abs=0.05)

    def test_looks_and_shared_neighbours_tell_more_than_either(self):
        crowd = draw_crowd(noise=0.2)
        light = np.stack([crowd.looks[crowd.cameras == camera].mean(axis=0) for camera in range(4)])
        looks = unit(crowd.looks - light[crowd.cameras]).astype(np.float64)
        similarity = looks @ looks.T
        either = (normalise_similarity(similarity, crowd.cameras), shared_neighbours(similarity))
        both = judge_pairs(crowd.looks, crowd.cameras, crowd.apart).log_odds
        assert area_under_curve(both, crowd) > max(area_under_curve(each, crowd) for each in either) + 0.01

    def test_is_symmetric_and_limited(self, judged):
        np.testing.assert_allclose(judged.log_odds, judged.log_odds.T, atol=1e-12)
        assert np.isfinite(judged.log_odds).all()
        assert judged.log_odds.max() <= 12
        assert judged.probability.min() > judged.mixture.share / 100

    def test_the_light_of_a_camera_says_nothing(self, crowd, judged):
        light = 3.0 * np.random.default_rng(8).normal(size=(4, DIM)).astype(np.float32)
        again = judge_pairs(crowd.looks + light[crowd.cameras], crowd.cameras, crowd.apart)
        np.testing.assert_allclose(again.log_odds, judged.log_odds, atol=1e-3)

    def test_the_order_of_tracklets_says_nothing(self, crowd, judged):
        order = np.random.default_rng(2).permutation(len(crowd.people))
        again = judge_pairs(crowd.looks[order], crowd.cameras[order], crowd.apart[np.ix_(order, order)])
        np.testing.assert_allclose(again.log_odds, judged.log_odds[np.ix_(order, order)], atol=1e-6)

    def test_pairs_that_are_apart_teach_nothing(self, crowd):
        strangers = judge_pairs(crowd.looks, crowd.cameras, crowd.apart | crowd.same)
        assert strangers.mixture.share < 0.01
        assert strangers.standouts < 2

    @pytest.mark.parametrize("count", [40, 80, 160])
    def test_nobody_stands_out_of_random_looks(self, judged, count):
        cameras = np.arange(count) % 4
        assert judge_pairs(random_looks(count), cameras, never(count)).standouts < 2
        assert judged.standouts > 20

    @pytest.mark.parametrize(
        ("looks", "cameras"),
        [
            (np.tile(random_looks(1), (60, 1)), np.arange(60) % 4),
            (np.zeros((60, DIM), np.float32), np.zeros(60, int)),
            (np.repeat(np.eye(2, dtype=np.float32), 30, axis=0), np.arange(60) % 4),
            (np.eye(64, dtype=np.float32)[np.arange(60) % 10], np.arange(60) // 10),
            (random_looks(60, dim=1), np.arange(60) % 3),
            (random_looks(3), np.arange(3)),
        ],
        ids=["identical", "zero", "two kinds", "noiseless", "one number", "three"],
    )
    def test_looks_that_teach_little_are_no_fault(self, looks, cameras):
        judged = judge_pairs(looks, cameras, np.eye(len(looks), dtype=bool))
        assert np.isfinite(judged.log_odds).all()
        assert np.isfinite([judged.mixture.separation, judged.mixture.share, judged.standouts]).all()


class TestFew:
    @pytest.mark.parametrize("seed", range(6))
    def test_who_was_seen_twice_is_found(self, seed):
        crowd = draw_crowd(people=6, sightings=4, noise=0.05, seed=seed)
        likely = judge_few(crowd.looks, crowd.apart) > 0
        pairs = np.triu(~crowd.apart, 1)
        np.testing.assert_array_equal(likely, likely.T)
        assert (likely & crowd.same & pairs).sum() >= 0.9 * (crowd.same & pairs).sum()
        assert (likely & ~crowd.same & pairs).sum() <= 0.05 * (likely & pairs).sum()

    @pytest.mark.parametrize("people", [12, 20, 39])
    def test_strangers_are_hardly_ever_joined(self, people):
        for seed in range(4):
            crowd = draw_crowd(people=people, sightings=1, seed=seed)
            assert (np.triu(judge_few(crowd.looks, crowd.apart) > 0, 1) & ~crowd.apart).sum() <= 2

    def test_the_more_alike_the_likelier(self):
        crowd = draw_crowd(people=6, sightings=4, seed=3)
        pairs = np.triu(~crowd.apart, 1)
        order = np.argsort((crowd.looks @ crowd.looks.T)[pairs], kind="stable")
        assert (np.diff(judge_few(crowd.looks, crowd.apart)[pairs][order]) >= -1e-9).all()

    def test_all_alike_and_all_at_once(self):
        alike = np.tile(unit(np.ones((1, DIM))), (5, 1)).astype(np.float32)
        assert np.isfinite(judge_few(alike, np.zeros((5, 5), bool))).all()
        assert (judge_few(alike, np.ones((5, 5), bool)) < 0).all()
