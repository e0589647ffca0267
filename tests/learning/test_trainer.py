import copy
import json
import math
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.configs.errors import UserError  # noqa: E402
from reid_pipeline.learning import trainer as trainer_module  # noqa: E402
from reid_pipeline.learning.code_version import code_version  # noqa: E402
from reid_pipeline.learning.errors import Diverged, WorkFolderError  # noqa: E402
from reid_pipeline.learning.event_file import FILE_NAME as EVENTS_NAME  # noqa: E402
from reid_pipeline.learning.trainer import CHECKPOINT_NAME, LOG_NAME, Plan, Trainer, update_average  # noqa: E402

pytestmark = pytest.mark.learning

CPU = torch.device("cpu")
PLAN = Plan(steps=6, learning_rate=0.01, warm_up=2)


class TinyTask:
    """Learns the mean brightness of noise."""

    def __init__(self, width=16, fails_at=None):
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, bias=False),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 1),
        )
        self.fails_at = fails_at
        self.made = []
        self.told = []

    def batch(self, step):
        if step == self.fails_at:
            raise OSError(f"batch {step} is torn")
        self.made.append(step)
        return torch.from_numpy(np.random.default_rng([7, step]).normal(0, 1, (4, 3, 8, 8)).astype(np.float32))

    def losses(self, batch, device):
        error = self.network(batch.to(device)).float()[:, 0] - batch.mean(dim=(1, 2, 3))
        parts = {"error": error.square().mean(), "size": 0.01 * error.abs().mean()}
        self.told.append({name: value.item() for name, value in parts.items()})
        return parts

    def after_step(self):
        pass


def train(folder, *stops, plan=PLAN):
    """Trains with breaks after some steps, each time with a new task; gives the last trainer."""
    for stop in (*stops, None):
        trainer = Trainer(TinyTask(), plan, folder, CPU)
        trainer.run(until=stop)
    return trainer


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_a_run_that_was_broken_off_ends_at_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole")
    broken = train(tmp_path / "broken", 1, 4)
    assert broken.task.made == [4, 5]
    assert broken.step == whole.step == 6
    assert same(whole.task.network, broken.task.network)
    assert same(whole.average, broken.average)
    assert not same(whole.average, TinyTask().network)


def test_a_finished_run_learns_nothing_more(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path)
    assert again.task.made == []
    assert same(first.average, again.average)


def test_until_0_learns_nothing(tmp_path):
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    assert same(trainer.run(until=0), TinyTask().network)


def test_the_loss_falls(tmp_path):
    trainer = Trainer(TinyTask(), Plan(steps=40, learning_rate=0.05, warm_up=2), tmp_path, CPU)
    trainer.run()
    errors = [told["error"] for told in trainer.task.told]
    assert np.mean(errors[-5:]) < 0.5 * np.mean(errors[:5])


def test_what_goes_wrong_in_a_batch_is_raised_and_the_thread_ends(tmp_path):
    task = TinyTask(fails_at=3)
    with pytest.raises(OSError, match="batch 3 is torn"):
        Trainer(task, PLAN, tmp_path, CPU).run()
    assert len(task.told) == 3
    assert "batches" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_ends_when_learning_fails(tmp_path):
    task = TinyTask()
    task.losses = lambda batch, device: {"error": torch.zeros(())}  # nothing to learn from
    with pytest.raises(RuntimeError):
        Trainer(task, Plan(steps=1000, learning_rate=0.01), tmp_path, CPU).run()
    assert "batches" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("task", "plan", "message"),
    [
        (
            TinyTask,
            Plan(steps=7, learning_rate=0.01, warm_up=2),
            r"made by another plan, Plan\(steps=6, .*Plan\(steps=7",
        ),
        (lambda: TinyTask(width=5), PLAN, "made for another network"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, task, plan, message):
    train(tmp_path)
    with pytest.raises(WorkFolderError, match=rf"checkpoint\.pt: {message}.*: remove it to start anew$") as caught:
        Trainer(task(), plan, tmp_path, CPU)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    trainer.run(until=2)

    def save_half(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_half)
        with pytest.raises(OSError, match="disk full"):
            trainer.run(until=4)
    assert Trainer(TinyTask(), PLAN, tmp_path, CPU).step == 2


def test_gradients_that_are_no_numbers_end_the_run(tmp_path):
    Trainer(TinyTask(), PLAN, tmp_path, CPU).run(until=2)
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    trainer.task.batch = lambda step: torch.full((4, 3, 8, 8), torch.nan)
    with pytest.raises(Diverged, match=r"step 3: the gradients are no numbers: try again from the last checkpoint"):
        trainer.run()
    assert Trainer(TinyTask(), PLAN, tmp_path, CPU).step == 2


def test_checkpoints_are_written_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_SAVE_SECONDS", -1.0)
    with pytest.raises(OSError, match="torn"):
        Trainer(TinyTask(fails_at=3), PLAN, tmp_path, CPU).run()
    assert Trainer(TinyTask(), PLAN, tmp_path, CPU).step == 3


def test_a_checkpoint_says_what_made_it(tmp_path):
    Trainer(TinyTask(), PLAN, tmp_path, CPU).run(until=1)
    made_by = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)["made_by"]
    assert made_by == {"code": code_version(), "seed": PLAN.seed, "task": "TinyTask"}


def test_the_rate_by_hand():
    plan = Plan(steps=100, learning_rate=0.2, warm_up=10)
    assert plan.rate(0) == pytest.approx(0.02)
    assert plan.rate(4) == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 0.04)))
    assert plan.rate(50) == pytest.approx(0.1)
    assert plan.rate(100) == pytest.approx(0.0)
    falling = [plan.rate(step) for step in range(9, 101)]
    assert falling == sorted(falling, reverse=True)
    assert Plan(steps=10, learning_rate=0.2, warm_up=0).rate(0) == pytest.approx(0.2)


def test_each_step_is_learnt_at_its_rate(tmp_path):
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    trainer.run(until=4)
    state = torch.load(tmp_path / CHECKPOINT_NAME, weights_only=True)
    assert {group["lr"] for group in state["optimiser"]["param_groups"]} == {PLAN.rate(3)}


def test_inner_matrices_are_moved_alike_in_all_directions(tmp_path):
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    before = {name: value.detach().clone() for name, value in trainer.task.network.named_parameters()}
    for value in trainer.task.network.parameters():
        value.grad = torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
        value.grad.view(-1)[0] = 100.0  # one direction stands out
    trainer._optimiser.step()
    spread = {}
    for name in ("0.weight", "3.weight"):
        kept = before[name] * (1 - 0.05 * PLAN.learning_rate)
        moved = torch.linalg.svdvals((trainer.task.network.get_parameter(name).detach() - kept).flatten(1))
        spread[name] = float(moved[0] / moved[-1])
    assert spread["3.weight"] < 2.0  # Newton and Schulz leave singular values between 0.7 and 1.2
    assert spread["0.weight"] > 2.5  # pixels are met by AdamW


def test_the_average_in_closed_form():
    network, average = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        network.weight.fill_(5.0)
        average.weight.fill_(1.0)
        network.running_mean.fill_(9.0)
    for _ in range(4):
        update_average(average, network, 0.8)
    torch.testing.assert_close(average.weight, torch.full((3,), 5.0 - 4.0 * 0.8**4))
    torch.testing.assert_close(average.running_mean, torch.full((3,), 9.0 - 9.0 * 0.8**4))
    network.num_batches_tracked.fill_(7)
    update_average(average, network, 0.8)
    assert average.num_batches_tracked == 7


def test_the_average_starts_out_quickly(tmp_path):
    start = copy.deepcopy(TinyTask().network)
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    trainer.run(until=1)
    moved = trainer.task.network[6].weight
    torch.testing.assert_close(trainer.average[6].weight, start[6].weight + (moved - start[6].weight) * 10 / 11)


def test_biases_and_norms_do_not_decay(tmp_path):
    trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
    decays = {id(each): group["weight_decay"] for group in trainer._optimiser.param_groups for each in group["params"]}
    assert {name: decays[id(each)] for name, each in trainer.task.network.named_parameters()} == {
        "0.weight": 0.05,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.05,
        "6.weight": 0.05,
        "6.bias": 0.0,
    }


def test_the_log_holds_the_means_since_its_last_line(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_LOG_EVERY", 2)
    reports = []
    told = []
    for stop in (3, None):  # the second run begins in the middle of a line
        trainer = Trainer(TinyTask(), PLAN, tmp_path, CPU)
        trainer.run(reports.append, until=stop)
        told += trainer.task.told
    lines = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert [line["rate"] for line in lines] == [PLAN.rate(step) for step in (2, 4, 6)]
    for line, steps in zip(lines, ([0, 1], [3], [4, 5]), strict=True):
        for name in ("error", "size"):
            assert line[name] == pytest.approx(np.mean([told[step][name] for step in steps]))
    assert [(report.step, report.steps, report.losses["error"]) for report in reports] == [
        (line["step"], 6, line["error"]) for line in lines
    ]


def test_a_batch_in_pieces_has_the_gradients_of_the_whole(tmp_path):
    whole, pieces = (Trainer(TinyTask(), PLAN, tmp_path / name, CPU) for name in ("whole", "pieces"))
    losses = pieces.task.losses

    def piece_by_piece(batch, device):
        for name in ("error", "size"):
            yield {name: losses(batch, device)[name]}

    pieces.task.losses = piece_by_piece
    batch = whole.task.batch(0)
    first, second = whole._differentiate(batch), pieces._differentiate(batch)
    assert {name: value.item() for name, value in first.items()} == pytest.approx(
        {name: value.item() for name, value in second.items()}
    )
    for name in ("0.weight", "3.weight", "6.weight"):  # biases before a norm have none
        one, other = (each.task.network.get_parameter(name).grad for each in (whole, pieces))
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02 * float(one.abs().max()))


def test_the_log_is_written_for_tensorboard_too(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_LOG_EVERY", 2)
    train(tmp_path)
    events = (tmp_path / EVENTS_NAME).read_bytes()
    assert events.count(b"error") == events.count(b"size") == 3
