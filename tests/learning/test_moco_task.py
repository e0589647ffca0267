from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.learning.augment import ViewSettings, make_views  # noqa: E402
from reid_pipeline.learning.encoder_network import EncoderNetwork  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.moco import MocoNetwork, MocoSettings, info_nce  # noqa: E402
from reid_pipeline.learning.moco_task import BatchSettings, EpochSampler, MocoTask  # noqa: E402
from reid_pipeline.learning.pixels import input_card  # noqa: E402
from reid_pipeline.learning.trainer import Plan, Trainer  # noqa: E402
from tests.learning.sites import SIZE, make_material  # noqa: E402

pytestmark = pytest.mark.learning

CPU = torch.device("cpu")
CARD = input_card(*SIZE)
VIEWS = ViewSettings()


def make_task(*, size=8, shards=1, by_tracklet=False, spare_own=False, norm=True, material=None, views=VIEWS):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=2), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU()]
    encoder = EncoderNetwork(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 6, 8)
    settings = MocoSettings(compared="features", queue=11, dim=5, momentum=0.9, spare_own=spare_own)
    batches = BatchSettings(size, shards, by_tracklet, views, seed=0)
    return MocoTask(MocoNetwork(encoder, settings), material or make_material(), CARD, settings, batches)


def test_an_epoch_has_every_crop_once():
    sampler = EpochSampler(23, 5, seed=1)
    assert sampler.steps == 4
    epochs = [np.concatenate([sampler.rows(4 * epoch + step) for step in range(4)]) for epoch in range(3)]
    for rows in epochs:
        assert len(np.unique(rows)) == len(rows) == 20
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(np.concatenate(epochs)) == set(range(23))  # nobody is always left over


def test_a_step_has_the_same_crops_whenever_it_is_asked_for():
    sampler, other = EpochSampler(23, 5, seed=1), EpochSampler(23, 5, seed=1)
    wanted = [sampler.rows(step) for step in range(12)]
    for step in (11, 3, 4, 0, 8):
        assert np.array_equal(other.rows(step), wanted[step])


def test_the_second_look_is_at_another_crop_of_the_tracklet():
    task, material = make_task(by_tracklet=True), make_material()
    rng = np.random.default_rng(0)
    first = np.arange(len(material.crops))
    seen = {row: set() for row in first.tolist()}
    for _ in range(200):
        for row, other in zip(first.tolist(), task.pick_second(first, rng).tolist(), strict=True):
            seen[row].add(other)
    for row, others in seen.items():
        alike = set(np.flatnonzero(material.tracklets == material.tracklets[row]).tolist())
        assert others == (alike - {row} or {row})


def test_shards_share_the_batch_out_and_second_looks_are_shuffled():
    batch = make_task(shards=2).batch(3)
    assert [len(shard.rows) for shard in batch.queries] == [4, 4]
    assert np.concatenate([shard.rows for shard in batch.queries]).tolist() == list(range(8))
    assert np.array_equal(np.concatenate([shard.rows for shard in batch.keys]), batch.order)
    assert sorted(batch.order) == list(range(8))
    assert batch.order.tolist() != list(range(8))


def test_a_batch_depends_on_the_step_alone():
    first, again, other = make_task(shards=2).batch(5), make_task(shards=2).batch(5), make_task(shards=2).batch(6)
    assert np.array_equal(first.keys[1].crops, again.keys[1].crops)
    assert np.array_equal(first.keys[1].draws.windows, again.keys[1].draws.windows)
    assert not np.array_equal(first.keys[1].draws.windows, other.keys[1].draws.windows)


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_the_loss_is_that_of_the_whole_batch_at_once(shards):
    """Without batch norms shards make no difference: every query has to meet its own key."""
    task = make_task(shards=shards, norm=False, spare_own=True)
    task.network.queue.tracklets[:] = torch.arange(11) % 6
    batch = task.batch(0)
    found = sum(part["contrast"].item() for part in task.losses(batch, CPU))
    crops, looks = ({}, {}), ({}, {})
    for side, shard_list in enumerate((batch.queries, batch.keys)):
        for shard in shard_list:
            views = make_views(torch.from_numpy(shard.crops), shard.draws, CARD)
            for row, crop, view in zip(shard.rows.tolist(), shard.crops, views, strict=True):
                crops[side][row], looks[side][row] = crop, view
    assert all(np.array_equal(crops[0][row], crops[1][row]) for row in range(8))
    views = [torch.stack([look[row] for row in range(8)]) for look in looks]
    tracklets = torch.from_numpy(task._material.tracklets[task.sampler.rows(0)])
    spared = tracklets[:, None] == task.network.queue.tracklets
    assert spared.any()
    with torch.no_grad():
        queries, keys = task.network.query(views[0]), task.network.key(views[1])
        wanted = info_nce(queries, keys, task.network.queue.keys, spared, 0.1)
    assert found == pytest.approx(float(wanted), abs=1e-5)
    task.after_step()
    torch.testing.assert_close(task.network.queue.keys[:8], keys)
    assert task.network.queue.tracklets[:8].tolist() == tracklets.tolist()


def test_gradients_of_shards_add_up():
    gradients = []
    for shards in (2, 4):
        task = make_task(shards=shards, norm=False)
        for part in task.losses(task.batch(0), CPU):
            part["contrast"].backward()
        gradients.append([each.grad for each in task.network.query.parameters()])
        assert all(each.grad is None for each in task.network.key.parameters())
    for two, four in zip(*gradients, strict=True):
        assert two.abs().max() > 1e-4
        torch.testing.assert_close(two, four, atol=1e-6, rtol=1e-4)


def test_a_run_that_was_broken_off_has_the_same_curve(tmp_path):
    plan = Plan(steps=7, learning_rate=0.01, warm_up=2)
    whole = Trainer(make_task(shards=2, by_tracklet=True), plan, tmp_path / "whole", CPU)
    whole.run()
    for stop in (1, 4, None):
        broken = Trainer(make_task(shards=2, by_tracklet=True), plan, tmp_path / "broken", CPU)
        broken.run(until=stop)
    for name, value in whole.task.network.state_dict().items():
        assert torch.equal(value, broken.task.network.state_dict()[name]), name
    assert int(whole.task.network.queue.head) == 7 * 8 % 11


def coloured_material():
    """Sixteen tracklets of three crops, each in two colours of its own."""
    material = make_material((3,) * 16)
    colours = np.random.default_rng(1).integers(0, 256, (16, 2, 3), np.uint8)
    return replace(material, crops=colours[material.tracklets].repeat(16, 1)[:, :, None].repeat(16, 2))


def test_the_loss_falls(tmp_path):
    views = ViewSettings(area=(0.5, 1.0), grey=0.0, blur=0.0, erase=0.0)
    task = make_task(material=coloured_material(), size=12, by_tracklet=True, spare_own=True, views=views)
    told = []
    losses = task.losses

    def listen(batch, device):
        for part in losses(batch, device):
            told.append(part["contrast"].item())
            yield part

    task.losses = listen
    Trainer(task, Plan(steps=50, learning_rate=0.01, warm_up=5), tmp_path, CPU).run()
    assert np.mean(told[-10:]) < 0.75 * np.mean(told[:10])


@pytest.mark.parametrize(
    ("size", "shards", "message"),
    [
        (17, 1, r"training.batch_size: 17: expected at most the number of crops, 16"),
        (8, 3, r"training.shards: 3: expected a divisor of batch_size, 8"),
    ],
)
def test_what_does_not_fit_is_refused(size, shards, message):
    with pytest.raises(TrainingError, match=message):
        make_task(size=size, shards=shards)
