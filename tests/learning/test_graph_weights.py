import shutil

import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.encoder_network import build_encoder_network  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.export import Provenance, export_encoder  # noqa: E402
from reid_pipeline.learning.graph_weights import keep_weights, load_weights, rebuild_encoder  # noqa: E402
from reid_pipeline.learning.pixels import input_card  # noqa: E402
from reid_pipeline.storage.model_card import NetworkCard, load_model, write_card  # noqa: E402

pytestmark = pytest.mark.learning
BACKBONE = "test_resnet"


def small(dim=8, seed=0):
    torch.manual_seed(seed)
    network = build_encoder_network(BACKBONE, dim)
    for tensor in network.buffers():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)  # as if it had been trained
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = small()
    folder = tmp_path_factory.mktemp("weights") / "model"
    provenance = Provenance("MIT", [], network=NetworkCard(backbone=BACKBONE, keep_resolution=False))
    return network, export_encoder(network, input_card(64, 32), 8, folder, "model", provenance).graph


def with_card(graph, folder, **changes):
    """The same graph with something else in its card."""
    model = load_model(graph.parent)
    folder.mkdir()
    shutil.copy(graph, folder / graph.name)
    return write_card(model.card.model_copy(update=changes), folder)


def test_all_weights_come_back(exported):
    network, graph = exported
    other = small(seed=1)
    load_weights(other, graph)
    assert_same(network, other)


def assert_same(network, other):
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(other.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)  # stored in half


@pytest.mark.parametrize("part", [0.0, 0.3, 1.0])
def test_a_part_of_the_first_weights_is_kept(exported, part):
    network, graph = exported
    other = small(seed=1)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    keep_weights(other, graph, part)
    for name, tensor in other.state_dict().items():
        if tensor.is_floating_point():
            expected = part * network.state_dict()[name] + (1 - part) * before[name]
            torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-4)


def test_a_head_of_another_length_stays(exported):
    _, graph = exported
    other = small(dim=5, seed=1)
    before = other.head[0].weight.clone()
    load_weights(other, graph)
    assert torch.equal(other.head[0].weight, before)


def test_another_backbone_is_refused(exported):
    _, graph = exported
    with pytest.raises(TrainingError, match="missing or of another shape"):
        load_weights(build_encoder_network("test_efficientnet", 8), graph)


def test_an_encoder_is_rebuilt_from_its_card_alone(exported):
    network, graph = exported
    other = rebuild_encoder(load_model(graph.parent))
    assert_same(network, other)
    images = torch.rand(3, 3, 64, 32)
    torch.testing.assert_close(network.eval()(images), other.eval()(images), rtol=1e-2, atol=1e-2)


def test_an_encoder_with_another_resolution_is_rebuilt_so(tmp_path):
    torch.manual_seed(0)
    network = build_encoder_network("test_efficientnet", 8, keep_resolution=True)
    provenance = Provenance("MIT", [], network=NetworkCard(backbone="test_efficientnet", keep_resolution=True))
    model = export_encoder(network, input_card(64, 32), 8, tmp_path / "model", "model", provenance)
    images = torch.rand(2, 3, 64, 32)
    other = rebuild_encoder(model)
    assert other.backbone.forward_features(images).shape == network.backbone.forward_features(images).shape
    assert other.backbone.forward_features(images).shape[2] == 4


def test_an_encoder_of_which_nothing_is_known_is_refused(exported, tmp_path):
    with pytest.raises(TrainingError, match="model: cannot be trained further: its card has no `network`"):
        rebuild_encoder(with_card(exported[1], tmp_path / "unknown", network=None))


def test_a_card_that_is_wrong_is_refused(exported, tmp_path):
    _, graph = exported
    output = load_model(graph.parent).card.output.model_copy(update={"dim": 5})
    with pytest.raises(TrainingError, match=r"head\.0\.weight: missing or of another shape"):
        rebuild_encoder(with_card(graph, tmp_path / "short", output=output))
    network = NetworkCard(backbone="nothing")
    with pytest.raises(TrainingError, match=r"network\.backbone: nothing"):
        rebuild_encoder(with_card(graph, tmp_path / "nothing", network=network))
