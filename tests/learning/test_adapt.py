import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.learning import adapt as module  # noqa: E402
from reid_pipeline.learning import trainer  # noqa: E402
from reid_pipeline.learning.adapt import Adapted, AdaptPlan, encode_all, learn, mix, split  # noqa: E402
from reid_pipeline.learning.distil_encoder import draw_crops  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.gate import Change, Verdict  # noqa: E402
from reid_pipeline.learning.pixels import normalise  # noqa: E402
from tests.learning.site_material import site_material  # noqa: E402

pytestmark = pytest.mark.learning

ROUND_S, STEP_S = 10.0, 0.5
CPU = torch.device("cpu")


def crops(count):
    """As small as they can be disturbed."""
    return np.random.default_rng(0).integers(0, 256, (count, 16, 8, 3)).astype(np.uint8)


class Clock:
    """Seconds that pass only where a task says so."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


class SlowTask:
    """Learns the mean of noise; says how long it takes."""

    def __init__(self, clock=None, fails_at=None, step_s=STEP_S):
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
        )
        self.clock = clock or Clock()
        self.fails_at = fails_at
        self.step_s = step_s
        self.rounds = []
        self.steps = []

    def begin_round(self, teacher, device):
        self.rounds.append(len(self.steps))
        assert not teacher.training
        self.clock.now += ROUND_S
        return {"people": 3.0}

    def batch(self, step):
        return step, torch.from_numpy(np.random.default_rng(step).normal(size=(8, 3, 4, 4)).astype(np.float32))

    def losses(self, batch, device):
        step, values = batch
        if step == self.fails_at:
            raise KeyboardInterrupt
        self.steps.append(step)
        self.clock.now += self.step_s
        return {"error": (self.network(values).float()[:, 0] - values.mean(dim=(1, 2, 3))).square().mean()}

    def after_step(self):
        pass


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def plan(budget_s):
    return AdaptPlan(budget_s, 0.01, batch=8)


@pytest.mark.parametrize(
    ("budget_s", "count", "steps"),
    [
        (100.0, 100, 133),  # rounds of 40 steps: with its part of the round a step takes 0.75 s
        (100.0, 800, 176),  # rounds of 150 steps: 0.567 s
        (1.0, 100, 40),  # a whole round at least
    ],
)
def test_as_many_steps_are_learnt_as_fit_into_the_budget(clock, tmp_path, budget_s, count, steps):
    length = min(max(int(1.5 * count / 8), 40), 400)
    task = SlowTask(clock)
    _, found = learn(task, plan(budget_s), crops(count), tmp_path)
    assert found == steps
    learnt = task.steps[1 + module._TRIED :]  # the first ones were to see how long they take
    assert learnt == list(range(steps))
    assert [each - 1 - module._TRIED for each in task.rounds[1:]] == list(range(0, steps, length))
    logged = [json.loads(line) for line in (tmp_path / "rounds.ndjson").read_text().splitlines()]
    assert logged == [{"step": step, "people": 3.0} for step in range(0, steps, length)]


def test_where_steps_become_slower_it_ends_after_a_round(clock, tmp_path):
    task = SlowTask(clock)
    task.after_step = lambda: setattr(task, "step_s", 2.0 if len(task.steps) >= 1 + module._TRIED else STEP_S)
    _, found = learn(task, plan(100.0), crops(100), tmp_path)
    assert found == 80  # 133 would fit at first; of rounds of 90 s the second ends beyond 125 s


def test_statistics_are_those_of_some_batches():
    network = SlowTask().network.eval()
    network[1].momentum = 0.3
    before = {name: each.clone() for name, each in network.named_parameters()}
    module.settle_statistics(network, crops(50), plan(1.0), CPU)
    means, spreads = [], []
    with torch.no_grad():
        for batch in draw_crops(crops(50), module._SETTLING, 8, 0):
            maps = network[0](normalise(torch.from_numpy(batch)))
            means.append(maps.mean(dim=(0, 2, 3)))
            spreads.append(maps.transpose(0, 1).flatten(1).var(dim=1))
    torch.testing.assert_close(network[1].running_mean, torch.stack(means).mean(0), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(network[1].running_var, torch.stack(spreads).mean(0), rtol=2e-2, atol=1e-2)
    assert (network.training, network[1].momentum) == (False, 0.3)
    for name, each in network.named_parameters():
        assert torch.equal(each, before[name])


def test_what_was_tried_is_forgotten(clock, tmp_path):
    task = SlowTask(clock)
    before = {name: each.clone() for name, each in task.network.state_dict().items()}
    module._measure_steps(task, plan(10.0), 40)
    for name, each in task.network.state_dict().items():
        assert torch.equal(each, before[name]), name


def test_a_training_that_was_broken_off_goes_on(clock, tmp_path, monkeypatch):
    whole, steps = learn(SlowTask(clock), plan(100.0), crops(100), tmp_path / "whole")
    monkeypatch.setattr(trainer, "_SAVE_SECONDS", -1.0)  # after each step
    with pytest.raises(KeyboardInterrupt):
        learn(SlowTask(clock, fails_at=57), plan(100.0), crops(100), tmp_path / "broken")
    task = SlowTask(clock)
    again, noted = learn(task, plan(100.0), crops(100), tmp_path / "broken")
    assert noted == steps == 133
    assert task.steps == list(range(57, 133))
    assert task.rounds == [0, 80 - 57, 120 - 57]
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
    done = SlowTask(clock)
    learn(done, plan(100.0), crops(100), tmp_path / "broken")
    assert (done.steps, done.rounds) == ([], [])


def test_a_mixture_has_its_share_of_weights_and_statistics():
    old, new = (nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)) for _ in range(2))
    for network, value in ((old, 1.0), (new, 3.0)):
        nn.init.constant_(network[0].weight, value)
        network[1].running_mean.fill_(-value)
        network[1].num_batches_tracked.fill_(int(value))
    quarter = mix(old, new, 0.25)
    assert quarter[0].weight.item() == 1.5
    assert quarter[1].running_mean.item() == -1.5
    assert quarter[1].num_batches_tracked.item() == 3
    for share, expected in ((0.0, old), (1.0, new)):
        assert mix(old, new, share)[0].weight.item() == expected[0].weight.item()
    assert (old[0].weight.item(), new[0].weight.item()) == (1.0, 3.0)


def test_too_few_tracklets_are_told():
    material, _ = site_material(people=50, visits=4, crops=1, size=(4, 2))
    training, held_out = split(material)
    assert (len(training), len(held_out)) == (172, 28)
    with pytest.raises(TrainingError, match="the corpus has 199 tracklets: expected at least 200: let `run` collect"):
        split(material.select(np.arange(199)))


def test_all_crops_are_encoded_in_their_order(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 7)
    material, _ = site_material(people=5, visits=2)
    encoder = SimpleNamespace(encode=lambda crops: np.stack([[crop.mean(), len(crops)] for crop in crops]))
    found = encode_all(encoder, material.crops)
    np.testing.assert_allclose(found[:, 0], material.crops.mean(axis=(1, 2, 3)))
    assert found[:, 1].tolist() == [7] * 28 + [2] * 2


def test_harmless_changes_are_a_mirror_and_a_pixel():
    crops = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3).astype(np.uint8)
    mirrored, shifted = module._mirror(crops), module._shift(crops)
    for row in range(3):
        for column in range(4):
            np.testing.assert_array_equal(mirrored[:, row, column], crops[:, row, 3 - column])
            np.testing.assert_array_equal(shifted[:, row, column], crops[:, max(row - 1, 0), max(column - 1, 0)])


def adapted(promoted, **gains):
    changes = {name: Change(0.5, 0.5 + gain, 0.0, 0.0) for name, gain in gains.items()}
    return Adapted(None, 1.0, Verdict(promoted, "", {}, {}, changes), 1)


def test_candidates_are_ranked_by_verdict_then_by_gain():
    nan = float("nan")
    rising = [
        adapted(False),
        adapted(False, retrieval=0.3, round_trip=-0.1, true_positive_rate=-1.0),
        adapted(False, retrieval=0.4, round_trip=-0.1, true_positive_rate=-2.0),
        adapted(True, retrieval=0.01, round_trip=nan),
        adapted(True, retrieval=0.02, round_trip=nan),
    ]
    for reverse in (False, True):
        ranked = sorted(rising[::-1] if reverse else rising, key=module._rank)
        assert ranked == rising
