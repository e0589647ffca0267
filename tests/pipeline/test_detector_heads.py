import math

import numpy as np
import pytest

from reid_pipeline.pipeline.detector_heads import cell_count, read_head, recognise_head

SIZE = (64, 96)  # 8 x 12 + 4 x 6 + 2 x 3 = 126 cells
CELLS = 126
CLASSES = 3


@pytest.mark.parametrize(
    ("shape", "head"),
    [
        ((1, 84, 8400), "ultralytics"),
        ((1, 5, 8400), "ultralytics"),
        ((None, 84, None), "ultralytics"),
        ((1, 300, 6), "ultralytics_nms"),
        ((1, None, 6), "ultralytics_nms"),
        ((1, 8400, 85), "yolox"),
        ((1, 8400, 6), "yolox"),
        ((1, 1, 200, 7), "ssd"),
        ((1, 1, None, 7), "ssd"),
        ((1, 256), None),
        ((1, 3, 640, 640), None),
        ((1, 8000, 85), None),
        ((1, 4, 8400), None),
        ((1, 8400, 5), None),
        ((), None),
    ],
)
def test_recognise_head(shape, head):
    assert recognise_head(shape, (640, 640)) == head


def test_cell_count():
    assert cell_count(SIZE) == CELLS
    assert cell_count((640, 640)) == 8400


def same(found, expected):
    """Compares (boxes, scores) with the slow loop's rows (x1, y1, x2, y2, score), in any order."""
    boxes, scores = found
    assert (boxes.dtype, scores.dtype) == (np.float32, np.float32)
    assert len(expected) > 0
    rows = np.concatenate([boxes, scores[:, None]], axis=1)
    np.testing.assert_allclose(
        rows[np.lexsort(rows.T)], np.array(expected)[np.lexsort(np.array(expected).T)], rtol=1e-5
    )


def around(x, y, width, height):
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


@pytest.mark.parametrize("person", range(CLASSES))
def test_ultralytics_against_a_slow_loop(person):
    random = np.random.default_rng(person)
    raw = np.concatenate([random.uniform(0, 96, (4, CELLS)), random.random((CLASSES, CELLS))]).astype(np.float32)
    expected = []
    for cell in range(CELLS):
        classes = raw[4:, cell]
        if classes[person] >= 0.4 and classes[person] == max(classes):
            expected.append([*around(*raw[:4, cell]), classes[person]])
    same(read_head("ultralytics", SIZE, person, 0.4)(raw[None]), expected)


@pytest.mark.parametrize("person", range(CLASSES))
def test_suppressed_against_a_slow_loop(person):
    random = np.random.default_rng(person)
    rows = [[*random.uniform(0, 96, 4), random.random(), random.integers(CLASSES)] for _ in range(40)]
    raw = np.array(rows, np.float32)
    expected = [row[:5] for row in raw.tolist() if row[5] == person and row[4] >= 0.4]
    same(read_head("ultralytics_nms", SIZE, person, 0.4)(raw[None]), expected)


@pytest.mark.parametrize("person", range(CLASSES))
def test_yolox_against_a_slow_loop(person):
    random = np.random.default_rng(person)
    raw = np.concatenate([random.normal(0, 1, (CELLS, 4)), random.random((CELLS, 1 + CLASSES))], axis=1)
    raw = raw.astype(np.float32)
    places = [
        (column, row, stride)
        for stride in (8, 16, 32)
        for row in range(SIZE[0] // stride)
        for column in range(SIZE[1] // stride)
    ]
    expected = []
    for (column, row, stride), (x, y, width, height, objectness, *classes) in zip(places, raw.tolist(), strict=True):
        score = objectness * classes[person]
        if score >= 0.3 and classes[person] == max(classes):
            box = around((column + x) * stride, (row + y) * stride, math.exp(width) * stride, math.exp(height) * stride)
            expected.append([*box, score])
    same(read_head("yolox", SIZE, person, 0.3)(raw[None]), expected)


@pytest.mark.parametrize("person", range(CLASSES))
def test_ssd_against_a_slow_loop(person):
    random = np.random.default_rng(person)
    rows = [[0, random.integers(CLASSES), random.random(), *random.random(4)] for _ in range(40)]
    raw = np.array([*rows, [-1, person, 1, 0, 0, 1, 1], [0, person, 1, 0, 0, 1, 1]], np.float32)
    expected = []
    for image, label, score, x1, y1, x2, y2 in raw.tolist():
        if image < 0:
            break
        if label == person and score >= 0.4:
            expected.append([x1 * 96, y1 * 64, x2 * 96, y2 * 64, score])
    same(read_head("ssd", SIZE, person, 0.4)(raw[None, None]), expected)


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        ("ultralytics", (1, 7, CELLS)),
        ("ultralytics_nms", (1, 30, 6)),
        ("yolox", (1, CELLS, 8)),
        ("ssd", (1, 1, 20, 7)),
    ],
)
def test_nobody(head, shape):
    boxes, scores = read_head(head, SIZE, 0, 0.4)(np.zeros(shape, np.float32))
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))
