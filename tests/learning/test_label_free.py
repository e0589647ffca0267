from dataclasses import replace

import numpy as np
import pytest

from reid_pipeline.learning.gate import GateSettings, compare, judge
from reid_pipeline.learning.label_free import examine
from reid_pipeline.learning.material import Material, find_covisible

SETTINGS = GateSettings(fewest=20)


def site(tracklets=120, crops=4, cameras=3, seed=0):
    """Tracklets of four crops, two of them at a time in each camera; crops are told apart by their first pixels."""
    rng = np.random.default_rng(seed)
    first = np.arange(tracklets) // 6 * 100
    rows = np.repeat(np.arange(tracklets), crops)
    return Material(
        crops=rng.integers(0, 256, (len(rows), 2, 1, 3)).astype(np.uint8),
        tracklets=rows,
        times_us=first[rows] + np.tile(np.arange(crops), tracklets),
        cameras=np.arange(tracklets) % cameras,
        camera_names=tuple("abc"[:cameras]),
        runs=np.zeros(tracklets, np.int64),
        first_us=first,
        last_us=first + 50,
    )


def embeddings(known, noise, seed=1, camera=0.0, dim=24):
    """What an encoder makes of them: one direction for each person, disturbed in each crop, and the camera's own."""
    truth = np.random.default_rng(99)
    people = truth.normal(size=(len(known) // 3, dim))[np.arange(len(known)) // 3]  # each is seen by all three
    views = truth.normal(size=(3, dim))[known.cameras]
    rng = np.random.default_rng(seed)
    found = (people + camera * views)[known.tracklets] + noise * rng.normal(size=(len(known.crops), dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def halves(vectors, known):
    for tracklet in range(len(known)):
        rows = np.flatnonzero(known.tracklets == tracklet)
        first, second = vectors[rows[: len(rows) // 2]].sum(0), vectors[rows[len(rows) // 2 :]].sum(0)
        yield first / np.linalg.norm(first), second / np.linalg.norm(second)


def test_the_figures_are_those_of_the_obvious_way():
    known, vectors = site(), embeddings(site(), 1.5, camera=0.5)
    first, second = (np.array(each) for each in zip(*halves(vectors, known), strict=True))
    figures = examine(vectors, known).figures()

    ranks = [1 + sum(first[q] @ second[g] > first[q] @ second[q] for g in range(len(known))) for q in range(len(known))]
    assert figures["retrieval"] == pytest.approx(np.mean([1 / rank for rank in ranks]))

    strangers = sorted((float(first[a] @ second[b]) for a, b in find_covisible(known)), reverse=True)
    limit = strangers[int(1e-3 * len(strangers))]
    expected = np.mean([first[q] @ second[q] > limit for q in range(len(known))])
    assert figures["true_positive_rate"] == pytest.approx(expected)

    returned = []
    for query in range(len(known)):
        mine = np.flatnonzero(known.cameras == known.cameras[query])
        for camera in set(range(3)) - {int(known.cameras[query])}:
            there = np.flatnonzero(known.cameras == camera)
            visited = there[np.argmax(first[there] @ first[query])]
            returned.append(mine[np.argmax(second[mine] @ first[visited])] == query)
    assert figures["round_trip"] == pytest.approx(np.mean(returned))


def test_weights_count_as_copies():
    known, vectors = site(), embeddings(site(), 1.5)
    evidence = examine(vectors, known)
    weights = np.random.default_rng(0).integers(0, 3, len(known)).astype(float)
    assert evidence.retrieval(weights) == pytest.approx(np.repeat(evidence.precision, weights.astype(int)).mean())
    assert evidence.true_positive_rate(np.ones(len(known)) * 2) == evidence.true_positive_rate(np.ones(len(known)))


def test_a_better_encoder_is_better_in_all():
    known = site()
    poor, good = (examine(embeddings(known, noise), known).figures() for noise in (2.0, 1.0))
    for name in ("retrieval", "true_positive_rate", "round_trip"):
        assert good[name] > poor[name]


def test_camera_bias_is_one_without_and_more_with():
    known = site()
    assert examine(embeddings(known, 0.1), known).camera_bias < 1.1
    assert examine(embeddings(known, 0.1, camera=3.0), known).camera_bias > 2.0


def test_a_space_that_is_filled_and_one_that_is_not():
    known = site(600)
    rng = np.random.default_rng(0)
    even = rng.normal(size=(len(known.crops), 8))
    even = (even / np.linalg.norm(even, axis=1, keepdims=True)).astype(np.float32)
    figures = examine(even, known).figures()
    assert figures["effective_rank"] == pytest.approx(8, abs=0.2)
    assert figures["mean_cosine"] == pytest.approx(0, abs=0.01)
    same = np.tile(even[:1], (len(even), 1))
    assert examine(same, known).figures()["effective_rank"] < 10
    assert examine(same, known).figures()["mean_cosine"] == pytest.approx(1)


def test_ties_are_no_finds():
    known = site()
    same = np.tile(np.eye(8, dtype=np.float32)[:1], (len(known.crops), 1))
    assert examine(same, known).figures()["retrieval"] < 0.05
    assert examine(same, known).figures()["true_positive_rate"] == 0


def test_without_strangers_or_other_cameras_nothing_is_claimed():
    known = site(cameras=1)
    alone = known.select(np.arange(0, len(known), 6))
    figures = examine(embeddings(known, 1.0)[np.isin(known.tracklets, np.arange(0, len(known), 6))], alone).figures()
    assert np.isnan(figures["true_positive_rate"])
    assert np.isnan(figures["round_trip"])
    assert figures["retrieval"] > 0


def judged(before, after, settings=SETTINGS, labelled=None):
    known = site()
    return judge(examine(before, known), examine(after, known), settings, labelled)


def test_what_is_better_passes():
    known = site()
    verdict = judged(embeddings(known, 2.0), embeddings(known, 1.0))
    assert verdict.promoted
    assert "better" in verdict.reason
    assert verdict.changes["retrieval"].low > 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda known: embeddings(known, 2.0), "not shown to be better"),  # the same
        (lambda known: embeddings(known, 4.0), "worse"),
        (lambda known: embeddings(known, 1.0, camera=1.0), "leans on the cameras"),
        (lambda known: np.tile(np.eye(24, dtype=np.float32)[:1], (len(known.crops), 1)), "collapsed"),
        (lambda known: np.full((len(known.crops), 24), np.nan, np.float32), "no numbers"),
        (lambda known: flattened(embeddings(known, 1.0)), "collapsed"),
    ],
)
def test_what_is_not_better_does_not_pass(spoil, reason):
    known = site()
    verdict = judged(embeddings(known, 2.0), spoil(known))
    assert not verdict.promoted
    assert reason in verdict.reason


def flattened(vectors):
    """Only three of their dimensions are left."""
    flat = vectors.copy()
    flat[:, 3:] = 0
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_noise_of_nights_without_learning_is_no_gain():
    known = site()
    assert not judged(
        embeddings(known, 1.3),
        embeddings(known, 1.2),
        GateSettings(fewest=20, noise={"retrieval": 0.5, "round_trip": 0.5}),
    ).promoted


def test_a_labelled_set_has_a_veto():
    known = site()
    assert judged(embeddings(known, 2.0), embeddings(known, 1.0), labelled=(50.0, 49.6)).promoted
    verdict = judged(embeddings(known, 2.0), embeddings(known, 1.0), labelled=(50.0, 49.0))
    assert not verdict.promoted
    assert "labelled" in verdict.reason


def test_too_little_says_nothing():
    known = site()
    assert "at least" in judged(embeddings(known, 2.0), embeddings(known, 1.0), GateSettings(fewest=500)).reason


def test_nights_without_learning_are_hardly_ever_promoted():
    known = site()
    promoted = sum(
        judged(embeddings(known, 2.0, seed=seed), embeddings(known, 2.0, seed=seed + 100)).promoted
        for seed in range(20)
    )
    assert promoted <= 2  # of 20: each of two figures has a chance of 5 in 100


def test_the_bootstrap_is_paired_and_its_interval_holds_the_gain():
    known = site()
    before, after = examine(embeddings(known, 2.0), known), examine(embeddings(known, 1.5), known)
    for change in compare(before, after, 0.05).values():
        assert change.low <= change.gain <= change.high
    for change in compare(before, before, 0.05).values():
        assert change.low == change.gain == change.high == 0


def test_who_finds_people_better_in_one_camera_alone_does_not_pass():
    known = site()
    before, after = examine(embeddings(known, 2.0), known), examine(embeddings(known, 1.0), known)
    one_sided = replace(after, returned=before.returned)
    verdict = judge(before, one_sided, SETTINGS)
    assert not verdict.promoted
    assert "round_trip +0.000" in verdict.reason


def test_a_site_of_one_camera_has_no_round_trips_to_be_better_at():
    known = site(cameras=1)
    before, after = examine(embeddings(known, 2.0), known), examine(embeddings(known, 1.0), known)
    verdict = judge(before, after, SETTINGS)
    assert verdict.promoted, verdict.reason
    assert "round_trip" not in verdict.reason
