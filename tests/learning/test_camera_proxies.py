import math

import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.camera_proxies import CameraProxies, ProxySettings  # noqa: E402  # only where torch is
from tests.learning.site_material import units  # noqa: E402

pytestmark = pytest.mark.learning

# Person 3 is in one camera alone.
PEOPLE = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 4, 4])
CAMERAS = torch.tensor([0, 1, 2, 0, 2, 1, 2, 1, 0, 1])


def proxies(**settings):
    return CameraProxies(units(10, 6), PEOPLE, CAMERAS, ProxySettings(**settings))


def slow_losses(bank, embeddings, rows):
    """Equations with loops over crops and proxies."""
    settings = bank.settings
    within, across = [], []
    for embedding, row in zip(embeddings, rows.tolist(), strict=True):
        score = [math.exp(float(embedding @ proxy) / settings.temperature) for proxy in bank.features]
        camera = [p for p in range(10) if CAMERAS[p] == CAMERAS[row]]
        within.append(-math.log(score[row] / sum(score[p] for p in camera)))
        same = [p for p in range(10) if PEOPLE[p] == PEOPLE[row]]
        wanted = [p for p in same if CAMERAS[p] != CAMERAS[row]] or same
        others = sorted((score[p] for p in range(10) if p not in same), reverse=True)[: settings.hardest]
        below = sum(score[p] for p in wanted) + sum(others)
        across.append(sum(-math.log(score[p] / below) for p in wanted) / len(wanted))
    return sum(within) / len(rows), settings.across * sum(across) / len(rows)


@pytest.mark.parametrize("hardest", [1, 3, 50])
def test_losses_are_those_of_one_crop_and_proxy_at_a_time(hardest):
    bank = proxies(hardest=hardest, temperature=0.2, across=0.7)
    rows = torch.tensor([0, 1, 4, 6, 7, 7, 9])
    embeddings = units(7, 6, seed=1)
    found = bank.losses(embeddings, rows)
    assert [float(found["within"]), float(found["across"])] == pytest.approx(
        slow_losses(bank, embeddings, rows), rel=1e-4
    )


def test_losses_worked_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    bank = CameraProxies(features, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), ProxySettings(temperature=1.0))
    found = bank.losses(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert float(found["within"]) == pytest.approx(math.log(1 + math.exp(-2)))  # 1 against -1 in its camera
    assert float(found["across"]) == pytest.approx(0.5 * math.log(1 + math.exp(-1)))  # 0 against -1
    alone = bank.losses(torch.tensor([[-1.0, 0.0]]), torch.tensor([2]))  # 1 against 0 and -1
    assert float(alone["across"]) == pytest.approx(0.5 * math.log(1 + math.exp(-1) + math.exp(-2)))


def test_the_gradient_is_a_number_where_a_camera_or_a_person_has_nobody_else():
    bank = CameraProxies(units(2, 6), torch.tensor([0, 0]), torch.tensor([0, 1]), ProxySettings())
    embeddings = units(2, 6, seed=2).requires_grad_()
    sum(bank.losses(embeddings, torch.tensor([0, 1])).values()).backward()
    assert torch.isfinite(embeddings.grad).all()


def test_a_proxy_moves_towards_its_crops_one_after_the_other():
    bank = proxies(momentum=0.3)
    before = bank.features.clone()
    crops = units(3, 6, seed=3)
    bank.update(crops, torch.tensor([2, 5, 2]))
    expected = before.clone()
    for row, crop in zip((2, 5, 2), crops, strict=True):
        mixed = 0.3 * expected[row] + 0.7 * crop
        expected[row] = mixed / mixed.norm()
    torch.testing.assert_close(bank.features, expected)
    torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(10))
    assert not torch.allclose(bank.features[2], before[2])
