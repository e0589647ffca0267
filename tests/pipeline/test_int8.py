import importlib.util

import numpy as np
import pytest
from onnx import helper

from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.int8 import MIN_IMAGES, head_names, quantise
from reid_pipeline.pipeline.parity import shipped_crops
from reid_pipeline.pipeline.runtime_openvino import read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import save_onnx, write_card

RNG = np.random.default_rng(0)
needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed")


def encoder(folder, spread=1.0):
    """Two layers over patches; with a large spread one channel drowns the others in 8 bits."""
    scale = np.geomspace(1, spread, 8).astype(np.float32)
    first = RNG.normal(size=(8, 3, 4, 4)).astype(np.float32) * scale[:, None, None, None]
    second = RNG.normal(size=(8, 8, 2, 2)).astype(np.float32) / scale[None, :, None, None]
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["one"], strides=[4, 4]),
        helper.make_node("Relu", ["one"], ["positive"]),
        helper.make_node("Conv", ["positive", "second"], ["two"], strides=[2, 2]),
        helper.make_node("Relu", ["two"], ["again"]),
        helper.make_node("Conv", ["again", "third"], ["three"]),
        helper.make_node("GlobalAveragePool", ["three"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["found"]),
    ]
    third = RNG.normal(size=(6, 8, 1, 1)).astype(np.float32)
    constants = {"first": first, "second": second, "third": third}
    path = save_onnx(folder / "small.onnx", nodes, constants, [1, 3, 32, 16], [1, 6])
    size = {"height": 32, "width": 16, "resize": "stretch", "colour": "RGB", "pixel_scale": 1 / 255}
    return load_model(write_card(path, input=size, output={"head": "embedding", "dim": 6}))


def test_the_head_is_what_follows_the_last_layer(tmp_path):
    graph = read_graph(encoder(tmp_path).graph)
    kinds = {each.get_friendly_name(): each.get_type_name() for each in graph.get_ops()}
    found = [kinds[name] for name in head_names(graph)]
    assert found.count("Convolution") == 1
    assert "Relu" not in found


@pytest.mark.learning
@needs_nncf
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestQuantise:
    def test_the_int8_model_is_a_model_of_its_own(self, tmp_path):
        model = encoder(tmp_path / "original")
        made, judgement = quantise(model, shipped_crops(), tmp_path / "int8")
        assert judgement.accepted
        assert made.card.parent == model.identity != made.identity
        assert made.card.name == "small-int8"
        assert made.card.scores[0]["same order"] == pytest.approx(judgement.figures["same order"])
        kinds = {each.get_type_name() for each in read_graph(made.graph).get_ops()}
        assert "FakeQuantize" in kinds
        assert GraphEncoder(made).encode(shipped_crops()[:2]).shape == (2, 6)

    def test_one_that_is_worse_is_refused_with_figures_and_leaves_nothing(self, tmp_path):
        model = encoder(tmp_path / "original", spread=1e5)
        with pytest.raises(ModelError, match=r"small: INT8 is refused, it is too much worse: same order 0\.\d+"):
            quantise(model, shipped_crops(), tmp_path / "int8")
        assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_too_few_images(tmp_path):
    with pytest.raises(ModelError, match=f"3 images to calibrate INT8: expected at least {MIN_IMAGES}"):
        quantise(encoder(tmp_path), shipped_crops()[:3], tmp_path / "int8")


def test_a_folder_that_is_there_is_not_written_over(tmp_path):
    with pytest.raises(ModelError, match="exists: expected a folder that is not there yet"):
        quantise(encoder(tmp_path / "original"), shipped_crops(), tmp_path)
