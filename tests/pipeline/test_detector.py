import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import helper

from reid_pipeline.pipeline.detector import GraphDetector, describe_detector, fill_input, place, suppress
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import (
    CELL_PX,
    brightness_detector,
    constant_output,
    determinants,
    mean_colour_encoder,
    save_onnx,
    write_card,
)

RESIZES = ["stretch", "letterbox", "letterbox_topleft"]
GREY = 114
LETTERBOX = {"height": 64, "width": 64, "resize": "letterbox", "colour": "RGB", "pixel_scale": 1 / 255}
ULTRALYTICS = {"task": "detect", "input": LETTERBOX, "output": {"head": "ultralytics"}}


def detect(detector, image):
    done = threading.Event()
    pending = detector.submit(detector.prepare(image), image.shape[:2], done.set)
    found = pending.result()
    assert done.wait(30)
    assert pending.done()
    return found


# Where a frame lies in the input


def test_place_by_hand():
    wide, target = (100, 200), (64, 64)
    assert place(wide, target, "stretch").scale == (0.32, 0.64)
    letterbox, corner = place(wide, target, "letterbox"), place(wide, target, "letterbox_topleft")
    assert (letterbox.scale, letterbox.offset) == ((0.32, 0.32), (0, 16))
    assert (corner.scale, corner.offset) == ((0.32, 0.32), (0, 0))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(100, 200), (200, 100), (37, 53), (64, 64)])
def test_boxes_come_back_to_where_they_were(resize, size):
    box = np.array([[3, 5, 20, 30]], np.float32)
    placement = place(size, (64, 96), resize)
    inside = box * np.tile(placement.scale, 2) + np.tile(placement.offset, 2)
    np.testing.assert_allclose(placement.to_frame(inside.astype(np.float32), size), box, rtol=1e-5)


@pytest.mark.parametrize("resize", RESIZES)
def test_boxes_are_cut_at_the_edges_of_the_frame(resize):
    everything = np.array([[-500, -500, 500, 500]], np.float32)
    np.testing.assert_array_equal(place((50, 80), (64, 64), resize).to_frame(everything, (50, 80)), [[0, 0, 80, 50]])


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(40, 80), (80, 40), (64, 64), (33, 47)])
def test_the_picture_lies_where_place_says(resize, size):
    white = np.full((*size, 3), 255, np.uint8)
    filled = fill_input(white, (64, 64), resize)
    assert filled.shape == (64, 64, 3)
    y, x = np.nonzero((filled == 255).all(axis=2))
    picture = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], np.float32)
    back = place(size, (64, 64), resize).to_frame(picture, size)
    np.testing.assert_allclose(back, [[0, 0, size[1], size[0]]], atol=1)  # whole pixels of the input
    assert ((filled == 255) | (filled == GREY)).all()


# Suppression


def test_of_boxes_that_overlap_the_surest_stays():
    boxes = np.array([[80, 90, 90, 100], [80, 91, 90, 101], [80, 95, 90, 105], [95, 90, 105, 100]], np.float32)
    kept, scores = suppress(boxes, np.array([0.6, 0.9, 0.5, 0.3], np.float32))
    np.testing.assert_array_equal(kept, boxes[[1, 2, 3]])
    np.testing.assert_array_equal(scores, np.array([0.9, 0.5, 0.3], np.float32))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_suppress(count):
    kept, scores = suppress(np.ones((count, 4), np.float32), np.ones(count, np.float32))
    assert (kept.shape, scores.shape) == ((count, 4), (count,))


# What a graph is


@pytest.mark.parametrize(
    ("shape", "head", "resize", "colour"),
    [
        ([1, 84, 84], "yolox", "letterbox_topleft", "BGR"),
        ([1, 5, 84], "ultralytics", "letterbox", "RGB"),
        ([1, 30, 6], "ultralytics_nms", "letterbox", "RGB"),
        ([1, 1, 20, 7], "ssd", "stretch", "BGR"),
    ],
)
def test_a_graph_without_a_card_tells_its_head_and_the_usual_input(tmp_path, shape, head, resize, colour):
    input_card, output = describe_detector(load_model(constant_output(tmp_path / "graph.onnx", shape)))
    assert (output.head, output.person_class) == (head, 0)
    assert (input_card.height, input_card.width) == (64, 64)
    assert (input_card.resize, input_card.colour) == (resize, colour)
    assert input_card.pixel_scale == pytest.approx(1 / 255 if colour == "RGB" else 1)


@pytest.mark.parametrize("shape", [[1, 256], [1, 3, 64, 64], [1, 100, 9]])
def test_a_graph_with_no_known_head_is_refused(tmp_path, shape):
    with pytest.raises(
        ModelError, match=r"graph\.onnx: output \[.*\]: no head fits: expected ultralytics, yolox or ssd"
    ):
        GraphDetector(load_model(constant_output(tmp_path / "graph.onnx", shape)), 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": {"head": "yolox"}}, r"ultralytics fits: the card says yolox"),
        ({"input": {**LETTERBOX, "height": 96}}, r"the card says input \[96, 64\] but the graph has \[64, 64\]"),
    ],
)
def test_a_card_that_contradicts_the_graph_is_refused(tmp_path, changes, message):
    folder = write_card(brightness_detector(tmp_path / "graph.onnx"), **(ULTRALYTICS | changes))
    with pytest.raises(ModelError, match=message) as caught:
        GraphDetector(load_model(folder), 0.1)
    assert "graph.onnx" in str(caught.value)


@pytest.mark.parametrize("shape", [[1, 10], [1, 1, 64, 64], [1, 64, 64, 3]])
def test_a_graph_that_takes_no_picture_is_refused(tmp_path, shape):
    nodes = [helper.make_node("Identity", ["image"], ["found"])]
    path = save_onnx(tmp_path / "graph.onnx", nodes, {}, shape, shape)
    with pytest.raises(ModelError, match=r"graph\.onnx: inputs \[.*\]: expected one of \(1, 3, H, W\)"):
        GraphDetector(load_model(path), 0.1)


def test_an_encoder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the card says task 'reid': expected a detector"):
        GraphDetector(load_model(write_card(mean_colour_encoder(tmp_path / "graph.onnx"))), 0.1)


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "graph.onnx").write_text("hello\n")
    with pytest.raises(ModelError, match=r"graph\.onnx: not a readable model graph"):
        GraphDetector(load_model(tmp_path / "graph.onnx"), 0.1)


def test_a_graph_that_openvino_cannot_read_needs_a_card(tmp_path):
    path = determinants(tmp_path / "graph.onnx")
    with pytest.raises(ModelError, match=r"OpenVINO cannot read it: a card \(model\.json\) must say what it is"):
        GraphDetector(load_model(path), 0.1)
    assert describe_detector(load_model(write_card(path, **ULTRALYTICS)))[1].head == "ultralytics"


# From frame to persons


@pytest.fixture(params=["openvino", "onnxruntime"])
def detector(request, tmp_path):
    path = brightness_detector(tmp_path / "graph.onnx", odd=request.param == "onnxruntime")
    return GraphDetector(load_model(write_card(path, **ULTRALYTICS)), 0.3)


def picture(size, *cells):
    """Black, with cells (row, column, brightness) of the detector's grid."""
    image = np.zeros((*size, 3), np.uint8)
    for row, column, brightness in cells:
        image[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX] = brightness
    return image


def test_persons_come_best_first(detector):
    found = detect(detector, picture((64, 64), (1, 2, 128), (5, 7, 255), (4, 0, 50)))
    np.testing.assert_allclose(found.boxes, [[56, 40, 64, 48], [16, 8, 24, 16]], atol=0.1)
    np.testing.assert_allclose(found.scores, [1, 128 / 255], atol=0.01)


def test_boxes_are_in_pixels_of_the_frame(detector):
    half = picture((32, 64), (1, 2, 255))
    large = half.repeat(4, axis=0).repeat(4, axis=1)
    found = detect(detector, large)  # in the middle of a square, so 16 pixels lower
    np.testing.assert_allclose(found.boxes, [[64, 32, 96, 64]], atol=0.5)


def test_a_person_who_is_found_twice_counts_once(tmp_path):
    detector = GraphDetector(load_model(brightness_detector(tmp_path / "graph.onnx", box_px=48)), 0.3)
    found = detect(detector, picture((64, 64), (4, 3, 200), (4, 4, 255)))
    np.testing.assert_allclose(found.boxes, [[12, 12, 60, 60]], atol=0.1)


def test_nobody(detector):
    assert len(detect(detector, picture((64, 64)))) == 0


def test_min_score(tmp_path):
    path = brightness_detector(tmp_path / "graph.onnx")
    found = [
        len(detect(GraphDetector(load_model(path), score), picture((64, 64), (1, 2, 128), (5, 7, 255))))
        for score in (0.4, 0.6)
    ]
    assert found == [2, 1]


def test_frames_of_many_shapes_from_many_threads(detector):
    sizes = [(64, 64), (64, 128), (48, 64), (64, 40)] * 5

    def brightest(number):
        size = sizes[number]
        image = np.zeros((*size, 3), np.uint8)
        image[: size[0] // 2] = 255
        return detect(detector, image).boxes[:, 3].max() <= size[0] / 2 + CELL_PX * max(size) / 64

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(brightest, range(len(sizes))))
    assert detector.capacity > 1


def test_a_card_and_the_graph_alone_give_the_same_hash(tmp_path):
    path = brightness_detector(tmp_path / "graph.onnx")
    alone = GraphDetector(load_model(path), 0.1).model_hash
    assert GraphDetector(load_model(write_card(path, **ULTRALYTICS)), 0.1).model_hash == alone
    other = ULTRALYTICS | {"input": {**LETTERBOX, "colour": "BGR"}}
    assert GraphDetector(load_model(write_card(path, **other)), 0.1).model_hash != alone
