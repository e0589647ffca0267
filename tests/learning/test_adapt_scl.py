import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning import adapt_scl as module  # noqa: E402  # only where torch is
from reid_pipeline.learning.adapt_scl import SclBatch, SclSettings, SclTask  # noqa: E402
from reid_pipeline.learning.part_network import embed  # noqa: E402
from tests.learning.site_material import CPU, site_material, tiny_network, units  # noqa: E402

pytestmark = pytest.mark.learning

SETTINGS = SclSettings(batch=10, alone=2, positives=3, negatives=12)


def begun(seed=0, settings=SETTINGS, **site):
    material, _ = site_material(**({"people": 6, "visits": 4, "crops": 1} | site))
    network = tiny_network(dim=16, parts=8)
    task = SclTask(network, material, settings, seed)
    task.begin_round(network.eval(), CPU)
    return task, material


def numbered(slots):
    return SclBatch(np.zeros((len(slots), 1), np.uint8), np.array(slots), 5)


def test_an_epoch_goes_once_through_all_but_the_rest():
    task, _ = begun()  # 24 crops
    assert task.epoch_steps == 2
    for epoch in range(3):
        batches = [task.batch(2 * epoch + place) for place in range(2)]
        slots = np.concatenate([each.slots for each in batches])
        assert len(set(slots.tolist())) == len(slots) == 20
    orders = [tuple(task.batch(2 * epoch).slots) for epoch in range(3)]
    assert len(set(orders)) == 3


def test_fewer_crops_than_a_batch_are_one_batch():
    task, _ = begun(people=2, visits=3)
    assert task.epoch_steps == 1
    assert sorted(task.batch(4).slots.tolist()) == list(range(6))


def test_a_batch_is_decided_by_the_seed_and_the_step_alone(monkeypatch):
    one, material = begun(seed=3)
    other, _ = begun(seed=3)
    other.batch(0)
    first, second = one.batch(3), other.batch(3)
    np.testing.assert_array_equal(first.crops, second.crops)
    assert (first.slots.tolist(), first.seed) == (second.slots.tolist(), second.seed)
    assert first.slots.tolist() != begun(seed=4)[0].batch(3).slots.tolist()
    monkeypatch.setattr(module, "disturb", lambda crop, size, rng: crop)
    batch = one.batch(1)
    np.testing.assert_array_equal(batch.crops, material.crops[batch.slots])


def test_the_first_epochs_know_the_own_slot_alone():
    task, _ = begun()
    seen = []
    task._contrast = lambda features, positive, negative: seen.append((positive, negative)) or features.sum()
    for step in (0, 3, 4):
        task.losses(task.batch(step), CPU)
    assert [task.batch(step).seed >= 0 for step in range(6)] == [True] * 4 + [False] * 2
    assert [tuple(positive.shape) for positive, _ in seen[::2]] == [(10, 1), (10, 1), (10, 4)]
    assert [tuple(negative.shape) for _, negative in seen[::2]] == [(10, 15), (10, 15), (10, 12)]


def test_the_own_slot_is_never_drawn():
    task, _ = begun()
    drawn = task._draw(numbered([0, 7, 23, 7]))
    assert drawn.shape == (4, 15)
    for slot, row in zip((0, 7, 23, 7), drawn.tolist(), strict=True):
        assert slot not in row
        assert len(set(row)) == 15
        assert 0 <= min(row) <= max(row) < 24
    every, _ = begun(settings=SclSettings(batch=10))  # fewer crops than negatives are wanted
    assert [sorted(row) for row in every._draw(numbered([0, 9])).tolist()] == [
        [each for each in range(24) if each != slot] for slot in (0, 9)
    ]


@pytest.mark.parametrize(("share", "penalty"), [(0.5, 0.05), (0.8, 0.0), (0.0, 0.6)])
def test_positives_and_negatives_are_those_of_all_distances(share, penalty):
    settings = SclSettings(positives=3, negatives=6, global_share=share, camera=penalty)
    task, material = begun(settings=settings)
    slots = [2, 9, 9, 17, 23]
    whole, local = task.network.global_bank[slots], task.network.local_bank[slots]  # nearest to themselves
    positive, negative = task._choose(whole, local, torch.tensor(slots))
    for row, slot in enumerate(slots):
        distance = {
            other: share * float((whole[row] - task.network.global_bank[other]).square().sum())
            + (1 - share) * float((local[row] - task.network.local_bank[other]).square().sum())
            + penalty * (material.cameras[other] == material.cameras[slot])
            for other in range(24)
            if other != slot
        }
        ranked = sorted(distance, key=distance.get)
        assert positive[row].tolist() == [slot, *ranked[:3]]
        assert negative[row].tolist() == ranked[3:9]


def slow_contrast(settings, features, mixture, positive, negative):
    total = 0.0
    for feature, near, far in zip(features, positive.tolist(), negative.tolist(), strict=True):
        score = [math.exp(settings.scale * float(feature @ slot)) for slot in mixture]
        below = sum(score[each] for each in near + far)
        surprise = [-math.log(score[each] / below) for each in near]
        total += settings.own * surprise[0]
        if len(near) > 1:
            total += settings.nearest * (1 - settings.own) * sum(surprise[1:]) / (len(near) - 1)
    return total / len(features)


@pytest.mark.parametrize("positives", [1, 4])
def test_the_loss_is_that_of_one_crop_and_slot_at_a_time(positives):
    task, _ = begun(settings=SclSettings(own=0.4, nearest=1.5, scale=4.0))
    rng = np.random.default_rng(0)
    chosen = torch.from_numpy(np.stack([rng.choice(24, 10, replace=False) for _ in range(5)]))
    features = units(5, 16, 3)
    found = task._contrast(features, chosen[:, :positives], chosen[:, positives:])
    expected = slow_contrast(
        task._settings, features, task.network.mixture, chosen[:, :positives], chosen[:, positives:]
    )
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_the_loss_worked_by_hand():
    task, _ = begun(settings=SclSettings(scale=1.0))
    task.network.mixture[:3] = torch.eye(3, 16)
    feature = torch.eye(1, 16)  # 1 to the first slot, 0 to the others
    alone = task._contrast(feature, torch.tensor([[0]]), torch.tensor([[1, 2]]))
    assert float(alone) == pytest.approx(0.5 * math.log(1 + 2 * math.exp(-1)))
    two = task._contrast(feature, torch.tensor([[0, 1]]), torch.tensor([[2]]))
    expected = 0.5 * math.log(1 + 2 * math.exp(-1)) + 1.75 * 0.5 * math.log(2 + math.e)
    assert float(two) == pytest.approx(expected)


def test_the_halves_are_weighted():
    task, _ = begun(settings=SclSettings(batch=10, local=0.3, alone=0, positives=3, negatives=12))
    task.network.eval()
    losses = task.losses(task.batch(0), CPU)
    whole, local, slots = task._seen
    positive, negative = task._choose(whole, local, slots)
    torch.testing.assert_close(losses["global"].detach(), 0.7 * task._contrast(whole, positive, negative))
    torch.testing.assert_close(losses["local"].detach(), 0.3 * task._contrast(local, positive, negative))


def test_banks_begin_with_all_crops_and_then_keep_themselves():
    task, material = begun()
    whole, local = (torch.from_numpy(each) for each in embed(task.network.part.eval(), material.crops, CPU))
    torch.testing.assert_close(task.network.global_bank, whole)
    torch.testing.assert_close(task.network.local_bank, local)
    mixed = whole + local
    torch.testing.assert_close(task.network.mixture, mixed / mixed.norm(dim=1, keepdim=True))
    task.begin_round(tiny_network(dim=16, parts=8, seed=1).eval(), CPU)
    torch.testing.assert_close(task.network.global_bank, whole)
    assert {"global_bank", "local_bank", "mixture"} <= set(task.network.state_dict())


def test_a_step_is_written_into_the_own_slots_alone():
    task, _ = begun(settings=SclSettings(batch=10, momentum=0.7))
    network = task.network
    before = [each.clone() for each in (network.global_bank, network.local_bank, network.mixture)]
    task.losses(task.batch(1), CPU)
    whole, local, slots = task._seen
    task.after_step()
    for place, slot in enumerate(slots.tolist()):
        for bank, fresh in zip(before, (whole, local, None), strict=True):
            for half in [whole, local] if fresh is None else [fresh]:
                keep = 0.5 if fresh is None else 0.7
                mixed = keep * bank[slot] + (1 - keep) * half[place]
                bank[slot] = mixed / mixed.norm()
    for bank, expected in zip((network.global_bank, network.local_bank, network.mixture), before, strict=True):
        torch.testing.assert_close(bank, expected)
    task.after_step()  # of no step
    torch.testing.assert_close(network.mixture, before[2])
