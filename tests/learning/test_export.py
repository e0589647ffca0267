import json

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import onnxruntime  # noqa: E402  # only where torch is
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from reid_pipeline.learning import export  # noqa: E402
from reid_pipeline.learning.export import Provenance, export_encoder, trace, with_halved_weights  # noqa: E402
from reid_pipeline.learning.pixels import input_card  # noqa: E402
from reid_pipeline.pipeline.encoder import GraphEncoder  # noqa: E402
from reid_pipeline.storage.model_card import load_model  # noqa: E402

pytestmark = pytest.mark.learning

SIZE, DIM = (32, 16), 64
CARD = input_card(*SIZE)
FROM = Provenance("MIT", ["crops of here", "crops of there"], "f" * 64, [{"dataset": "here", "mAP": 12.5}])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 4, stride=4), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 8 * 4, DIM)
    )
    for _ in range(5):  # statistics to normalise by
        network(torch.randn(8, 3, *SIZE))
    network.train()
    network[1].eval()  # parts may be in another mode
    return network


@pytest.fixture(scope="module")
def graph(network):
    return trace(network, SIZE)


@pytest.fixture
def traced(graph, monkeypatch):
    """Spares the tests of the folder the exporter, which takes seconds."""
    monkeypatch.setattr(export, "trace", lambda *_, **__: graph)


def answers(graph, images):
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def test_the_modes_of_the_network_are_kept(network, graph):
    assert [each.training for each in network] == [True, False, True, True, True]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_graph_gives_what_torch_gives_for_any_batch(network, graph, count):
    images = np.random.default_rng(count).normal(0, 1, (count, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answers(graph, images), expected, atol=1e-4)
    halved = answers(with_halved_weights(graph), images)
    cosine = (halved * expected).sum(1) / np.linalg.norm(halved, axis=1) / np.linalg.norm(expected, axis=1)
    assert halved.shape == (count, DIM)
    assert cosine.min() >= 0.9999
    assert not np.array_equal(halved, expected)


def test_halved_weights_take_half_the_space(graph):
    assert with_halved_weights(graph).ByteSize() < 0.55 * graph.ByteSize()
    assert graph.graph.initializer[0].data_type == TensorProto.FLOAT  # the original stays as it is


def weighted(values):
    """A graph that adds weights to an image."""
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Add", ["image", "weights"], ["output"])],
            "adds",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, len(values)])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, len(values)])],
            [numpy_helper.from_array(values, "weights")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )


@pytest.mark.parametrize(("count", "largest", "halved"), [(256, 1e4, True), (255, 1e4, False), (256, 1e5, False)])
def test_small_tensors_and_large_values_stay_in_single_precision(count, largest, halved):
    values = np.linspace(-largest, 1 / 3, count).astype(np.float32)
    made = with_halved_weights(weighted(values))
    onnx.checker.check_model(made)
    assert {each.data_type for each in made.graph.initializer} == {TensorProto.FLOAT16 if halved else TensorProto.FLOAT}
    result = answers(made, np.zeros((1, count), np.float32))[0]
    expected = values.astype(np.float16).astype(np.float32) if halved else values
    np.testing.assert_array_equal(result, expected)


def test_the_folder_is_a_model_with_a_card(network, traced, tmp_path):
    model = export_encoder(network, CARD, DIM, tmp_path / "models" / "small", "small", FROM)
    assert model == load_model(tmp_path / "models" / "small")
    card = model.card
    assert (card.name, card.task, card.licence, card.parent) == ("small", "reid", "MIT", "f" * 64)
    assert (card.trained_on, card.scores) == (("crops of here", "crops of there"), ({"dataset": "here", "mAP": 12.5},))
    assert (card.input, card.output.head, card.output.dim) == (CARD, "embedding", DIM)
    assert sorted(file.name for file in (tmp_path / "models" / "small").iterdir()) == ["graph.onnx", "model.json"]
    crop = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    pixels = (crop.astype(np.float32).transpose(2, 0, 1)[None] - CARD.mean[0]) / CARD.std[0]
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(pixels)).numpy()[0]
    [embedding] = GraphEncoder(model).encode([crop])
    assert embedding @ expected / np.linalg.norm(expected) > 0.999  # it may compute in bfloat16


def test_another_export_takes_the_place_of_the_first(network, traced, tmp_path):
    folder = tmp_path / "small"
    export_encoder(network, CARD, DIM, folder, "first", FROM)
    (folder / "left over").touch()
    second = export_encoder(network, CARD, DIM, folder, "second", FROM)
    assert second.card.name == "second"
    assert sorted(file.name for file in folder.iterdir()) == ["graph.onnx", "model.json"]
    assert [file.name for file in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize("step", [(onnx, "save"), (export, "write_card")], ids=["graph", "card"])
def test_an_export_that_fails_leaves_the_old_model(network, traced, tmp_path, monkeypatch, step):
    folder = tmp_path / "small"
    first = export_encoder(network, CARD, DIM, folder, "first", FROM)

    def fail(what, path):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(*step, fail)
        with pytest.raises(OSError, match="disk full"):
            export_encoder(network, CARD, DIM, folder, "second", FROM)
    assert load_model(folder) == first
    assert json.loads((folder / "model.json").read_text())["name"] == "first"
    assert export_encoder(network, CARD, DIM, folder, "second", FROM).card.name == "second"
