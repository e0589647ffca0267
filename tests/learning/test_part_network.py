import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402  # only where torch is

from reid_pipeline.learning import part_network as module  # noqa: E402
from reid_pipeline.learning.part_network import embed  # noqa: E402
from reid_pipeline.learning.pixels import normalise  # noqa: E402
from tests.learning.site_material import CPU, site_material, tiny_network  # noqa: E402

pytestmark = pytest.mark.learning


def slow_local(network, maps):
    """One crop and one stripe at a time, each of as many rows."""
    found = []
    for each in maps:
        units = []
        high = each.shape[1] // len(network.stripes)
        for number, (linear, norm) in enumerate(network.stripes):
            mean = each[:, number * high : (number + 1) * high].mean(dim=(1, 2))
            answer = linear.weight @ mean
            answer = (answer - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            units.append(answer / answer.norm())
        found.append(torch.cat(units) / len(units) ** 0.5)
    return torch.stack(found)


def test_both_features_are_those_of_one_crop_and_one_stripe_at_a_time():
    network = tiny_network().eval()
    images = normalise(torch.from_numpy(site_material()[0].crops[:5]))
    with torch.no_grad():
        whole, local = network(images)
        maps = network.encoder.backbone.forward_features(images)
        assert maps.shape[2] == 8
        torch.testing.assert_close(local, slow_local(network, maps))
        torch.testing.assert_close(whole, functional.normalize(network.encoder(images), dim=1))


def test_stripes_worked_by_hand():
    network = tiny_network().eval()
    for linear, norm in network.stripes:
        linear.weight.data = torch.eye(2, 8)
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
    maps = torch.zeros(1, 8, 4, 1)
    maps[0, :2, :, 0] = torch.tensor([[3.0, 1.0, 0.0, 1.0], [4.0, 0.0, 2.0, 1.0]])
    half = 0.5**0.5
    expected = [[0.5 * each for each in (0.6, 0.8, 1.0, 0.0, 0.0, 1.0, half, half)]]
    torch.testing.assert_close(network._local(maps), torch.tensor(expected))


def test_both_features_have_norm_one_and_all_stripes_the_same_say():
    whole, local = embed(tiny_network().eval(), site_material()[0].crops, CPU)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(local.reshape(len(local), 4, 2), axis=2), 0.5, atol=1e-5)


def test_crops_are_embedded_in_their_order_however_many_at_once(monkeypatch):
    network, crops = tiny_network().eval(), site_material()[0].crops
    whole = embed(network, crops, CPU)
    monkeypatch.setattr(module, "_CHUNK", 7)
    for one, other in zip(embed(network, crops, CPU), whole, strict=True):
        assert one.shape == (len(crops), 8)
        np.testing.assert_allclose(one, other, atol=1e-2)  # in bfloat16
