from itertools import permutations

import numpy as np
import pytest

from reid_pipeline.pipeline.matching import areas, assign, covered, intersections, iou

SQUARE, SHIFTED, FAR = [0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 70]


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def best_sum(similarity, allowed):
    """Tries every way to pair rows with columns; a pair that is not allowed is left out."""
    gains = np.where(allowed, similarity, 0.0)
    if len(gains) > gains.shape[1]:
        gains = gains.T
    rows = range(len(gains))
    return max(gains[rows, columns].sum() for columns in permutations(range(gains.shape[1]), len(gains)))


def test_overlaps_by_hand():
    np.testing.assert_array_equal(areas(boxes(SQUARE, FAR, [10, 0, 0, 10])), [100, 200, 0])
    np.testing.assert_array_equal(intersections(boxes(SQUARE), boxes(SHIFTED, FAR)), [[50, 0]])
    np.testing.assert_allclose(iou(boxes(SQUARE), boxes(SQUARE, SHIFTED, FAR)), [[1, 1 / 3, 0]], rtol=1e-6)


def test_touching_boxes_do_not_overlap():
    assert iou(boxes(SQUARE), boxes([10, 0, 20, 10])).item() == 0


def test_no_boxes():
    assert iou(boxes(), boxes(SQUARE)).shape == (0, 1)
    assert covered(boxes()).shape == (0,)
    assert iou(boxes([3, 3, 3, 3]), boxes([3, 3, 3, 3])).item() == 0


def test_covered_is_the_share_of_the_box_itself():
    inner = [2, 2, 4, 4]
    np.testing.assert_allclose(covered(boxes(SQUARE, inner, FAR)), [0.04, 1, 0], rtol=1e-6)
    np.testing.assert_array_equal(covered(boxes(SQUARE)), [0])


@pytest.mark.parametrize("seed", range(60))
def test_assign_finds_the_best_sum(seed):
    random = np.random.default_rng(seed)
    shape = random.integers(1, 6, 2)
    similarity = random.uniform(0.01, 1, shape).astype(np.float32)
    allowed = random.random(shape) < 0.6
    pairs = assign(similarity, allowed)
    assert all(allowed[pair] for pair in pairs)
    assert pairs == sorted(pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert sum(similarity[pair] for pair in pairs) == pytest.approx(best_sum(similarity, allowed))


def test_one_good_pair_is_not_given_up_for_two_poor_ones():
    similarity = np.array([[0.9, 0.3], [0.3, 0.1]], np.float32)
    allowed = np.array([[True, True], [True, False]])
    assert assign(similarity, allowed) == [(0, 0)]


def test_nothing_allowed():
    assert assign(np.ones((2, 3), np.float32), np.zeros((2, 3), bool)) == []
    assert assign(np.empty((0, 3), np.float32), np.empty((0, 3), bool)) == []
