import av
import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from reid_pipeline.pipeline.detector import GraphDetector, fill_input, place, suppress
from reid_pipeline.pipeline.detector_heads import read_head
from reid_pipeline.pipeline.matching import iou
from reid_pipeline.pipeline.rectangular import fit_input, reshape_yolo
from reid_pipeline.pipeline.runtime_openvino import OpenVinoRuntime, read_graph
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import real_data

STRIDES = (8, 16, 32)
SQUARE, WIDE = (96, 96), (64, 96)
ROWS = 5  # centre x, centre y, width, height, score


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1080, 1920), (384, 640)),  # 360 rows, rounded up
        ((480, 640), (480, 640)),
        ((576, 768), (480, 640)),
        ((1920, 1080), (640, 384)),
        ((500, 500), (640, 640)),
        ((10, 2000), (32, 640)),
        ((481, 640), (512, 640)),
    ],
)
def test_fit_input_by_hand(size, expected):
    assert fit_input(size, (640, 640)) == expected


def test_fit_input_never_exceeds_a_limit_of_broken_strides():
    assert fit_input((600, 600), (600, 600)) == (600, 600)


def grid_of(size):
    """Cell centres in cells ``(2, N)`` and strides ``(1, N)``, cell by cell."""
    cells = [
        (column + 0.5, row + 0.5, stride)
        for stride in STRIDES
        for row in range(size[0] // stride)
        for column in range(size[1] // stride)
    ]
    return np.array(cells, np.float32).T[:2], np.array(cells, np.float32).T[2:]


def yolo_like(size, shift=0.0):
    """The end of an Ultralytics graph: three grids, reshapes that count cells, constants for centres and strides."""
    random = np.random.default_rng(0)
    coarse = [side // 32 for side in size]
    image = ops.parameter([1, 3, *size], name="image")
    grids = []
    for stride in STRIDES:
        pooled = ops.avg_pool(image, [stride] * 2, [0, 0], [0, 0], [stride] * 2, exclude_pad=False)
        weights = random.normal(0, 1, (ROWS, 3, 1, 1)).astype(np.float32)
        cells = ops.convolution(pooled, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
        if stride == 32:  # there and back, as around attention
            flat = ops.reshape(cells, ops.constant([1, ROWS, coarse[0] * coarse[1]]), special_zero=False)
            cells = ops.reshape(ops.tanh(flat), ops.constant([1, ROWS, *coarse]), special_zero=False)
        grids.append(ops.reshape(cells, ops.constant([1, ROWS, -1]), special_zero=False))
    centres, strides = grid_of(size)
    count = strides.shape[1]
    together = ops.reshape(ops.concat(grids, 2), ops.constant([1, ROWS, 1, count]), special_zero=False)
    together = ops.reshape(together, ops.constant([1, ROWS, count]), special_zero=False)
    distances, sides, score = ops.variadic_split(together, ops.constant(1), ops.constant([2, 2, 1])).outputs()
    moved = ops.multiply(ops.add(distances, ops.constant(centres[None] + np.float32(shift))), ops.constant(strides))
    grown = ops.multiply(ops.exp(sides), ops.constant(strides))
    found = ops.concat([moved, grown, ops.sigmoid(score)], 1)
    return ov.Model([ops.result(found)], [image], "yolo")


def run(model, pixels):
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels)[0]


def test_the_rectangular_graph_gives_what_the_square_one_gives_for_the_same_cells():
    pixels = np.random.default_rng(1).random((1, 3, *SQUARE)).astype(np.float32)
    whole = run(yolo_like(SQUARE), pixels)
    model = yolo_like(SQUARE)
    assert reshape_yolo(model, *WIDE)
    part = run(model, pixels[:, :, : WIDE[0]])
    centres, strides = grid_of(SQUARE)
    covered = centres[1] * strides[0] < WIDE[0]
    assert part.shape == (1, ROWS, 8 * 12 + 4 * 6 + 2 * 3)
    np.testing.assert_allclose(part, whole[:, :, covered], rtol=1e-5, atol=1e-5)


def test_a_larger_input():
    model = yolo_like(WIDE)
    assert reshape_yolo(model, *SQUARE)
    pixels = np.random.default_rng(1).random((1, 3, *SQUARE)).astype(np.float32)
    np.testing.assert_allclose(run(model, pixels), run(yolo_like(SQUARE), pixels), rtol=1e-5, atol=1e-5)


def test_the_same_size_changes_nothing():
    model = yolo_like(SQUARE)
    assert reshape_yolo(model, *SQUARE)
    assert list(model.inputs[0].shape) == [1, 3, *SQUARE]


def test_a_grid_that_is_not_known_is_refused():
    assert not reshape_yolo(yolo_like(SQUARE, shift=0.25), *WIDE)


def test_a_graph_of_another_kind_is_refused():
    image = ops.parameter([1, 3, *SQUARE], name="image")
    flat = ops.reshape(image, ops.constant([1, 3 * 96 * 96]), special_zero=False)
    assert not reshape_yolo(ov.Model([ops.result(flat)], [image], "other"), *WIDE)


def test_a_graph_of_any_size_is_simply_set():
    image = ops.parameter([1, 3, -1, -1], name="image")
    model = ov.Model([ops.result(ops.relu(image))], [image], "any")
    assert reshape_yolo(model, *WIDE)
    assert list(model.outputs[0].shape) == [1, 3, *WIDE]


@pytest.mark.data
@pytest.mark.parametrize("name", ["yolo11n_int8_openvino_model", "yolov8n_int8_openvino_model"])
def test_real_graphs_find_the_same_persons_as_the_square_ones(name):
    model = load_model(real_data("weights", name))
    image = read_frame(real_data("video", "pets09_s2l1", "View_001.mp4"), 60)
    detector = GraphDetector(model, 0.1)
    found = detector.submit(detector.prepare(image), image.shape[:2], lambda: None).result()
    boxes, scores = detect_square(model, image)
    assert detector.prepare(image).shape == (480, 640, 3)
    for one, other in [((found.boxes, found.scores), (boxes, scores)), ((boxes, scores), (found.boxes, found.scores))]:
        sure = one[1] > 0.5
        overlap = iou(one[0][sure], other[0])
        partner = overlap.argmax(axis=1)
        assert sure.sum() >= 3
        assert overlap.max(axis=1).min() > 0.8
        np.testing.assert_allclose(one[1][sure], other[1][partner], atol=0.15)


def read_frame(path, number):
    with av.open(str(path)) as container:
        for _, frame in zip(range(number), container.decode(video=0), strict=False):
            image = frame.to_ndarray(format="bgr24")
    return image


def detect_square(model, image):
    """As the graph was exported: the frame in the middle of a grey square."""
    size, target = image.shape[:2], (640, 640)
    runtime = OpenVinoRuntime(read_graph(model.graph), model.card.input)
    raw = runtime.start(fill_input(image, target, "letterbox")[None]).result()
    boxes, scores = suppress(*read_head("ultralytics", target, 0, 0.1)(raw))
    return place(size, target, "letterbox").to_frame(boxes, size), scores
