"""Floors that are given: which of them a camera can see like that, and what is said of the others."""

import random
from itertools import combinations

import pytest

from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.configs.floor_points import find_fault, is_mirrored
from reid_pipeline.configs.loading import load_settings

SEEN = [[0.1, 0.9], [0.9, 0.9], [0.7, 0.4], [0.3, 0.4]]
PLACES = [[0, 0], [4, 0], [4, 6], [0, 6]]


def load(folder, **floors):
    text = "cameras:\n" + "".join(
        f"  {name}:\n    inputs: [{{path: a.mp4}}]\n    floor: {floor}\n" for name, floor in floors.items()
    )
    (folder / "cameras.yaml").write_text(text, encoding="utf-8")
    return load_settings(folder / "cameras.yaml").cameras


def fault_of(folder, **floors):
    with pytest.raises(ConfigError) as caught:
        load(folder, **floors)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder}/")


def test_a_floor(tmp_path):
    cameras = load(tmp_path, hall=f"{{points: {SEEN}, metres: {PLACES}}}", door="null")
    assert cameras["hall"].floor.points == tuple(map(tuple, SEEN))
    assert cameras["hall"].floor.metres == tuple(map(tuple, PLACES))
    assert cameras["door"].floor is None


@pytest.mark.parametrize(
    ("floor", "message"),
    [
        (f"{{points: {SEEN}}}", "metres: missing: expected a list of 4 to 24 entries"),
        (f"{{metres: {PLACES}}}", "points: missing: expected a list of 4 to 24 entries"),
        (f"{{points: {SEEN[:3]}, metres: {PLACES}}}", "points: a list of 3: expected a list of 4 to 24 entries"),
        (f"{{points: {SEEN * 7}, metres: {PLACES}}}", "points: a list of 28: expected a list of 4 to 24 entries"),
        (
            f"{{points: {[*SEEN[:3], [0.3, 1.4]]}, metres: {PLACES}}}",
            "points[3][1]: 1.4: expected a number >= 0 and <= 1 (and 1 more)",
        ),
        (f"{{points: {SEEN}, metres: {[*PLACES[:3], [0, 'x']]}}}", "metres[3][1]: x: expected a number (and 1 more)"),
        (f"{{points: {SEEN}, metres: {[*PLACES, [2, 2]]}}}", "metres: a list of 5: expected as many as points: 4"),
        (
            f"{{points: {SEEN}, metres: [[0, 0], [4, 0], [8, 0], [0, 6]]}}",
            "metres: a list of 4: expected four of them such that no three lie on one line, in the picture and on the "
            "floor",
        ),
        (
            f"{{points: {SEEN}, metres: [[0, 0], [4, 6], [4, 0], [0, 6]]}}",
            "metres: a list of 4: expected metres in the order of points: from no camera would these places look like "
            "this",
        ),
        ("{}", "points: missing: expected a list of 4 to 24 entries (and 1 more)"),
        (f"{{point: {SEEN}, metres: {PLACES}}}", "points: missing: expected a list of 4 to 24 entries (and 1 more)"),
    ],
)
def test_mistakes_are_one_line(tmp_path, floor, message):
    assert fault_of(tmp_path, hall=floor) == f"cameras.yaml:4: cameras.hall.floor.{message}"


def test_no_camera_sees_the_floor_of_the_others_mirrored(tmp_path):
    same, mirrored = (
        f"{{points: {SEEN}, metres: {places}}}" for places in (PLACES, [[-x + 3, y + 5] for x, y in PLACES])
    )
    assert len(load(tmp_path, hall=same, door=same, till="null")) == 3
    assert fault_of(tmp_path, yard="null", hall=same, door=mirrored) == (
        "cameras.yaml:8: cameras.door: a mapping of 2: expected metres as in hall: one of the two is mirrored"
    )
    assert is_mirrored(SEEN, PLACES)
    assert not is_mirrored(SEEN, [[-x, y] for x, y in PLACES])


def see(x, y):
    """A camera above the floor that looks along y."""
    depth = 1 + y / 6
    return [0.5 + 0.2 * (x - 2) / depth, 0.4 + 0.5 / depth]


def test_three_of_four_on_a_line_tell_too_little_and_a_fifth_may_help():
    places = [[0, 0], [2, 3], [4, 6], [0, 6]]
    assert "no three" in find_fault([see(*place) for place in places], places)
    assert "no three" in find_fault(SEEN, places)
    assert "no three" in find_fault([see(*place) for place in places], PLACES)
    places.append([4, 1])
    assert find_fault([see(*place) for place in places], places) is None


@pytest.mark.parametrize("seed", range(20))
def test_what_a_camera_sees_is_right_in_any_order_and_a_swap_is_not(seed):
    rng = random.Random(seed)
    places = [*PLACES, [2, 3]]
    rng.shuffle(places)
    points = [see(*place) for place in places]
    assert find_fault(points, places) is None
    assert is_mirrored(points, places)
    for first, second in combinations(range(5), 2):
        swapped = list(places)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        across = {swapped[first][axis] - swapped[second][axis] for axis in (0, 1)} in (
            {4, 6},
            {-4, -6},
            {4, -6},
            {-4, 6},
        )
        if across:  # that is the same floor from below, for which it takes another camera
            assert not is_mirrored(points, swapped)
        else:
            assert find_fault(points, swapped) is not None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_measured_badly_is_no_fault(seed):
    rng = random.Random(seed)
    places = [[rng.uniform(0, 5), rng.uniform(0, 7)] for _ in range(8)]
    points = [see(*place) for place in places]
    wrong = [[x + rng.gauss(0, 0.2), y + rng.gauss(0, 0.2)] for x, y in places]
    assert find_fault(points, wrong) is None
    assert is_mirrored(points, wrong)


def test_places_in_any_coordinates():
    far = [[500_000 + 10 * x, 5_000_000 + 10 * y] for x, y in PLACES]
    assert find_fault(SEEN, far) is None
    assert find_fault(SEEN, [[x * 0, y * 0] for x, y in PLACES]) is not None
