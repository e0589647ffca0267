import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.learning import distil_encoder  # noqa: E402
from reid_pipeline.learning.distil_encoder import (  # noqa: E402
    BatchPlan,
    EncoderDistillation,
    distillation_losses,
    disturb,
    teach,
)
from reid_pipeline.learning.encoder_network import EncoderNetwork  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.pixels import normalise  # noqa: E402
from tests.pipeline.builders import MeanColourEncoder  # noqa: E402

pytestmark = pytest.mark.learning

SIZE = (32, 16)


@pytest.fixture
def pool():
    """Twelve smooth crops, larger than the network's input."""
    import cv2

    coarse = np.random.default_rng(0).integers(0, 256, (12, 6, 3, 3)).astype(np.uint8)
    return np.stack([cv2.resize(crop, (24, 48)) for crop in coarse])


def unit(vectors):
    return torch.tensor(vectors) / torch.tensor(vectors).norm(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("said", "embedding", "relation"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], 0.0, 0.0),
        ([[0.0, 1.0], [1.0, 0.0]], 1.0, 0.0),  # each is taken for the other, which are as far apart as before
        ([[1.0, 0.0], [1.0, 0.0]], 0.5, 2.5),  # both are taken for the first
        ([[-1.0, 0.0], [0.0, -1.0]], 2.0, 0.0),
    ],
)
def test_the_losses_by_hand(said, embedding, relation):
    losses = distillation_losses(unit(said), unit([[1.0, 0.0], [0.0, 1.0]]))
    assert {name: loss.item() for name, loss in losses.items()} == {
        "embedding": pytest.approx(embedding),
        "relation": pytest.approx(relation),
    }


class CountingEncoder(MeanColourEncoder):
    """Counts the crops that it is shown."""

    def __init__(self, model_hash="a" * 64):
        self.model_hash = model_hash
        self.shown = 0

    def encode(self, crops):
        self.shown += len(crops)
        return super().encode(crops)


def test_the_teacher_is_asked_once(pool, tmp_path):
    teacher, told = CountingEncoder(), []
    many = np.repeat(pool, 30, axis=0)  # more than are taught at once
    first = teach(teacher, many, tmp_path / "cache", told.append)
    np.testing.assert_allclose(first, MeanColourEncoder().encode(list(many)), rtol=1e-6)
    assert (teacher.shown, told) == (360, [256, 360])
    np.testing.assert_array_equal(teach(teacher, many, tmp_path / "cache"), first)
    assert teacher.shown == 360
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_another_teacher_or_pool_is_taught_anew(pool, tmp_path):
    teach(CountingEncoder(), pool, tmp_path)
    other = CountingEncoder("b" * 64)
    teach(other, pool, tmp_path)
    assert other.shown == 12
    changed = pool.copy()
    changed[5, 3, 3, 0] ^= 1
    same = CountingEncoder()
    teach(same, changed, tmp_path)
    assert same.shown == 12


@pytest.mark.parametrize("size", [(32, 16), (48, 24), (64, 40)])
def test_disturbed_crops_have_the_size_of_the_input(pool, size):
    for seed in range(30):
        before = pool[0].copy()
        crop = disturb(pool[0], size, np.random.default_rng(seed))
        assert (crop.shape, crop.dtype) == ((*size, 3), np.uint8)
        np.testing.assert_array_equal(pool[0], before)
        np.testing.assert_array_equal(crop, disturb(pool[0], size, np.random.default_rng(seed)))
    assert len({disturb(pool[0], size, np.random.default_rng(seed)).tobytes() for seed in range(30)}) == 30


def test_a_disturbed_crop_still_shows_the_person(pool):
    crop = np.zeros((48, 24, 3), np.uint8)
    crop[:24], crop[24:] = (30, 60, 200), (200, 60, 30)
    upper, lower = [], []
    for seed in range(60):
        made = disturb(crop, SIZE, np.random.default_rng(seed)).astype(int)
        upper.append((made[2:10, :, 2] > made[2:10, :, 0]).mean())
        lower.append((made[22:30, :, 2] < made[22:30, :, 0]).mean())
    assert min(np.mean(upper), np.mean(lower)) > 0.85
    assert min(np.median(upper), np.median(lower)) == 1.0


def make_task(pool, **changes):
    torch.manual_seed(0)
    network = EncoderNetwork(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 3, 3)
    targets = MeanColourEncoder().encode(list(pool))
    settings = {"size": SIZE, "batch_size": 5, "seed": 3} | changes
    return EncoderDistillation(network, pool, targets, BatchPlan(**settings))


def test_batches_follow_from_seed_and_step_alone(pool):
    task = make_task(pool)
    late, early = task.batch(9), task.batch(2)
    again = make_task(pool).batch(9)
    assert late.crops.shape == (5, *SIZE, 3)
    np.testing.assert_array_equal(late.crops, again.crops)
    np.testing.assert_array_equal(late.targets, again.targets)
    assert not np.array_equal(late.crops, early.crops)
    assert not np.array_equal(late.crops, make_task(pool, seed=4).batch(9).crops)


def test_each_crop_has_its_own_target(pool):
    batch = make_task(pool, batch_size=12).batch(0)
    assert len({target.tobytes() for target in batch.targets}) == 12  # none is drawn twice
    likeness = MeanColourEncoder().encode(list(batch.crops)) @ batch.targets.T
    assert (likeness.argmax(axis=1) == np.arange(12)).mean() > 0.5


@pytest.mark.parametrize("blurred", [0.0, 0.5, 1.0])
def test_a_part_of_the_crops_has_blurred_heads_and_the_target_of_the_clear_one(pool, blurred, monkeypatch):
    hidden = []
    monkeypatch.setattr(distil_encoder, "blur_head", lambda crop: hidden.append(crop) or np.zeros_like(crop))
    monkeypatch.setattr(distil_encoder, "disturb", lambda crop, *_: crop)
    task, clear = make_task(pool, batch_size=12, blurred=blurred), MeanColourEncoder().encode(list(pool))
    black = 0
    for step in range(40):
        batch = task.batch(step)
        black += int((batch.crops == 0).all(axis=(1, 2, 3)).sum())
        np.testing.assert_array_equal(np.sort(batch.targets, axis=0), np.sort(clear, axis=0))
    assert black == len(hidden)
    assert len(hidden) / 480 == pytest.approx(blurred, abs=0.08)


def test_the_losses_of_the_task_are_those_of_its_network(pool):
    task = make_task(pool)
    batch = task.batch(0)
    losses = task.losses(batch, torch.device("cpu"))
    embeddings = nn.functional.normalize(task.network(normalise(torch.from_numpy(batch.crops))), dim=1)
    expected = distillation_losses(embeddings, torch.from_numpy(batch.targets))
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-4
    )


def test_a_pool_smaller_than_a_batch_is_refused(pool):
    with pytest.raises(TrainingError, match=r"training\.batch_size: 13: expected at most the number of crops, 12"):
        make_task(pool, batch_size=13)
