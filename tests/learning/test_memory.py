import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning import memory as module  # noqa: E402  # only where torch is
from reid_pipeline.learning.memory import SHEET, Memory, draw_memory, read_memory  # noqa: E402
from reid_pipeline.learning.part_network import embed  # noqa: E402
from tests.learning.site_material import CPU, site_material, tiny_network  # noqa: E402

pytestmark = pytest.mark.learning


@pytest.fixture
def crops():
    return site_material()[0].crops[:20]


def slow_divergence(before, now):
    """Of how each crop ranks the others, one pair at a time."""
    total = 0.0
    for row in range(len(now)):
        others = [other for other in range(len(now)) if other != row]
        old = [math.exp(5.0 * float(before[row] @ before[other])) for other in others]
        new = [math.exp(5.0 * float(now[row] @ now[other])) for other in others]
        total += sum(a / sum(old) * math.log((a / sum(old)) / (b / sum(new))) for a, b in zip(old, new, strict=True))
    return total / len(now)


def test_nothing_is_lost_while_the_network_is_the_same(crops):
    network = tiny_network()
    memory = Memory(network, crops, CPU)
    assert len(memory) == 20
    assert float(memory.loss(network, torch.arange(20)).detach()) == pytest.approx(0.0, abs=1e-3)


def test_what_is_lost_is_what_one_pair_at_a_time_gives(crops):
    network, chosen = tiny_network().eval(), torch.tensor([3, 17, 4, 9])
    memory = Memory(network, crops, CPU)
    before = embed(network, crops, CPU)[0][chosen]
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.2)
        now = embed(network, crops, CPU)[0][chosen]
        found = float(memory.loss(network, chosen))
    assert found == pytest.approx(slow_divergence(before, now), rel=0.1)  # embedded in bfloat16
    assert found > 0.01


def test_a_ranking_worked_by_hand(monkeypatch):
    monkeypatch.setattr(module, "_SHARPNESS", 1.0)
    found = module._ranking(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).exp()
    near, far = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))  # similarities 0 and -1
    torch.testing.assert_close(found, torch.tensor([[near, far], [0.5, 0.5], [far, near]]))


def test_statistics_and_mode_stay_and_the_gradient_comes(crops):
    network = tiny_network()
    network.train()
    memory = Memory(network, crops, CPU)
    assert network.training
    kept = {name: each.clone() for name, each in network.named_buffers()}
    with torch.no_grad():
        network.encoder.head[0].weight.add_(torch.randn_like(network.encoder.head[0].weight))
    memory.loss(network, torch.arange(8)).backward()
    assert network.training
    assert network.encoder.head[0].weight.grad.abs().sum() > 0
    for name, each in network.named_buffers():
        assert torch.equal(each, kept[name]), name


def test_the_shipped_sheet_shows_people_of_many_looks():
    assert SHEET.stat().st_size <= 2_000_000
    crops = read_memory((64, 32))
    assert (crops.shape, crops.dtype) == ((512, 64, 32, 3), np.uint8)
    assert (crops.reshape(512, -1).std(axis=1) > 5).all()
    small = crops[:, 8::16, 8::16].reshape(512, -1)
    assert len(np.unique(small, axis=0)) == 512


def test_crops_come_back_from_a_sheet_in_their_order(tmp_path, monkeypatch):
    drawn = np.repeat(np.arange(1024) % 256, 128 * 64 * 3).reshape(1024, 128, 64, 3).astype(np.uint8)
    monkeypatch.setattr(module, "render_crops", lambda plan, size: drawn)
    monkeypatch.setattr(module, "SHEET", tmp_path / "sheet.jpg")
    draw_memory(tmp_path / "sheet.jpg")
    expected = np.linspace(0, 1023, 512).round().astype(int) % 256
    found = read_memory((16, 8))[:, 4:12, 2:6].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, atol=3)


def test_a_sheet_that_is_gone_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(module, "SHEET", tmp_path / "gone.jpg")
    with pytest.raises(FileNotFoundError, match="the installation is broken"):
        read_memory((16, 8))
