import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.encoder_network import build_encoder_network  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.export import Provenance, export_encoder  # noqa: E402
from reid_pipeline.learning.graph_weights import load_weights  # noqa: E402
from reid_pipeline.learning.pixels import input_card  # noqa: E402

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
    return network, export_encoder(network, input_card(64, 32), 8, folder, "model", Provenance("MIT", [])).graph


def test_all_weights_come_back(exported):
    network, graph = exported
    other = small(seed=1)
    load_weights(other, graph)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(other.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)  # stored in half


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
