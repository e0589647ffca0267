import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from reid_pipeline.learning.encoder_network import build_encoder_network  # noqa: E402  # only where torch is
from reid_pipeline.learning.errors import TrainingError  # noqa: E402

pytestmark = pytest.mark.learning


@pytest.mark.parametrize(("keep", "side"), [(False, 2), (True, 4)])
def test_the_last_halving_can_be_left_out(keep, side):
    network = build_encoder_network("test_efficientnet", 7, keep_resolution=keep).eval()
    crops = torch.zeros(2, 3, 64, 64)
    assert network(crops).shape == (2, 7)
    assert network.backbone.forward_features(crops).shape[2:] == (side, side)


def test_weights_follow_from_the_seed():
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        networks.append(build_encoder_network("test_resnet", 4).backbone.conv1[0].weight)
    assert torch.equal(networks[0], networks[1])
    assert not torch.equal(networks[0], networks[2])


def test_an_unknown_backbone_is_named():
    with pytest.raises(TrainingError, match=r"network\.backbone: resnet19: expected a name of timm\.list_models"):
        build_encoder_network("resnet19", 4)
