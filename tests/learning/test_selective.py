import math

import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.selective import SelectiveBanks, SelectiveSettings  # noqa: E402  # only where torch is
from tests.learning.site_material import units  # noqa: E402

pytestmark = pytest.mark.learning

SIZE, DIM = 14, 6
POSITIVES = [[row, (row + 3) % SIZE, -1] if row % 2 else [row, -1, -1] for row in range(SIZE)]
APART = [[(row + 7) % SIZE, -1] for row in range(SIZE)]


def banks(**settings):
    return SelectiveBanks(
        units(SIZE, DIM),
        units(SIZE, DIM, 1),
        torch.tensor(POSITIVES),
        torch.tensor(APART),
        SelectiveSettings(**settings),
    )


def slow_choice(bank, whole, local, tracklet):
    """Who is drawn near and who is pushed away, with lists."""
    settings = bank.settings
    alike = [
        float(whole @ bank.global_features[other] + local @ bank.local_features[other]) / 2 for other in range(SIZE)
    ]
    positive = [each for each in POSITIVES[tracklet] if each >= 0]
    ranked = sorted((other for other in range(SIZE) if other not in positive), key=lambda other: -alike[other])
    begin = int(settings.margin * len(positive))
    negative = set(ranked[begin : begin + settings.negatives]) | {each for each in APART[tracklet] if each >= 0}
    return positive, negative


def slow_loss(bank, whole, local, tracklets):
    settings, total = bank.settings, 0.0
    for one, other, tracklet in zip(whole, local, tracklets.tolist(), strict=True):
        positive, negative = slow_choice(bank, one, other, tracklet)
        for feature in (one, other):
            score = [math.exp(float(feature @ slot) / settings.temperature) for slot in bank.mixture]
            below = sum(score[each] for each in negative)
            parts = [-math.log(score[each] / (score[each] + below)) for each in positive]
            total += 0.5 * sum(parts) / len(parts)
    return settings.weight * total / len(tracklets)


@pytest.mark.parametrize(("negatives", "margin"), [(3, 1.5), (5, 0.0), (256, 2.0), (1, 1.0)])
def test_the_term_is_that_of_one_crop_and_slot_at_a_time(negatives, margin):
    bank = banks(negatives=negatives, margin=margin, temperature=0.3, weight=0.7)
    whole, local, tracklets = units(5, DIM, 2), units(5, DIM, 3), torch.tensor([0, 3, 3, 9, 12])
    positive, negative = bank._choose(whole, local, tracklets)
    for row, tracklet in enumerate(tracklets.tolist()):
        expected = slow_choice(bank, whole[row], local[row], tracklet)
        assert positive[row].nonzero().ravel().tolist() == sorted(expected[0])
        assert set(negative[row].nonzero().ravel().tolist()) == expected[1]
    assert float(bank.loss(whole, local, tracklets)) == pytest.approx(
        slow_loss(bank, whole, local, tracklets), rel=1e-4
    )


@pytest.mark.parametrize(("margin", "expected"), [(0.0, math.log(1 + math.exp(-1))), (1.0, math.log(1 + math.exp(-2)))])
def test_the_term_worked_by_hand(margin, expected):
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    settings = SelectiveSettings(temperature=1.0, negatives=1, margin=margin, weight=1.0)
    bank = SelectiveBanks(features, features, torch.arange(3)[:, None], torch.full((3, 0), -1), settings)
    crop = torch.tensor([[1.0, 0.0]])  # 1 to itself, 0 to the next, -1 to the last
    assert float(bank.loss(crop, crop, torch.tensor([0]))) == pytest.approx(expected)


def test_the_own_slot_is_never_pushed_away_and_who_is_certainly_another_always_is():
    bank = banks()
    tracklets = torch.arange(SIZE)
    for seed in range(5):
        positive, negative = bank._choose(units(SIZE, DIM, seed), units(SIZE, DIM, seed + 9), tracklets)
        assert positive[tracklets, tracklets].all()
        assert not (positive & negative).any()
        assert negative[tracklets, (tracklets + 7) % SIZE].all()


def test_where_there_is_nobody_to_push_away_the_gradient_is_a_number():
    feature = units(1, DIM)
    bank = SelectiveBanks(
        feature, feature, torch.zeros(1, 1, dtype=torch.long), torch.full((1, 0), -1), SelectiveSettings()
    )
    crop = units(1, DIM, 4).requires_grad_()
    loss = bank.loss(crop, crop, torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(crop.grad).all()


def test_the_mixture_begins_as_the_mean_of_both():
    bank = banks()
    expected = [one + other for one, other in zip(bank.global_features, bank.local_features, strict=True)]
    torch.testing.assert_close(bank.mixture, torch.stack([each / each.norm() for each in expected]))


def test_a_crop_is_written_into_its_own_slot_of_all_banks():
    bank = banks(momentum=0.6)
    before = [each.clone() for each in (bank.global_features, bank.local_features, bank.mixture)]
    whole, local, tracklets = units(3, DIM, 5), units(3, DIM, 6), (4, 8, 4)
    bank.update(whole, local, torch.tensor(tracklets))
    mean = [(one + other) / (one + other).norm() for one, other in zip(whole, local, strict=True)]
    for kept, fresh, expected in zip(
        (bank.global_features, bank.local_features, bank.mixture), (whole, local, mean), before, strict=True
    ):
        for row, feature in zip(tracklets, fresh, strict=True):
            mixed = 0.6 * expected[row] + 0.4 * feature
            expected[row] = mixed / mixed.norm()
        torch.testing.assert_close(kept, expected)
