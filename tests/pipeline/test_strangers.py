"""What is learnt from the newest people of each camera."""

import numpy as np
import pytest

from reid_pipeline.pipeline.strangers import STRANGERS, Strangers

AXES = np.eye(2 * STRANGERS, dtype=np.float32)


def test_the_nearest_counts_like_the_second_nearest():
    strangers = Strangers()
    strangers.add("hall", [1, 2, 3], np.stack([2 * AXES[0], AXES[1], AXES[2]]))
    mine = np.array([[0.8, 0.6, 0.0] + [0.0] * (len(AXES) - 3)], np.float32)
    [(camera, similarities)] = strangers.compare(mine, [None])
    assert camera == "hall"
    np.testing.assert_allclose(np.sort(similarities), [0, 0.6, 0.6])


def test_nobody_is_compared_with_themselves():
    strangers = Strangers()
    strangers.add("hall", [1, 2, 3], AXES[:3])
    strangers.add("lobby", [1], AXES[:1])
    found = dict(strangers.compare(AXES[[0, 5]], [1, None]))
    assert found["hall"].tolist() == [0.0] * 5
    assert "lobby" not in found  # one alone may be the same person


def test_views_of_one_person_add_up():
    strangers = Strangers()
    for total in (3 * AXES[0], 4 * AXES[1]):
        strangers.add("hall", [1, 2], np.stack([total, AXES[5]]))
    strangers.add("hall", [3], AXES[6:7])
    [(_, similarities)] = strangers.compare(AXES[:2], [None, None])
    np.testing.assert_allclose(np.sort(similarities), [0] * 6)
    [(_, similarities)] = strangers.compare(AXES[:2] + AXES[5], [2, 2])
    np.testing.assert_allclose(np.sort(similarities), [0] * 4)
    strangers.add("hall", [4], AXES[:1])
    [(_, similarities)] = strangers.compare(AXES[:1], [None])
    np.testing.assert_allclose(np.sort(similarities), [0, 0, 0.6, 0.6])


def test_the_newest_take_the_place_of_the_oldest():
    strangers = Strangers()
    strangers.add("hall", list(range(STRANGERS)), AXES[:STRANGERS])
    strangers.add("hall", [STRANGERS, STRANGERS + 1], AXES[STRANGERS : STRANGERS + 2])
    for person in range(STRANGERS + 2):
        [(_, similarities)] = strangers.compare(AXES[person : person + 1] + 2 * AXES[5], [5])
        assert len(similarities) == STRANGERS - 1
        assert similarities.max() == 0  # the nearest counts like the next one
        [(_, similarities)] = strangers.compare(AXES[person : person + 1] + 2 * AXES[5], [None])
        known = person > 1 and person != 5
        assert similarities.max() == known


@pytest.mark.parametrize("count", [5, STRANGERS, STRANGERS + 7])
def test_who_was_removed_is_forgotten_and_the_others_are_not(count):
    strangers, without = Strangers(), Strangers()
    people = list(range(count))
    gone = count - 2
    strangers.add("hall", people, AXES[:count])
    strangers.remove(gone)
    strangers.remove(1000)
    kept = [person for person in people[-STRANGERS:] if person != gone]
    without.add("hall", kept, AXES[kept])
    for more in (0, 3):
        for each in (strangers, without):
            each.add("hall", list(range(50, 50 + more)) or [kept[0]], AXES[50 : 50 + more] if more else AXES[kept[:1]])
        for person in (*people, 50, 51):
            found, expected = (dict(each.compare(AXES[person : person + 1], [3])) for each in (strangers, without))
            np.testing.assert_array_equal(np.sort(found["hall"]), np.sort(expected["hall"]))
