from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.learning.depthwise import SinglePrecisionConv2d, spare_wide_depthwise  # noqa: E402

pytestmark = pytest.mark.learning


def network(*, spared=True):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 5, padding=2),
    )
    if spared:
        spare_wide_depthwise(layers)
    return layers


def gradients(layers, *, autocast):
    crops = torch.rand(2, 3, 12, 6, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        layers(crops).float().square().sum().backward()
    return torch.cat([each.grad.ravel() for each in layers.parameters()])


def test_wide_depthwise_filters_alone_are_changed_and_keep_their_weights():
    spared, usual = network(), network(spared=False)

    assert [type(layer) is SinglePrecisionConv2d for layer in spared] == [False, True, False, False]
    assert list(spared.state_dict()) == list(usual.state_dict())
    assert type(deepcopy(spared)[1]) is SinglePrecisionConv2d


def test_they_compute_in_single_precision_under_autocast():
    layers, maps = network(), torch.rand(1, 8, 12, 6)

    with torch.autocast("cpu", torch.bfloat16):
        found, other = layers[1](maps.bfloat16()), layers[2](maps)

    assert (found.dtype, other.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(found, nn.functional.conv2d(maps.bfloat16().float(), layers[1].weight, padding=2, groups=8))


@pytest.mark.parametrize(("autocast", "error"), [(False, 0.0), (True, 0.02)])
def test_gradients_are_those_of_the_usual_layer(autocast, error):
    expected = gradients(network(spared=False), autocast=autocast)

    found = gradients(network(), autocast=autocast)

    assert (found - expected).norm() <= error * expected.norm()
