import threading

import numpy as np
import pytest
from onnx import helper

from reid_pipeline.pipeline.runtime import to_network
from reid_pipeline.pipeline.runtime_onnx import OnnxRuntime
from reid_pipeline.pipeline.runtime_openvino import OpenVinoRuntime, read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard
from tests.pipeline.builders import determinants, mean_colour_encoder, pass_through, save_onnx

SIZE = (4, 6)
PIXELS = np.random.default_rng(0).integers(0, 255, (1, *SIZE, 3)).astype(np.uint8)
BFLOAT16 = {"rtol": 2**-7, "atol": 2**-7}  # where the processor has it, OpenVINO computes in it
PREPROCESSING = [
    {"colour": "BGR"},
    {"colour": "RGB"},
    {"colour": "RGB", "pixel_scale": 1 / 255},
    {"colour": "BGR", "pixel_scale": 1 / 255, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)},
    {"colour": "RGB", "pixel_scale": 1 / 255, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)},
    {"colour": "RGB", "mean": (10, 20, 30), "std": (1, 2, 4)},
]


def card(**changes):
    return InputCard(**{"height": SIZE[0], "width": SIZE[1], "resize": "stretch", "colour": "BGR", **changes})


def build(kind, path, input_card):
    return OpenVinoRuntime(read_graph(path), input_card) if kind == "openvino" else OnnxRuntime(path, input_card)


def test_to_network_by_hand():
    pixels = np.array([[[[10, 20, 40]]]], np.uint8)  # one pixel, blue first
    network = to_network(pixels, card(colour="RGB", pixel_scale=0.5, mean=(1, 2, 3), std=(1, 2, 4)))
    assert network.dtype == np.float32
    np.testing.assert_array_equal(
        network, np.array([40 / 2 - 1, (20 / 2 - 2) / 2, (10 / 2 - 3) / 4]).reshape(1, 3, 1, 1)
    )


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("preprocessing", PREPROCESSING)
def test_pixels_are_prepared_as_the_card_says(tmp_path, kind, preprocessing):
    runtime = build(kind, pass_through(tmp_path / "graph.onnx", SIZE), card(**preprocessing))
    found = runtime.start(PIXELS).result()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, to_network(PIXELS, card(**preprocessing)), **BFLOAT16)


def test_both_runtimes_give_the_same(tmp_path):
    path = mean_colour_encoder(tmp_path / "graph.onnx", SIZE)
    answers = [build(kind, path, card(colour="RGB")).start(PIXELS).result() for kind in ("openvino", "onnxruntime")]
    np.testing.assert_allclose(*answers, **BFLOAT16)
    np.testing.assert_allclose(answers[1][0], PIXELS.mean(axis=(0, 1, 2))[::-1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_more_requests_than_capacity_are_each_answered(tmp_path, kind):
    runtime = build(kind, mean_colour_encoder(tmp_path / "graph.onnx", SIZE), card())
    values = range(runtime.capacity * 5)
    done = threading.Semaphore(0)
    answers = [runtime.start(np.full((1, *SIZE, 3), value, np.uint8), done.release) for value in values]
    assert [answer.result()[0, 0] for answer in answers] == list(values)
    assert all(done.acquire(timeout=30) for _ in values)
    assert all(answer.done() for answer in answers)


def test_an_operator_that_openvino_lacks_runs_on_onnx_runtime(tmp_path):
    path = determinants(tmp_path / "graph.onnx", side=2)
    assert read_graph(path) is None
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, :, :, 0] = [[5, 2], [3, 4]]
    np.testing.assert_allclose(OnnxRuntime(path, card(), (2, 2)).start(pixels).result(), [[14, 0, 0]])


def test_an_operator_that_nobody_has(tmp_path):
    path = save_onnx(tmp_path / "graph.onnx", [helper.make_node("Nonsense", ["image"], ["found"])], {}, [1], [1])
    with pytest.raises(ModelError, match=r"graph\.onnx: not a readable ONNX graph") as caught:
        OnnxRuntime(path, card())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["graph.onnx", "graph.xml"])
@pytest.mark.parametrize("content", ["hello\n", ""])
def test_a_text_file_is_no_graph(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ModelError, match=f"{name}: not a readable model graph") as caught:
        read_graph(path)
    assert "\n" not in str(caught.value)
