"""Who is who after a crossing: the rule alone; `test_tracker` plays whole crossings."""

import numpy as np
import pytest

from reid_pipeline.pipeline.crossings import CROSSED, Crossed, Finding, find_crossing, is_swap, judge


@pytest.mark.parametrize(
    ("own", "rivals", "crossed"),
    [
        (6.0, [-5.0, 1.0], Crossed(Finding.ITSELF)),
        (-5.0, [-6.0, 6.0], Crossed(Finding.RIVAL, 1, 11.0)),
        (6.0, [8.5], Crossed(Finding.RIVAL, 0, 2.5)),  # like both, but more like the other
        (-5.0, [-6.0], Crossed(Finding.NEITHER)),
        (-2.0, [-6.0], Crossed(Finding.UNCLEAR)),  # rather itself than the other, and like neither
        (3.0, [2.5], Crossed(Finding.UNCLEAR)),
        (3.0, [4.0], Crossed(Finding.UNCLEAR)),
    ],
)
def test_a_look_says_who_it_is_or_that_it_cannot_be_said(own, rivals, crossed):
    assert judge(own, rivals) == crossed


def test_two_have_changed_places_only_where_both_together_say_so():
    assert is_swap(4.0, kept=-5.0, swapped=6.0)
    assert not is_swap(4.0, kept=6.0, swapped=-5.0)
    assert not is_swap(2.5, kept=3.0, swapped=2.0)  # 1.5 in all


def test_a_box_that_covers_much_of_another_crosses_it():
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 100, (40, 2)), rng.uniform(5, 60, (40, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    expected = []
    for one in range(40):
        for other in range(40):
            width = min(boxes[one, 2], boxes[other, 2]) - max(boxes[one, 0], boxes[other, 0])
            height = min(boxes[one, 3], boxes[other, 3]) - max(boxes[one, 1], boxes[other, 1])
            shared = max(width, 0) * max(height, 0)
            smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[one], boxes[other]))
            if one != other and shared / smaller >= CROSSED:
                expected.append((one, other))
    assert find_crossing(boxes) == expected
    assert 10 < len(expected) < 40 * 39


def test_nobody_crosses_alone():
    assert find_crossing(np.empty((0, 4), np.float32)) == []
    assert find_crossing(np.array([[0, 0, 10, 20]], np.float32)) == []
    assert find_crossing(np.array([[5, 5, 5, 5], [0, 0, 10, 20]], np.float32)) == []  # a box of no size
