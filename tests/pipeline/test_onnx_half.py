import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from reid_pipeline.pipeline.onnx_half import halve
from reid_pipeline.pipeline.parity import cosines, shipped_crops
from reid_pipeline.pipeline.runtime import to_network
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import mean_colour_encoder, real_data, save_onnx

IMAGES = np.random.default_rng(0).normal(size=(1, 3, 16, 8)).astype(np.float32)


def run(content, images):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def test_the_edges_stay_single_and_the_inside_is_half(tmp_path):
    content = mean_colour_encoder(tmp_path / "graph.onnx").read_bytes()
    half = halve(content)
    graph = onnx.load_from_string(half).graph
    assert {tensor.data_type for tensor in graph.initializer} == {TensorProto.FLOAT16}
    assert {entry.type.tensor_type.elem_type for entry in [*graph.input, *graph.output]} == {TensorProto.FLOAT}
    found, expected = run(half, IMAGES), run(content, IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_constants_casts_and_resizing(tmp_path):
    """A graph with everything that is rewritten: constants of all forms, casts, and scales that must stay single."""
    nodes = [
        helper.make_node(
            "Constant", [], ["scales"], value=helper.make_tensor("", TensorProto.FLOAT, [4], [1, 1, 2, 1])
        ),
        helper.make_node("Resize", ["image", "", "scales"], ["taller"], mode="nearest"),
        helper.make_node("Resize", ["taller", "", "wider"], ["large"], mode="nearest"),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Mul", ["large", "half"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Cast", ["whole"], ["back"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["shape"], value_ints=[1]),
        helper.make_node("ConstantOfShape", ["shape"], ["zero"]),
        helper.make_node("Add", ["back", "zero"], ["sum"]),
        helper.make_node("Add", ["sum", "huge"], ["found"]),
    ]
    path = save_onnx(
        tmp_path / "graph.onnx",
        nodes,
        {"huge": np.array([1e6], np.float32), "wider": np.array([1, 1, 1, 2], np.float32)},
        [1, 3, 16, 8],
        [1, 3, 32, 16],
    )
    found = run(halve(path.read_bytes()), IMAGES * 10)
    assert found.shape == (1, 3, 32, 16)
    assert np.isclose(found, 65504, rtol=1e-3).all()  # the end of the range


def test_a_graph_with_branches_is_refused(tmp_path):
    path = save_onnx(tmp_path / "g.onnx", [helper.make_node("If", ["image"], ["found"])], {}, [1], [1])
    with pytest.raises(ModelError, match="the graph has If: it cannot be rewritten to half precision"):
        halve(path.read_bytes())


@pytest.mark.data
def test_a_real_encoder_in_half_precision_passes_the_gate():
    model = load_model(real_data("weights", "osnet_x0_25_msmt17"))
    images = [to_network(cv2.resize(crop, (128, 256))[None], model.card.input) for crop in shipped_crops()[:8]]
    contents = (model.graph.read_bytes(), halve(model.graph.read_bytes()))
    one, other = (np.concatenate([run(content, image) for image in images]) for content in contents)
    assert cosines(one, other).min() > 0.999
