import contextlib
import io
import warnings

import numpy as np
import pytest

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.metrics_tracking import score_tracking
from reid_pipeline.pipeline.mot_format import BoxTracks, PointTracks, TrackKeys
from reid_pipeline.pipeline.tracking_sequence import MatchRule, TrackingSequence, match_boxes, match_points


def boxes(rows):
    """Box tracks of rows (camera, frame, id, x, y): boxes of 10 x 20 pixels."""
    keys = _keys(rows)
    corner = np.array([row[3:] for row in rows], np.float64).reshape(-1, 2)
    return BoxTracks(keys, np.concatenate([corner, corner + np.array([10, 20])], axis=1), np.ones(len(rows)))


def points(rows):
    return PointTracks(_keys(rows), np.array([row[3:] for row in rows], np.float64).reshape(-1, 2))


def _keys(rows):
    cameras, frames, ids = zip(*[row[:3] for row in rows], strict=True) if rows else ((), (), ())
    return TrackKeys(np.array(cameras, np.str_), np.array(frames, np.int64), np.array(ids, np.int64))


def track(number, frames, x=0.0, camera=""):
    return [(camera, frame, number, x, 0.0) for frame in frames]


def random_sequence(seed):
    """A sequence in which ids come, go and swap, with empty timesteps on either side and on both."""
    rng = np.random.default_rng(seed)
    truth_count, predicted_count = rng.integers(1, 7, 2)
    truth, predicted, similarities = [], [], []
    for _ in range(int(rng.integers(1, 30))):
        g = rng.permutation(truth_count)[: rng.integers(0, truth_count + 1)]
        p = rng.permutation(predicted_count)[: rng.integers(0, predicted_count + 1)]
        noise = rng.random((len(g), len(p)))
        near = (g[:, np.newaxis] + rng.integers(0, 2)) % predicted_count == p
        # Rounded: ties and similarities of exactly a threshold must be settled alike.
        similarity = np.round(np.where(near, 0.4 + 0.6 * noise, 0.6 * noise), 2)
        truth.append(g.astype(np.int64))
        predicted.append(p.astype(np.int64))
        similarities.append(similarity)
    return _gapless(truth, predicted, similarities)


def _gapless(truth, predicted, similarities):
    (truth, truth_count), (predicted, predicted_count) = _renumber(truth), _renumber(predicted)
    return TrackingSequence(truth, predicted, tuple(similarities), truth_count, predicted_count)


def _renumber(ids):
    names = np.unique(np.concatenate(ids))
    return tuple(np.searchsorted(names, step) for step in ids), len(names)


def one_sided(sequence, side):
    nobody = tuple(np.empty(0, np.int64) for _ in sequence.truth_ids)
    truth, predicted = (nobody, sequence.predicted_ids) if side == "truth" else (sequence.truth_ids, nobody)
    similarities = [np.empty((len(g), len(p))) for g, p in zip(truth, predicted, strict=True)]
    return _gapless(truth, predicted, similarities)


@pytest.fixture(scope="module")
def trackeval_scores():
    """TrackEval itself, on the same sequence."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("trackeval.metrics", reason="TrackEval is not installed")
    quiet = {"PRINT_CONFIG": False}
    parts = metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet)

    def score(sequence):
        data = {
            "gt_ids": list(sequence.truth_ids),
            "tracker_ids": list(sequence.predicted_ids),
            "similarity_scores": list(sequence.similarities),
            "num_timesteps": len(sequence.truth_ids),
            "num_gt_ids": sequence.truth_count,
            "num_tracker_ids": sequence.predicted_count,
            "num_gt_dets": sum(map(len, sequence.truth_ids)),
            "num_tracker_dets": sum(map(len, sequence.predicted_ids)),
        }
        hota, clear, identity = (part.eval_sequence(data) for part in parts)
        scores = {name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")}
        scores |= {name: identity[name] for name in ("IDF1", "IDP", "IDR")}
        return scores | {"MOTA": clear["MOTA"], "IDSW": clear["IDSW"]}

    return score


# What TrackEval 1.3.0 gives, in the order of the scores, so that the agreement is tested without it too.
TRACKEVAL = {
    1: [0.18456356, 0.205571, 0.17128394, 0.30952381, 0.25490196, 0.39393939, -0.81818182, 10],
    4: [0.19154071, 0.25009871, 0.14847267, 0.30769231, 0.26666667, 0.36363636, -0.45454545, 18],
    11: [0.23528542, 0.23528542, 0.23528542, 0.44444444, 0.42857143, 0.46153846, -0.15384615, 0],
    23: [0.09080596, 0.08890706, 0.093106163, 0.12903226, 0.083333333, 0.28571429, -2.7142857, 1],
}


@pytest.mark.parametrize("seed", TRACKEVAL)
def test_agrees_with_what_trackeval_gave(seed):
    assert list(score_tracking(random_sequence(seed)).as_dict().values()) == pytest.approx(TRACKEVAL[seed], abs=1e-6)


def test_agrees_with_trackeval_on_random_sequences(trackeval_scores):
    for seed in range(200):
        sequence = random_sequence(seed)
        assert score_tracking(sequence).as_dict() == pytest.approx(trackeval_scores(sequence), abs=1e-6), seed


@pytest.mark.parametrize("side", ["truth", "prediction"])
def test_agrees_with_trackeval_when_one_side_is_empty(trackeval_scores, side):
    sequence = one_sided(random_sequence(3), side)
    expected = trackeval_scores(sequence)
    assert set(expected.values()) == {0.0}
    assert score_tracking(sequence).as_dict() == expected


def test_agrees_with_trackeval_on_boxes_of_a_site(trackeval_scores):
    rng = np.random.default_rng(5)
    truth = [(camera, t, i, 15.0 * i + t, 0.0) for camera in "abc" for t in range(1, 30) for i in range(6)]
    found = [(c, t, (i + t // 11) % 6, x + rng.normal(0, 3), rng.normal(0, 4)) for c, t, i, x, _ in truth]
    sequence = match_boxes(boxes(truth), boxes([row for row in found if rng.random() < 0.9]))
    scores = score_tracking(sequence).as_dict()
    assert scores == pytest.approx(trackeval_scores(sequence), abs=1e-6)
    assert 0.1 < scores["HOTA"] < 0.9
    assert scores["IDSW"] > 0


def test_a_perfect_prediction_scores_one_in_everything():
    rows = track(4, range(1, 6)) + track(9, range(2, 9), x=50)
    renamed = [(camera, frame, number + 100, x, y) for camera, frame, number, x, y in rows]
    scores = score_tracking(match_boxes(boxes(rows), boxes(renamed))).as_dict()
    assert scores == pytest.approx({**dict.fromkeys(scores, 1.0), "IDSW": 0})


def test_a_switch_halfway_by_hand():
    # One person in 4 frames, found exactly as track 1 in two and as track 2 in two, and a false box in each frame.
    truth = track(1, range(1, 5))
    found = track(1, [1, 2]) + track(2, [3, 4]) + track(3, range(1, 5), x=500)
    scores = score_tracking(match_boxes(boxes(truth), boxes(found))).as_dict()
    assert scores["IDSW"] == 1
    assert scores["MOTA"] == pytest.approx((4 - 4 - 1) / 4)
    assert scores["IDF1"] == pytest.approx(2 * 2 / (4 + 8))
    assert scores["IDP"] == pytest.approx(2 / 8)
    assert scores["IDR"] == pytest.approx(2 / 4)
    assert scores["DetA"] == pytest.approx(4 / 8)
    # Each match: 2 timesteps together of 4 in which either is.
    assert scores["AssA"] == pytest.approx(0.5)
    assert scores["HOTA"] == pytest.approx(0.5)


def test_a_shifted_box_counts_up_to_its_overlap():
    # Shifted by 2.5 of 10: overlap 7.5 / 12.5 = 0.6, so 12 of the 19 thresholds are met.
    scores = score_tracking(match_boxes(boxes(track(1, [1])), boxes(track(1, [1], x=2.5)))).as_dict()
    assert scores["HOTA"] == pytest.approx(12 / 19)
    assert scores["MOTA"] == 1


def test_one_assignment_holds_over_all_cameras():
    # The same person is identity 1 in one camera and 2 in the other: each camera alone would be perfect.
    truth = track(7, range(1, 4), camera="a") + track(7, range(1, 3), camera="b")
    found = track(1, range(1, 4), camera="a") + track(2, range(1, 3), camera="b")
    scores = score_tracking(match_boxes(boxes(truth), boxes(found))).as_dict()
    assert scores["IDF1"] == pytest.approx(3 / 5)
    assert scores["IDSW"] == 1


def test_boxes_of_different_cameras_never_match():
    truth, found = track(1, [1, 2], camera="a"), track(1, [1, 2], camera="b")
    scores = score_tracking(match_boxes(boxes(truth), boxes(found))).as_dict()
    assert scores["MOTA"] == -1
    assert scores["HOTA"] == 0


def test_foot_points_match_up_to_the_distance_and_not_beyond():
    truth = points([("a", 1, 1, 0, 0), ("a", 2, 1, 0, 0), ("a", 3, 1, 0, 0)])
    found = points([("a", 1, 5, 30, 40), ("a", 2, 5, 30.1, 40), ("a", 3, 5, 0, 25)])
    sequence = match_points(truth, found, foot_px=50)
    assert np.concatenate(sequence.similarities).ravel() == pytest.approx([0.5, 0.5 - 0.06 / 100, 0.75], abs=1e-4)
    assert score_tracking(sequence).as_dict()["IDR"] == pytest.approx(2 / 3)


def test_far_foot_points_have_no_similarity():
    sequence = match_points(points([("a", 1, 1, 0, 0)]), points([("a", 1, 1, 0, 500)]), foot_px=50)
    assert sequence.similarities[0].tolist() == [[0.0]]


def test_the_order_of_the_lines_does_not_matter():
    truth, found = track(1, range(1, 12)), track(1, range(1, 6)) + track(2, range(6, 12))
    in_order = score_tracking(match_boxes(boxes(truth), boxes(found)))
    assert score_tracking(match_boxes(boxes(truth[::-1]), boxes(found[::-1]))) == in_order
    assert in_order.clear.idsw == 1


@pytest.mark.parametrize(("text", "foot_px"), [("iou", None), ("foot:50", 50.0), ("foot:12.5", 12.5)])
def test_match_rules(text, foot_px):
    assert MatchRule.parse(text) == MatchRule(foot_px)


@pytest.mark.parametrize("text", ["", "IOU", "foot", "foot:", "foot:x", "foot:0", "foot:-3", "foot:inf", "hand:5"])
def test_other_match_rules_are_refused(text):
    with pytest.raises(InputError, match=r"expected iou or foot:PIXELS"):
        MatchRule.parse(text)


def test_a_matrix_of_the_wrong_shape_is_refused():
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match=r"one \(G, P\) matrix"):
        TrackingSequence((one,), (one,), (np.zeros((1, 2)),), 1, 1)
