"""The training loop that every recipe shares: one optimiser, one schedule, checkpoints that resume to the same weights.

A task says what a batch is and what its loss is. Batches depend on the seed and the number of the step alone, so a run
that was broken off goes on as if nothing had happened, and there are no epochs to keep in step with.

Several processes may train together (`distributed`): each has its part of the batch, gradients and losses are averaged,
the first process keeps the checkpoint and the log.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import torch
from timm.optim.muon import Muon
from torch import Tensor, nn

from reid_pipeline.learning.code_version import code_version
from reid_pipeline.learning.depthwise import spare_wide_depthwise
from reid_pipeline.learning.distributed import average_over_ranks, rank
from reid_pipeline.learning.errors import Diverged, WorkFolderError
from reid_pipeline.learning.event_file import append_scalars

logger = logging.getLogger(__name__)

CHECKPOINT_NAME: Final = "checkpoint.pt"
LOG_NAME: Final = "log.ndjson"
_AHEAD: Final = 8  # batches prepared while one is learnt
_LOG_EVERY: Final = 50
_SAVE_SECONDS: Final = 120.0
_FEWEST_INPUTS: Final = 16  # of a layer whose weights are a matrix worth the name

_STATISTICS: Final = ("running_mean", "running_var")

Batch = TypeVar("Batch")
Losses = dict[str, Tensor]


class Task(Protocol[Batch]):
    """What is learnt: the network, its batches and its loss."""

    @property
    def network(self) -> nn.Module:
        """What is trained, in place."""
        ...

    def batch(self, step: int) -> Batch:
        """Makes the batch of one step, from the seed and the step alone; called in a thread of its own."""
        ...

    def losses(self, batch: Batch, device: torch.device) -> Losses | Iterator[Losses]:
        """The parts of the loss by name, scalars; their sum is what is minimised.

        A batch that is too much at once may be given piece by piece: the gradients of each piece are taken before the
        next is asked for, and add up.
        """
        ...

    def after_step(self) -> None:
        """Called when the weights have moved, for what a task keeps beside them."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how boldly.

    Attributes:
        steps: Number of steps in all.
        learning_rate: Peak of the rate: it rises linearly during `warm_up` steps and falls along a half cosine.
        weight_decay: Biases and norms are spared.
        warm_up: Steps.
        ema_decay: Decay of the running average of the weights, which is what is kept in the end.
        seed: Of the weights and the batches.
    """

    steps: int
    learning_rate: float
    weight_decay: float = 0.05
    warm_up: int = 100
    ema_decay: float = 0.999
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        Source: Loshchilov and Hutter, "SGDR", 2017, one cycle without restarts.
        """
        rising = min(1.0, (step + 1) / max(1, self.warm_up))
        return self.learning_rate * rising * 0.5 * (1.0 + math.cos(math.pi * step / self.steps))

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Muon for the matrices inside the network, AdamW for first and last layers, norms and depthwise filters.

        Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; its steps are scaled to
        those of AdamW after Liu et al., "Muon is Scalable for LLM Training", 2025, so that both share a learning rate.
        """
        matrices = _inner_matrices(network)
        inner = {id(weight) for weight in matrices}
        rest = [each for each in network.parameters() if each.requires_grad and id(each) not in inner]
        decaying, spared = [each for each in rest if each.ndim > 1], [each for each in rest if each.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": decaying, "weight_decay": self.weight_decay, "use_fallback": True},
            {"params": spared, "weight_decay": 0.0, "use_fallback": True},
        ]
        return Muon(groups, lr=self.learning_rate, nesterov=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: The step that ended, counted from 1.
        steps: Number of steps in all.
        losses: The parts of the loss by name, averaged since the last report.
    """

    step: int
    steps: int
    losses: dict[str, float]


class Trainer(Generic[Batch]):
    """Trains a task in a folder and goes on from the checkpoint that is there.

    Args:
        task: What is learnt.
        plan: How.
        folder: Gets the checkpoint and the log, one line for each `_LOG_EVERY` steps.
        device: Where; by default the first GPU, else the processor. Forward passes run in bfloat16.

    Raises:
        WorkFolderError: The checkpoint there is that of another plan or network.
    """

    def __init__(self, task: Task[Batch], plan: Plan, folder: Path, device: torch.device | None = None) -> None:
        self.task = task
        self.plan = plan
        self.folder = folder
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        task.network.to(self.device, memory_format=torch.channels_last)
        if self.device.type == "cpu":
            spare_wide_depthwise(task.network)
        self.average = deepcopy(task.network).eval()
        self.step = 0
        self._optimiser = plan.optimiser(task.network)
        self._resume()

    def run(self, report: Callable[[Progress], None] = lambda _: None, until: int | None = None) -> nn.Module:
        """Trains to the end of the plan, or to the step ``until``.

        Returns:
            The network with averaged weights, in inference mode.

        Raises:
            Diverged: The gradients are no numbers any more.
        """
        end = self.plan.steps if until is None else min(until, self.plan.steps)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.task.network.train()
        saved = logged = time.monotonic()
        recent: list[dict[str, float]] = []
        with _prepared(self.task.batch, range(self.step, end)) as batches:
            for batch in batches:
                recent.append(self._learn(batch))
                if self.step % _LOG_EVERY == 0:
                    self._log(recent, time.monotonic() - logged, report)
                    recent, logged = [], time.monotonic()
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.average

    def save(self) -> None:
        """Writes the checkpoint; a crash leaves the old one."""
        if rank() > 0:
            return
        part = self.folder / (CHECKPOINT_NAME + ".part")
        state = {
            "plan": repr(self.plan),
            "step": self.step,
            "made_by": {"code": code_version(), "seed": self.plan.seed, "task": type(self.task).__name__},
            "network": self.task.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT_NAME)

    def _learn(self, batch: Batch) -> dict[str, float]:
        for group in self._optimiser.param_groups:
            group["lr"] = self.plan.rate(self.step)
        self._optimiser.zero_grad()
        losses = self._differentiate(batch)
        average_over_ranks([each.grad for each in self.task.network.parameters() if each.grad is not None])
        average_over_ranks(list(losses.values()))
        norm = nn.utils.clip_grad_norm_(self.task.network.parameters(), 10.0)
        if not torch.isfinite(norm):
            raise Diverged(
                f"{self.folder}: step {self.step + 1}: the gradients are no numbers: "
                "try again from the last checkpoint, or anew with a lower training.learning_rate"
            )
        self._optimiser.step()
        self.task.after_step()
        self.step += 1
        update_average(self.average, self.task.network, min(self.plan.ema_decay, self.step / (self.step + 10)))
        return {name: float(value) for name, value in losses.items()}

    def _differentiate(self, batch: Batch) -> Losses:
        """Takes the gradients of a batch, of its pieces one after the other; gives the losses, added up."""
        sums: Losses = {}
        pieces = self._pieces(batch)
        while True:
            with torch.autocast(self.device.type, torch.bfloat16):
                losses = next(pieces, None)
            if losses is None:
                return sums
            torch.stack(list(losses.values())).sum().backward()
            for name, value in losses.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach().clone()

    def _pieces(self, batch: Batch) -> Iterator[Losses]:
        found = self.task.losses(batch, self.device)
        yield from (found,) if isinstance(found, dict) else found

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT_NAME
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["plan"] != repr(self.plan):
            raise WorkFolderError(
                f"{path}: made by another plan, {state['plan']}: expected {self.plan!r}: remove it to start anew"
            )
        try:
            self.task.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise WorkFolderError(f"{path}: made for another network: remove it to start anew") from error
        self.step = state["step"]
        logger.info("%s: goes on after step %d of %d", self.folder, self.step, self.plan.steps)

    def _log(self, recent: list[dict[str, float]], seconds: float, report: Callable[[Progress], None]) -> None:
        losses = {name: sum(each[name] for each in recent) / len(recent) for name in recent[0]}
        speed = len(recent) / max(seconds, 1e-9)
        entry = {"step": self.step, "rate": self.plan.rate(self.step), "steps_per_s": speed}
        if rank() == 0:
            with (self.folder / LOG_NAME).open("a") as log:
                log.write(json.dumps({**entry, **losses}) + "\n")
            append_scalars(self.folder, self.step, time.time(), {**entry, **losses})
        report(Progress(self.step, self.plan.steps, losses))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average towards the network by ``1 - decay``: parameters, and the statistics that belong to them.

    Statistics of batch normalisation that were the network's own would not fit averaged weights: at a high learning
    rate that cost an encoder 7 points of mAP. Other buffers are taken over as they are.
    """
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
    for (name, kept), fresh in zip(average.named_buffers(), network.buffers(), strict=True):
        if name.endswith(_STATISTICS):
            kept.lerp_(fresh, 1.0 - decay)
        else:
            kept.copy_(fresh)


def _inner_matrices(network: nn.Module) -> list[nn.Parameter]:
    """Weights of inner layers: a bias of their own marks the last ones, few inputs the first and depthwise ones."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights = [layer.weight for layer in layers if layer.bias is None and layer.weight.requires_grad]
    return [weight for weight in weights if weight.shape[1] >= _FEWEST_INPUTS]


@contextmanager
def _prepared(make: Callable[[int], Batch], steps: range) -> Iterator[Iterator[Batch]]:
    """Batches made ahead by a thread; what goes wrong there is raised here."""
    ready: queue.Queue[Batch | Exception] = queue.Queue(_AHEAD)
    ended = threading.Event()

    def work() -> None:
        for step in steps:
            try:
                made: Batch | Exception = make(step)
            except Exception as error:  # handed over, see above
                made = error
            while not ended.is_set():
                try:
                    ready.put(made, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if ended.is_set() or isinstance(made, Exception):
                return

    def take() -> Iterator[Batch]:
        for _ in steps:
            made = ready.get()
            if isinstance(made, Exception):
                raise made
            yield made

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        ended.set()
        thread.join()
