import cv2
import numpy as np
import openvino as ov
import pytest

from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from tests.pipeline.builders import determinants, mean_colour_encoder, real_data, write_card

DETECTOR = {"task": "detect", "output": {"head": "ultralytics"}}


@pytest.fixture
def graph(tmp_path):
    return mean_colour_encoder(tmp_path / "encoder" / "colours.onnx")


def plain(colour):
    return np.full((30, 20, 3), colour, np.uint8)


def test_embeddings_have_norm_one_and_keep_their_order(graph):
    encoder = GraphEncoder(load_model(write_card(graph)))
    embeddings = encoder.encode([plain((0, 0, 200)), plain((100, 0, 0)), plain((0, 30, 40))])
    assert (encoder.dim, embeddings.dtype) == (3, np.float32)
    np.testing.assert_allclose(embeddings, [[1, 0, 0], [0, 0, 1], [0.8, 0.6, 0]], atol=0.01)  # red comes first
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_more_crops_than_the_runtime_takes_at_once(graph):
    encoder = GraphEncoder(load_model(write_card(graph)))
    random = np.random.default_rng(0)
    crops = [plain(random.integers(1, 255, 3)) for _ in range(60)]
    one_by_one = np.concatenate([encoder.encode([crop]) for crop in crops])
    np.testing.assert_array_equal(encoder.encode(crops), one_by_one)


def test_no_crops(graph):
    assert GraphEncoder(load_model(write_card(graph))).encode([]).shape == (0, 3)


def test_a_graph_of_any_size_takes_that_of_its_card(tmp_path):
    folder = write_card(mean_colour_encoder(tmp_path / "colours.onnx", size=None))
    np.testing.assert_allclose(GraphEncoder(load_model(folder)).encode([plain((0, 90, 0))]), [[0, 1, 0]], atol=0.01)


def test_a_graph_that_only_onnx_runtime_reads(tmp_path):
    size = {"height": 4, "width": 4, "resize": "stretch", "colour": "BGR"}
    folder = write_card(determinants(tmp_path / "odd.onnx"), input=size)
    crop = np.zeros((4, 4, 3), np.uint8)
    crop[..., 0], crop[..., 1] = np.eye(4) * 3, np.eye(4)
    expected = np.array([[81, 1, 0]]) / np.hypot(81, 1)
    np.testing.assert_allclose(GraphEncoder(load_model(folder)).encode([crop]), expected, rtol=1e-5)


def test_the_hash_is_that_of_the_model(graph):
    model = load_model(write_card(graph))
    assert GraphEncoder(model).model_hash == model.hash(model.card.input, model.card.output)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": {"head": "embedding", "dim": 5}}, "embeddings of length 3: the card says 5"),
        (DETECTOR, "the card says task 'detect': expected a re-ID encoder"),
        (
            {"input": {"height": 32, "width": 8, "resize": "stretch", "colour": "RGB"}},
            r"inputs \['\[1,3,16,8\]'\]: the card says \(1, 3, 32, 8\)",
        ),
    ],
)
def test_a_card_that_contradicts_the_graph(graph, changes, message):
    with pytest.raises(ModelError, match=f"colours.onnx: {message}"):
        GraphEncoder(load_model(write_card(graph, **changes)))


def test_a_graph_without_a_card(graph):
    with pytest.raises(ModelError, match=r"an encoder needs a card: expected model\.json beside it"):
        GraphEncoder(load_model(graph))


@pytest.mark.data
@pytest.mark.parametrize("name", ["person-reidentification-retail-0288", "osnet_x0_25_msmt17"])
def test_real_encoders_against_plain_openvino(name):
    model = load_model(real_data("weights", name))
    pictures = sorted(real_data("reid").rglob("*.jpg"))[::50][:8]
    crops = [cv2.imread(str(path)) for path in pictures]
    compiled = ov.Core().compile_model(model.graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = [compiled(slow_input(crop, model.card.input))[0].ravel() for crop in crops]
    expected = [embedding / np.linalg.norm(embedding) for embedding in expected]
    encoder = GraphEncoder(model)
    embeddings = encoder.encode(crops)
    assert len(crops) == 8
    assert embeddings.shape == (8, encoder.dim)
    assert np.einsum("nd,nd->n", embeddings, expected).min() > 0.995


def slow_input(crop, card):
    """Pixel by channel, as the card's definition reads."""
    resized = cv2.resize(crop, (card.width, card.height)).astype(np.float64)
    channels = [2, 1, 0] if card.colour == "RGB" else [0, 1, 2]
    planes = [
        (resized[..., channel] * card.pixel_scale - mean) / deviation
        for channel, mean, deviation in zip(channels, card.mean, card.std, strict=True)
    ]
    return np.stack(planes)[None].astype(np.float32)
