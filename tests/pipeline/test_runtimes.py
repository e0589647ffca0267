"""Every runtime that is installed here answers as `Runtime` promises, and all give the same."""

import importlib.util
import threading
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.parity import cosines
from reid_pipeline.pipeline.runtime import Engine, to_network
from reid_pipeline.pipeline.runtime_engines import Graph, build_runtime
from reid_pipeline.pipeline.runtime_openvino import OpenVinoRuntime, native_engine, read_graph
from reid_pipeline.pipeline.runtime_requests import BatchingRuntime
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, load_model
from tests.pipeline.builders import mean_colour_encoder, real_data, write_card

SIZE = (16, 8)
PIXELS = np.random.default_rng(0).integers(0, 255, (6, 1, *SIZE, 3)).astype(np.uint8)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
RUNTIMES = [
    Engine("openvino", "f32"),
    native_engine(),
    Engine("onnxruntime", "f32"),
    pytest.param(Engine("torch", "f32"), marks=[pytest.mark.learning, needs_torch]),
]


@pytest.fixture
def graph(tmp_path, request):
    """The mean colour as ONNX; for torch as a program beside it too."""
    path = mean_colour_encoder(tmp_path / "colours.onnx", SIZE)
    model = load_model(write_card(path))
    graph = Graph(model, "hash", model.card.input, SIZE, read_graph(path).clone, trust=True)
    engine = request.node.callspec.params.get("engine") if hasattr(request.node, "callspec") else None
    if engine and engine.runtime == "torch":
        write_mean_colour(path.with_suffix(".pt2"))
        graph = with_program(graph)
    return graph


def with_program(graph):
    """As if the card listed a program."""
    return replace(graph, model=replace(graph.model, files=(*graph.model.files, ("colours.pt2", ""))))


def write_mean_colour(path):
    import torch

    from reid_pipeline.pipeline.runtime_torch import write_program

    class MeanColour(torch.nn.Module):
        def forward(self, images):
            return images.mean(dim=(2, 3))

    write_program(MeanColour(), path, SIZE)


@pytest.mark.parametrize("engine", RUNTIMES, ids=str)
class TestEveryRuntime:
    def test_it_says_what_it_is(self, graph, engine):
        runtime = build_runtime(graph, engine)
        assert runtime.engine == engine
        assert runtime.capacity >= 1

    def test_it_prepares_pixels_as_the_card_says(self, graph, engine):
        found = build_runtime(graph, engine).start(PIXELS[0]).result()
        expected = to_network(PIXELS[0], graph.card).mean(axis=(2, 3))
        assert (found.shape, found.dtype) == ((1, 3), np.float32)
        np.testing.assert_allclose(found, expected, rtol=2**-7 if engine.precision == "bf16" else 1e-5)

    def test_more_requests_than_it_takes_at_once_are_answered_in_their_order(self, graph, engine):
        runtime = build_runtime(graph, engine)
        values = [value % 200 for value in range(runtime.capacity * 5)]
        done = threading.Semaphore(0)
        answers = [runtime.start(np.full((1, *SIZE, 3), value, np.uint8), done.release) for value in values]
        found = [answer.result()[0, 0] * 255 for answer in answers]
        np.testing.assert_allclose(found, values, rtol=2**-7, atol=1e-3)
        assert all(done.acquire(timeout=30) for _ in values)
        assert all(answer.done() for answer in answers)

    def test_the_same_pixels_give_the_same_bytes(self, graph, engine):
        one, other = (build_runtime(graph, engine) for _ in range(2))
        alone = [one.start(pixels).result() for pixels in PIXELS]
        together = [other.start(pixels) for pixels in PIXELS]
        np.testing.assert_array_equal(alone, [answer.result() for answer in together])


# What a runtime cannot take


def test_onnx_runtime_does_not_resize_a_graph(graph):
    other = replace(graph, size=(32, 8))
    with pytest.raises(ModelError, match=r"input is \[1, 3, 16, 8\]: ONNX Runtime cannot set it to \[1, 3, 32, 8\]"):
        build_runtime(other, Engine("onnxruntime", "f32"))


def test_onnx_runtime_takes_a_graph_of_any_size(tmp_path):
    path = mean_colour_encoder(tmp_path / "colours.onnx", None)
    graph = Graph(load_model(write_card(path)), "hash", load_model(path).card.input, (32, 16), None)
    pixels = np.full((1, 32, 16, 3), 51, np.uint8)
    np.testing.assert_allclose(
        build_runtime(graph, Engine("onnxruntime", "f32")).start(pixels).result(), 0.2, rtol=1e-5
    )


def test_a_torch_program_needs_trust(graph):
    with pytest.raises(ModelError, match=r"colours\.pt2: a torch program can run any code: set trust: true"):
        build_runtime(replace(with_program(graph), trust=False), Engine("torch", "f32"))


def test_torch_needs_a_program_that_the_card_lists(graph):
    with pytest.raises(ModelError, match=r"torch needs a program: expected colours\.pt2 beside it and in its card"):
        build_runtime(graph, Engine("torch", "f32"))


@pytest.mark.parametrize(("runtime", "message"), [("onnxruntime", "ONNX Runtime"), ("tensorrt", "TensorRT")])
def test_ir_is_for_openvino_alone(graph, runtime, message):
    model = replace(graph.model, graph=graph.model.graph.with_suffix(".xml"))
    with pytest.raises(ModelError, match=rf"colours\.xml: {message} reads \.onnx files only"):
        build_runtime(replace(graph, model=model), Engine(runtime, "f32"))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_tensorrt_that_is_not_installed(graph):
    with pytest.raises(ModelError, match=r"TensorRT cannot be loaded .*: .*pip install 'reid-pipeline\[gpu\]'"):
        build_runtime(graph, Engine("tensorrt", "f16", "cuda"))


# Batches

CARD = InputCard(height=2, width=2, resize="stretch", colour="BGR")
CUDA = Engine("torch", "f32", "cuda")


class Gate:
    """A function that waits until it may go on, and remembers how many images it got at once."""

    def __init__(self):
        self.batches = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, images):
        self.batches.append(len(images))
        self.started.set()
        assert self.go.wait(30)
        if images.max() > 200:
            raise RuntimeError("too bright")
        return images.max(axis=(1, 2, 3))[:, None]


def image(value):
    return np.full((1, 2, 2, 3), value, np.uint8)


def test_what_waits_becomes_one_batch():
    gate = Gate()
    runtime = BatchingRuntime(CUDA, CARD, gate, max_batch=4)
    first = runtime.start(image(1))
    assert gate.started.wait(30)
    others = [runtime.start(image(value)) for value in range(2, 8)]
    assert not any(answer.done() for answer in [first, *others])
    gate.go.set()
    assert [answer.result().tolist() for answer in [first, *others]] == [[[float(value)]] for value in range(1, 8)]
    assert gate.batches == [1, 4, 2]


@pytest.mark.timeout(60)
def test_every_batch_gives_its_room_back():
    gate = Gate()
    runtime = BatchingRuntime(CUDA, CARD, gate, max_batch=4)
    for _ in range(4):
        gate.started.clear(), gate.go.clear()
        first = runtime.start(image(0))
        assert gate.started.wait(30)
        others = [runtime.start(image(value)) for value in range(1, runtime.capacity)]
        gate.go.set()
        assert [answer.result()[0, 0] for answer in [first, *others]] == list(range(runtime.capacity))
    assert gate.batches == [1, 4, 3] * 4


def test_a_graph_of_one_image_gives_its_output_whole():
    runtime = BatchingRuntime(CUDA, CARD, lambda images: np.zeros((1, 1, 200, 7), np.float32), max_batch=1)
    assert runtime.start(image(1)).result().shape == (1, 1, 200, 7)


def test_an_error_reaches_whoever_asked_and_later_requests_go_on():
    gate = Gate()
    gate.go.set()
    runtime = BatchingRuntime(CUDA, CARD, gate, max_batch=2)
    for _ in range(runtime.capacity + 1):  # room is given back
        with pytest.raises(RuntimeError, match="too bright"):
            runtime.start(image(255)).result()
    assert runtime.start(image(9)).result().tolist() == [[9.0]]


# Real crops


def real_crops(size, count=500):
    paths = sorted(real_data("reid", "market1501", "query").glob("*.jpg"))
    paths = [*paths, *sorted(real_data("reid", "market1501", "bounding_box_test").glob("*.jpg"))][:count]
    assert len(paths) == count
    return [cv2.resize(cv2.imread(str(path)), size[::-1])[None] for path in paths]


def embed(runtime, crops):
    return np.concatenate([answer.result().reshape(1, -1) for answer in [runtime.start(crop) for crop in crops]])


@pytest.mark.data
def test_openvino_and_onnx_runtime_agree_on_real_crops():
    model = load_model(real_data("weights", "osnet_x0_25_msmt17"))
    crops = real_crops((256, 128))
    network = read_graph(model.graph)
    network.reshape([1, 3, 256, 128])
    graph = Graph(model, "hash", model.card.input, (256, 128), network.clone)
    single, other = (embed(build_runtime(graph, Engine(name, "f32")), crops) for name in ("openvino", "onnxruntime"))
    assert cosines(single, other).min() >= 0.999
    native = cosines(embed(build_runtime(graph, native_engine()), crops), other)
    assert native.mean() >= 0.999
    assert native.min() >= 0.995


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.learning
@needs_torch
def test_all_runtimes_agree_with_torch_on_real_crops(tmp_path):
    import timm
    import torch

    from reid_pipeline.pipeline.runtime_torch import write_program

    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=0).eval()
    path = tmp_path / "network.onnx"
    with warnings.catch_warnings():  # the exporter that needs no further package says that it is the old one
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(network, (torch.zeros(1, 3, 128, 64),), str(path), dynamo=False, opset_version=17)
    write_program(network, path.with_suffix(".pt2"), (128, 64))
    card = InputCard(height=128, width=64, resize="stretch", colour="RGB", pixel_scale=1 / 255)
    model = replace(load_model(path), files=(("network.onnx", ""), ("network.pt2", "")))
    graph = Graph(model, "hash", card, (128, 64), read_graph(path).clone, trust=True)
    crops = real_crops((128, 64))
    with torch.inference_mode():
        expected = np.concatenate([network(torch.from_numpy(to_network(crop, card))).numpy() for crop in crops])
    for engine in (Engine("openvino", "f32"), Engine("onnxruntime", "f32"), Engine("torch", "f32")):
        assert cosines(embed(build_runtime(graph, engine), crops), expected).min() >= 0.999, engine


def test_a_graph_that_openvino_cannot_compile(graph):
    with pytest.raises(ModelError, match="OpenVINO cannot compile it"):
        OpenVinoRuntime(graph.read(), graph.card, Engine("openvino", "f99"))
