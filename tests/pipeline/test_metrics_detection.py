import numpy as np
import pytest

from reid_pipeline.pipeline.box_overlap import box_overlap
from reid_pipeline.pipeline.datatypes import Detections
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.metrics_detection import JudgedImage, evaluate_detections


def image(found, truth):
    """An image with detections (score, x1, y1, x2, y2) and persons (x1, y1, x2, y2)."""
    table = np.array(found, np.float32).reshape(-1, 5)
    return JudgedImage(Detections(table[:, 1:], table[:, 0]), np.array(truth, np.float32).reshape(-1, 4))


A, B, C = (0, 0, 10, 10), (100, 0, 110, 10), (200, 0, 210, 10)


def random_image(rng):
    corners = rng.uniform(0, 60, (int(rng.integers(0, 5)), 2))
    truth = np.concatenate([corners, corners + rng.uniform(10, 40, corners.shape)], axis=1)
    near = np.repeat(truth, 2, axis=0)[rng.random(2 * len(truth)) < 0.7]
    boxes = near + rng.uniform(-4, 4, near.shape)
    strays = rng.uniform(0, 40, (int(rng.integers(0, 3)), 2))
    boxes = np.concatenate([boxes, np.concatenate([strays, strays + 20], axis=1)])
    return image(np.concatenate([rng.random((len(boxes), 1)), boxes], axis=1), truth)


def slow_average_precision(images, threshold):
    ranked = sorted(
        (
            (-float(score), number, index)
            for number, one in enumerate(images)
            for index, score in enumerate(one.found.scores)
        )
    )
    claimed, right = set(), []
    for _, number, index in ranked:
        overlaps = box_overlap(images[number].found.boxes[index : index + 1], images[number].truth)[0]
        free = [(overlap, -i) for i, overlap in enumerate(overlaps) if (number, i) not in claimed]
        best, which = max(free, default=(0.0, 0))
        right.append(best >= threshold)
        if right[-1]:
            claimed.add((number, -which))
    persons = sum(len(one.truth) for one in images)
    curve = [(sum(right[:n]) / persons, sum(right[:n]) / n) for n in range(1, len(right) + 1)]
    return np.mean([max((p for r, p in curve if r >= wanted), default=0.0) for wanted in np.linspace(0, 1, 101)])


def test_scores_by_hand():
    # Best first: right, wrong, right; the third person is not found. Precision is 1 up to recall 1/3, then 2/3 up to
    # recall 2/3, then 0: 34 of the 101 recalls are in the first part, 33 in the second.
    images = [image([(0.9, *A), (0.8, 50, 50, 60, 60)], [A, C]), image([(0.3, *B)], [B])]
    scores = evaluate_detections(images)
    assert scores.ap50 == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert scores.ap50_95 == pytest.approx(scores.ap50)
    assert (scores.precision, scores.recall) == (pytest.approx(1 / 2), pytest.approx(1 / 3))


def test_a_loose_box_counts_only_at_the_overlaps_it_reaches():
    # 6 of 10 wide: overlap 0.6, enough at 0.50, 0.55 and 0.60.
    scores = evaluate_detections([image([(0.9, 0, 0, 6, 10)], [A])])
    assert scores.ap50 == 1
    assert scores.ap50_95 == pytest.approx(0.3)


def test_a_second_box_on_one_person_is_wrong():
    scores = evaluate_detections([image([(0.5, *A), (0.9, *A)], [A])])
    assert scores.precision == 0.5
    assert scores.ap50 == 1


def test_the_best_detection_claims_the_person_it_overlaps_with_most():
    left, right = (0, 0, 10, 10), (2, 0, 12, 10)
    scores = evaluate_detections([image([(0.9, *right), (0.8, *left)], [left, right])])
    assert scores.ap50_95 == pytest.approx(1)


def test_confidence_splits_at_the_threshold():
    images = [image([(0.4, *A), (0.39, *B)], [A, B])]
    assert evaluate_detections(images).recall == 0.5
    assert evaluate_detections(images, min_confidence=0.3).recall == 1


def test_nothing_found_scores_zero():
    scores = evaluate_detections([image([], [A]), image([], [])])
    assert scores.as_dict() == {"AP50": 0, "AP50_95": 0, "precision": 0, "recall": 0}


def test_false_boxes_in_images_without_persons_count():
    images = [image([(0.8, *A)], [A]), image([(0.9, *B)], [])]
    scores = evaluate_detections(images)
    assert (scores.ap50, scores.precision) == (0.5, 0.5)


def test_no_person_at_all_is_said():
    with pytest.raises(InputError, match="no person is labelled in 1 images"):
        evaluate_detections([image([(0.9, *A)], [])])


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_obvious_loop(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(12)]
    scores = evaluate_detections(images)
    slow = [slow_average_precision(images, 0.5 + 0.05 * step) for step in range(10)]
    assert scores.ap50 == pytest.approx(slow[0])
    assert scores.ap50_95 == pytest.approx(np.mean(slow))
    assert 0.05 < scores.ap50_95 < 0.9


def test_overlap_by_hand():
    boxes = [(0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 20, 30), (8, 8, 2, 2)]
    assert box_overlap([A], boxes)[0] == pytest.approx([1, 50 / 150, 0, 0])
    assert box_overlap([(20, 20, 20, 30)], [(20, 20, 20, 30)]).tolist() == [[0.0]]
    assert box_overlap(np.empty((0, 4)), boxes).shape == (0, 4)
