"""The probability that two tracklets show one person, learnt from the tracklets of a site alone.

No threshold and no label: of all pairs of tracklets nearly all show two people, so their bulk tells how alike two
people look; what sticks out of it is the same person. `judge_pairs` does it in four steps:

1. Looks are centred in each camera, and a similarity is expressed in deviations above what both tracklets have in
   common with strangers of the other's camera. That takes out each camera's light and people who resemble everybody.
   Strangers are all but the nearest; once all steps are done it is known better who is none, and they are done again.
2. Each look is averaged with its reciprocal neighbours: one bad view is outvoted.
3. These similarities are a mixture of strangers (a gamma distribution, as they lean to the right) and the same person
   (a normal one), fitted to all pairs. That gives a first probability.
4. A logistic regression learns it from the similarity of the two looks themselves and from the neighbours that they
   share. The two together are more telling than either, and where the first probability is all but one it goes on
   telling good pairs from better ones. Among few tracklets step 2 makes neighbours of strangers: then its odds are
   brought down to the number of pairs that a mixture of the similarities before it finds.

Sources: scores normalised on both sides after Matejka et al., "Analysis of Score Normalization in Multilingual Speaker
Recognition", 2017; neighbours averaged after Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human
Annotation", 2018, section 3.4; the mixture after Efron, "Large-Scale Simultaneous Hypothesis Testing", 2004; shared
reciprocal neighbours after Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.special import expit, logit

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

_FEW: Final = 8  # tracklets of a camera; with fewer, all cameras together tell what is usual
_NEAREST: Final = 3  # likely the same person: left out of what is usual
_SAME: Final = 0.25  # probability from which more of them are
_NEIGHBOURS: Final = 6
_RECIPROCAL: Final = 12  # neighbours of which those that agree are compared
_SMOOTHED: Final = 4
_ROUNDS: Final = 60
_QUANTILES: Final = np.array([0.1, 0.5, 0.9])
_NEVER: Final = 1e-6
_NEWTON_STEPS: Final = 25
_LIKEST: Final = 10  # pairs of strangers
_LOW_TAIL: Final = float(stats.norm.cdf(-1.0))
_FEW_SAME: Final = (3.5, 1.3)  # mean and deviation of the same person, in deviations of strangers
_FEW_SHARE: Final = 0.1  # part of the pairs that are one person, at most
_FEW_MOST: Final = 6.0  # log-likelihood ratio
MIN_TRACKLETS: Final = 40  # with fewer, what sticks out of the bulk is not told from the bulk
MIN_PAIRS: Final = 400  # not seen at one time by one camera; about half of those of so many tracklets
# Tracklets: up to the first number averaging finds too many pairs, from the second on it does not.
_CROWD: Final = (75.0, 150.0)
_MIN_STANDOUTS: Final = 3.0  # among random looks it was 1.8 at most
_MIN_SEPARATION: Final = 2.5  # deviations between strangers and the same person
_MOST_SHARE: Final = 0.15  # part of the pairs that are one person; with more, strangers are not the bulk
_DOUBT: Final = 4.0  # log-odds: the most that two looks speak against one person, beside how rare one is
_CERTAIN: Final = 12.0  # log-odds: the most that they speak for one


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the similarities of a site's tracklets are made of.

    Attributes:
        shape: Of the gamma distribution of strangers.
        place: Its lower end.
        scale: Its scale.
        share: Part of the pairs that show one person.
        mean: Of the normal distribution of the same person.
        deviation: Its standard deviation.
    """

    shape: float
    place: float
    scale: float
    share: float
    mean: float
    deviation: float

    @property
    def separation(self) -> float:
        """Deviations of strangers between their mean and that of the same person."""
        spread = self.shape**0.5 * self.scale
        return float((self.mean - self.place - self.shape * self.scale) / spread)

    def probability(self, similarities: Matrix) -> Matrix:
        """That pairs with these similarities show one person; never falls as the similarity grows."""
        middle = self.place + self.scale * float(stats.gamma.median(self.shape))
        # Beyond its own mean the same person cannot get less likely: there the normal distribution falls faster.
        within = np.clip(similarities, middle, self.mean + self.deviation)
        same = self.share * stats.norm.pdf(within, self.mean, self.deviation)
        other = (1.0 - self.share) * stats.gamma.pdf(within, self.shape, self.place, self.scale)
        probability = np.where(similarities <= middle, 0.0, same / (same + other + 1e-300))
        return np.asarray(np.maximum(probability, _NEVER), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PairJudgement:
    """What the looks of N tracklets say.

    Attributes:
        log_odds: ``(N, N)``, symmetric, that two show one person.
        mixture: Of the similarities that they rest on.
        standouts: How many times more pairs are as much alike as only the `_LIKEST` likest of strangers are. Without
            anybody who was seen twice it is about 1. It is counted before neighbours are averaged: that makes every
            group of neighbours stand out, by chance too.
    """

    log_odds: Matrix
    mixture: Mixture
    standouts: float

    @property
    def probability(self) -> Matrix:
        """``(N, N)``, 0-1."""
        return np.asarray(expit(self.log_odds), np.float64)

    @property
    def is_telling(self) -> bool:
        """Whether the same person is told from strangers."""
        clear = self.mixture.separation >= _MIN_SEPARATION and self.mixture.share <= _MOST_SHARE
        return clear and self.standouts >= _MIN_STANDOUTS


def judge_pairs(looks: NDArray[np.float32], cameras: Labels, apart: Mask) -> PairJudgement:
    """Judges all pairs of tracklets; see the module.

    Args:
        looks: ``(N, D)``, mean embedding of each tracklet, of norm 1; N at least 3.
        cameras: ``(N,)``, which camera each was seen by.
        apart: ``(N, N)``, symmetric: pairs that are certainly two people.
    """
    centred = _centred(looks, cameras)
    first = _judge(centred, cameras, apart, None)
    return _judge(centred, cameras, apart, first.probability >= _SAME)


def _judge(centred: Matrix, cameras: Labels, apart: Mask, same: Mask | None) -> PairJudgement:
    """Judges pairs of centred looks ``(N, D)``; ``same`` as in `normalise_similarity`."""
    similarity = centred @ centred.T
    own = normalise_similarity(similarity, cameras, same)
    expanded = _with_neighbours(centred, own)
    pairs = np.triu(~apart, 1)
    together = normalise_similarity(expanded @ expanded.T, cameras, same)[pairs]
    mixture = fit_mixture(together)
    features = np.stack([np.ones_like(own), own, shared_neighbours(similarity)], axis=-1)
    weights = fit_logistic(features[pairs], mixture.probability(together))
    plain = fit_mixture(own[pairs])
    usual = float(logit(mixture.share))
    surplus = max(usual - float(logit(plain.share)), 0.0) * float(np.interp(len(own), _CROWD, (1.0, 0.0)))
    log_odds = np.clip(features @ weights - surplus, usual - surplus - _DOUBT, _CERTAIN)
    return PairJudgement(np.asarray(log_odds, np.float64), mixture, _count_standouts(own[pairs], plain))


def judge_if_telling(looks: NDArray[np.float32], cameras: Labels, apart: Mask) -> PairJudgement | None:
    """As `judge_pairs`; None where tracklets are too few, or those of few people tell nothing sure."""
    if len(looks) < MIN_TRACKLETS or np.triu(~apart, 1).sum() < MIN_PAIRS:
        return None
    judged = judge_pairs(looks, cameras, apart)
    return judged if judged.is_telling else None


def judge_few(looks: NDArray[np.float32], apart: Mask) -> Matrix:
    """Log-odds ``(N, N)`` that two tracklets show one person, where there are too few of them to fit a mixture.

    Where strangers lie is taken from the lower half of the similarities, in which hardly anybody is the same person.
    How much more alike the same person looks, in their deviations, is what it was with all encoders that were tried;
    how many pairs are the same person is fitted.

    Args:
        looks: ``(N, D)``, mean embedding of each tracklet, of norm 1; N at least 3.
        apart: ``(N, N)``, symmetric: pairs that are certainly two people.
    """
    similarity = np.asarray(looks @ looks.T, np.float64)
    pairs = np.triu(~apart, 1)
    if not pairs.any():
        return np.full(similarity.shape, -_FEW_MOST)
    low, middle = np.quantile(similarity[pairs], [_LOW_TAIL, 0.5])
    above = (similarity - middle) / max(float(middle - low), 1e-3)
    ratio = stats.norm.logpdf(np.minimum(above, _FEW_SAME[0]), *_FEW_SAME) - stats.norm.logpdf(above)
    ratio = np.clip(ratio, -_FEW_MOST, _FEW_MOST)
    share = _FEW_SHARE
    for _ in range(_ROUNDS):
        share = max(float(expit(ratio[pairs] + logit(share)).mean()), 1.0 / (10.0 * pairs.sum()))
    return np.asarray(ratio + logit(min(share, _FEW_SHARE)), np.float64)


def find_apart(cameras: Labels, first_us: Labels, last_us: Labels) -> Mask:
    """Pairs of tracklets that one camera saw at one time, hence two people: ``(N, N)``, each with itself among them."""
    begun = first_us[:, None] <= last_us[None]
    return np.asarray(begun & begun.T & (cameras[:, None] == cameras[None]))


def normalise_similarity(similarity: Matrix, cameras: Labels, same: Mask | None = None) -> Matrix:
    """A similarity ``(N, N)`` in deviations above what is usual for both tracklets in the other's camera.

    Args:
        similarity: Of all pairs.
        cameras: ``(N,)``.
        same: ``(N, N)``, who is likely the same person: as many of the nearest are left out of what is usual, and some
            in any case.
    """
    mean, deviation = np.empty_like(similarity), np.empty_like(similarity)
    everywhere = np.ones(len(cameras), bool)
    for camera in np.unique(cameras):
        there = cameras == camera
        compared = there if there.sum() >= _FEW else everywhere
        sample = np.sort(similarity[:, compared], axis=1)
        nearest = (
            np.full(len(sample), _NEAREST) if same is None else np.maximum(same[:, compared].sum(axis=1), _NEAREST)
        )
        kept = np.maximum(sample.shape[1] - nearest, 2)
        usual = np.arange(sample.shape[1]) < kept[:, None]
        mean[:, there] = sample.mean(axis=1, where=usual)[:, None]
        deviation[:, there] = np.maximum(sample.std(axis=1, where=usual), 1e-3)[:, None]
    above = (similarity - mean) / deviation
    return np.asarray((above + above.T) / 2, np.float64)


def fit_mixture(similarities: Matrix) -> Mixture:
    """Fits the mixture to the similarities ``(P,)`` of all pairs by expectation and maximisation."""
    order = np.sort(similarities)
    strangers = np.ones(len(order))
    shape, place, scale = _fit_strangers(order, strangers)
    spread = shape**0.5 * scale
    mixture = Mixture(shape, place, scale, 0.01, place + shape * scale + 4.0 * spread, spread)
    for _ in range(_ROUNDS):
        same = mixture.probability(order)
        total = max(float(same.sum()), 1e-9)
        mean = float((same * order).sum()) / total
        deviation = (float((same * (order - mean) ** 2).sum()) / total) ** 0.5
        shape, place, scale = _fit_strangers(order, 1.0 - same)
        least = 0.7 * shape**0.5 * scale  # one person does not look more constant than strangers look different
        mixture = Mixture(shape, place, scale, total / len(order), mean, max(deviation, least))
    return mixture


def _count_standouts(similarities: Matrix, mixture: Mixture) -> float:
    """See `PairJudgement.standouts`."""
    strangers = (1.0 - mixture.share) * len(similarities)
    above = stats.gamma.isf(min(_LIKEST / strangers, 1.0), mixture.shape)
    return int((similarities > mixture.place + mixture.scale * above).sum()) / _LIKEST


def _fit_strangers(order: Matrix, weights: Matrix) -> tuple[float, float, float]:
    """The gamma distribution with the quantiles of the sorted, weighted values: shape, place and scale."""
    low, middle, high = np.interp(_QUANTILES, np.cumsum(weights) / weights.sum(), order)
    spread = max(high - low, 1e-6)
    nearest = int(np.abs(_LEANS - (high + low - 2.0 * middle) / spread).argmin())
    scale = spread / (_GAMMAS[nearest, 2] - _GAMMAS[nearest, 0])
    return float(_SHAPES[nearest]), float(middle - scale * _GAMMAS[nearest, 1]), float(scale)


_SHAPES: Final = np.geomspace(1.5, 4000.0, 200)
_GAMMAS: Final = np.asarray(stats.gamma.ppf(_QUANTILES[None], _SHAPES[:, None]), np.float64)
_LEANS: Final = (_GAMMAS[:, 2] + _GAMMAS[:, 0] - 2.0 * _GAMMAS[:, 1]) / (_GAMMAS[:, 2] - _GAMMAS[:, 0])


def fit_logistic(features: Matrix, targets: Matrix) -> Matrix:
    """Weights ``(F,)`` of a logistic regression on ``features (P, F)``, the first all ones, by Newton steps."""
    penalty = np.diag([1e-6] + [1.0] * (features.shape[1] - 1))
    weights = np.zeros(features.shape[1])
    for _ in range(_NEWTON_STEPS):
        expected = expit(features @ weights)
        slope = features.T @ (expected - targets) + penalty @ weights
        curvature = (features * (expected * (1.0 - expected))[:, None]).T @ features + penalty
        weights -= np.linalg.solve(curvature, slope)
    return weights


def shared_neighbours(similarity: Matrix) -> Matrix:
    """Part of their reciprocal neighbours that two tracklets share, weighted by similarity: ``(N, N)``, 0-1."""
    size = len(similarity)
    others = similarity.copy()
    np.fill_diagonal(others, np.inf)  # each is its own nearest, also among such that look exactly the same
    order = np.argsort(-others, axis=1, kind="stable")
    near, close = _reciprocal(order, _RECIPROCAL), _reciprocal(order, _RECIPROCAL // 2)
    weights = np.zeros_like(similarity)
    for row in range(size):
        chosen = near[row].copy()
        for other in np.flatnonzero(near[row]):
            if (close[other] & near[row]).sum() > 2 / 3 * close[other].sum():
                chosen |= close[other]
        weights[row, chosen] = np.exp(2.0 * (similarity[row, chosen] - 1.0))
    weights /= weights.sum(axis=1, keepdims=True)
    smooth = sparse.csr_array(weights[order[:, :_SMOOTHED]].mean(axis=1))
    common = np.stack([_common(smooth, row) for row in range(size)])
    return np.asarray(common / (2.0 - common), np.float64)


def _common(weights: sparse.csr_array, row: int) -> Matrix:
    """The sum of the smaller weights of one row and each other."""
    mine = weights[[row], :].tocoo()
    columns = weights[:, mine.coords[1]].toarray()
    return np.asarray(np.minimum(columns, mine.data[None]).sum(axis=1), np.float64)


def _reciprocal(order: NDArray[np.intp], count: int) -> Mask:
    near = np.zeros(order.shape, bool)
    np.put_along_axis(near, order[:, : count + 1], True, axis=1)
    return np.asarray(near & near.T)


def _centred(looks: NDArray[np.float32], cameras: Labels) -> Matrix:
    """Looks without what all of their camera have in common, of norm 1 again; a camera of few keeps what it has."""
    centred = looks.astype(np.float64) - looks.mean(axis=0, dtype=np.float64)
    for camera in np.unique(cameras):
        there = cameras == camera
        if there.sum() >= _FEW:
            centred[there] -= centred[there].mean(axis=0)
    return _unit(centred)


def _with_neighbours(looks: Matrix, similarity: Matrix) -> Matrix:
    """Each look averaged with its reciprocal neighbours, weighted by their normalised similarity; of norm 1."""
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    order = np.argsort(-others, axis=1, kind="stable")
    near = _reciprocal(order, _NEIGHBOURS - 1)
    weights = np.where(near, np.maximum(others, 0.0), 0.0)
    weights /= np.maximum(others.max(axis=1, keepdims=True), 1e-6)
    np.fill_diagonal(weights, 1.0)
    expanded = weights @ looks
    return _unit(expanded)


def _unit(looks: Matrix) -> Matrix:
    """Rows of norm 1; those of norm 0, as where all look the same, stay."""
    return np.asarray(looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9), np.float64)
