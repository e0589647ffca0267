"""From a site's crops to a better encoder for it: train, weaken, examine, decide.

    corpus -> Material -> train and held-out (`material`)
      -> a method's task in rounds (`adapt_site`, `adapt_scl`) -> averaged weights
      -> mixed with the old ones in several shares -> model folders
      -> each against the serving encoder on the held-out tracklets (`label_free`, `gate`)
      -> the best that passes is promoted; else the old one goes on serving

Source: weights mixed with the old ones after Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import nn

from reid_pipeline.learning.calibration import measure_different
from reid_pipeline.learning.crop_pool import Pool
from reid_pipeline.learning.distil_encoder import draw_crops
from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.errors import ThinMaterial, TrainingError
from reid_pipeline.learning.export import Provenance, export_encoder
from reid_pipeline.learning.gate import GateSettings, Verdict, judge, measure_noise
from reid_pipeline.learning.label_free import Evidence, examine
from reid_pipeline.learning.material import Material, hold_out
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.learning.trainer import Batch, Plan, Progress, Task, Trainer
from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.pipeline.protocols import Encoder
from reid_pipeline.storage.model_card import Model, write_card

SITE_CROPS: Final = "crops of the site"  # in `trained_on` of what was adapted
ROUNDS_NAME: Final = "rounds.ndjson"
FEWEST_TRACKLETS: Final = 200  # with fewer there is too little to learn from
_SETTLING: Final = 20  # batches that statistics are measured on
_TRIED: Final = 6  # steps that the speed is taken from, after the first
_CHUNK: Final = 256
_ROUND_PASSES: Final = 1.5  # how often a round sees each crop
_ROUND_STEPS: Final = (40, 400)
_MOST_OF_BUDGET: Final = 1.25  # how much longer than planned it may learn


class RoundTask(Task[Batch], Protocol[Batch]):
    """A task that learns in rounds: before each it looks at all tracklets anew."""

    def begin_round(self, teacher: nn.Module, device: torch.device) -> dict[str, float]:
        """Prepares the next round by the features of the averaged network; gives figures for the log."""
        ...


@dataclass(frozen=True, slots=True)
class AdaptPlan:
    """How much is learnt, and how boldly.

    Attributes:
        budget_s: Seconds for the training; examining comes on top.
        learning_rate: See `trainer.Plan`.
        batch: Crops a step.
        shares: Of the new weights, to be tried; the rest is the old ones'.
        seed: Of everything random.
        ema_decay: See `trainer.Plan`.
    """

    budget_s: float
    learning_rate: float
    batch: int
    shares: Sequence[float] = (1.0, 0.75, 0.5)
    seed: int = 0
    ema_decay: float = 0.999


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it.

    Attributes:
        model: The best candidate, exported.
        share: Of the new weights in it.
        verdict: What the gate says of it.
        steps: How many were learnt.
    """

    model: Model
    share: float
    verdict: Verdict
    steps: int


def split(material: Material) -> tuple[Material, Material]:
    """What is trained on, and what is held out.

    Raises:
        ThinMaterial: There is too little.
    """
    if len(material) < FEWEST_TRACKLETS:
        raise ThinMaterial(
            f"the corpus has {len(material)} tracklets: expected at least {FEWEST_TRACKLETS}: let `run` collect more"
        )
    return hold_out(material)


def learn(
    task: RoundTask[Batch],
    plan: AdaptPlan,
    crops: Pool,
    work: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> tuple[nn.Module, int]:
    """Learns for the budget; goes on where an earlier call was broken off.

    Where the machine has become slower since the steps were counted, it ends after the round in which a quarter more
    than the budget is used up.

    Args:
        task: What is learnt.
        plan: How long and how boldly.
        crops: ``(N, H, W, 3) uint8``, all that is trained on.
        work: Folder of the checkpoint, the log and the number of steps.
        report: Told of every few steps.

    Returns:
        The averaged network, on the processor, and the number of steps that it learnt.
    """
    length = int(np.clip(_ROUND_PASSES * len(crops) / plan.batch, *_ROUND_STEPS))
    steps = _steps(task, plan, length, work)
    trainer = Trainer(
        task,
        Plan(steps, plan.learning_rate, warm_up=min(100, steps // 4), ema_decay=plan.ema_decay, seed=plan.seed),
        work,
    )
    late_s = time.monotonic() + _MOST_OF_BUDGET * plan.budget_s
    begun = trainer.step
    while trainer.step < steps and (trainer.step == begun or time.monotonic() < late_s):
        if trainer.step:
            settle_statistics(trainer.average, crops, plan, trainer.device)
        figures = task.begin_round(trainer.average, trainer.device)
        with (work / ROUNDS_NAME).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": trainer.step, **figures}) + "\n")
        trainer.run(report, until=(trainer.step // length + 1) * length)
    settle_statistics(trainer.average, crops, plan, trainer.device)
    return trainer.average.cpu(), trainer.step


@torch.no_grad()
def settle_statistics(network: nn.Module, crops: Pool, plan: AdaptPlan, device: torch.device) -> None:
    """Measures the statistics of batch normalisation anew: those of averaged weights are not the average.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2.
    """
    layers = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean
    network.train()
    for batch in draw_crops(crops, _SETTLING, plan.batch, plan.seed):
        with torch.autocast(device.type, torch.bfloat16):
            network(normalise(torch.from_numpy(batch).to(device)))
    network.eval()
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum


def _steps(task: RoundTask[Batch], plan: AdaptPlan, length: int, work: Path) -> int:
    """How many steps fit into the budget on this machine; noted, so that a resumed training has the same plan."""
    note = work / "steps.txt"
    if not note.is_file():
        work.mkdir(parents=True, exist_ok=True)
        part = note.with_suffix(".part")
        part.write_text(f"{_measure_steps(task, plan, length)}\n")
        part.replace(note)
    return int(note.read_text())


def _measure_steps(task: RoundTask[Batch], plan: AdaptPlan, length: int) -> int:
    kept = deepcopy(task.network.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(task, Plan(1 + _TRIED, plan.learning_rate, seed=plan.seed), Path(folder))
        begin = time.monotonic()
        task.begin_round(trainer.average, trainer.device)
        round_s = time.monotonic() - begin
        trainer.run(until=1)
        begin = time.monotonic()
        trainer.run()
        step_s = (time.monotonic() - begin) / _TRIED
    task.network.load_state_dict(kept)
    return max(length, int(plan.budget_s / (step_s + round_s / length)))


def mix(old: nn.Module, new: nn.Module, share: float) -> nn.Module:
    """A network with ``share`` of the new weights and statistics, the rest the old ones'."""
    mixed = deepcopy(new)
    before = old.state_dict()
    after = {
        name: torch.lerp(before[name], value, share) if value.is_floating_point() else value
        for name, value in new.state_dict().items()
    }
    mixed.load_state_dict(after)
    return mixed


@dataclass(frozen=True, slots=True)
class Examiner:
    """Exports candidates and examines them against the serving encoder, both as the pipeline runs them.

    Attributes:
        serving: The model that serves.
        held_out: Tracklets that nobody was trained on.
        models: Folder that candidates are written into.
        settings: Of the gate.
    """

    serving: Model
    held_out: Material
    models: Path
    settings: GateSettings = field(default_factory=GateSettings)

    def choose(
        self, old: EncoderNetwork, new: EncoderNetwork, name: str, plan: AdaptPlan, steps: int, crops: Pool
    ) -> Adapted:
        """Tries the shares of a plan and returns the best that passes; where none does, the first one and why."""
        encoder = build_encoder(str(self.serving.graph.parent))
        before = self.evidence(encoder)
        noise = measure_noise(before, [self.evidence(encoder, change) for change in _HARMLESS])
        # Of several tries the best one is taken: the doubt is shared among them.
        settings = replace(self.settings, noise=noise, doubt=self.settings.doubt / len(plan.shares))
        tried = []
        for share in plan.shares:
            mixed = mix(old, new, share)
            settle_statistics(mixed, crops, plan, torch.device("cpu"))
            model = self._export(mixed, f"{name}-{round(100 * share)}")
            verdict = judge(before, self.evidence(build_encoder(str(model.graph.parent))), settings)
            tried.append(Adapted(model, share, verdict, steps))
        best = max(tried, key=_rank)
        for each in tried:
            if each is not best:
                shutil.rmtree(each.model.graph.parent)
        return replace(best, model=_calibrated(best.model, crops, plan.seed))

    def evidence(self, encoder: Encoder, change: Callable[[Pool], Pool] = lambda crops: crops) -> Evidence:
        """Examines an encoder on the held-out tracklets, whose crops may be changed before."""
        return examine(encode_all(encoder, change(self.held_out.crops)), self.held_out)

    def _export(self, network: nn.Module, name: str) -> Model:
        card = self.serving.card
        if card is None or card.output.dim is None:
            raise TrainingError(f"{self.serving.name}: expected an encoder with a card")
        sources = tuple(dict.fromkeys((*card.trained_on, SITE_CROPS)))
        provenance = Provenance(card.licence, sources, self.serving.identity, network=card.network)
        return export_encoder(network, card.input, card.output.dim, self.models / name, name, provenance)


def _calibrated(model: Model, crops: Pool, seed: int) -> Model:
    """Adds to the card how alike two different people of the site are to the encoder: where a run begins."""
    if model.card is None:
        return model
    different = measure_different(build_encoder(str(model.graph.parent)), [crops], seed)
    return write_card(model.card.model_copy(update={"calibration": {"different": different}}), model.graph.parent)


def _rank(each: Adapted) -> tuple[bool, float]:
    """By verdict, then by what was gained in all; what could not be measured counts as no gain."""
    gains = [change.gain for name, change in each.verdict.changes.items() if name != "true_positive_rate"]
    return each.verdict.promoted, float(np.nansum(gains))


def encode_all(encoder: Encoder, crops: Pool) -> Embeddings:
    """Embeddings ``(N, D)`` of crops ``(N, H, W, 3)``."""
    parts = [encoder.encode(list(crops[begin : begin + _CHUNK])) for begin in range(0, len(crops), _CHUNK)]
    return np.concatenate(parts)


def _mirror(crops: Pool) -> Pool:
    return np.ascontiguousarray(crops[:, :, ::-1])


def _shift(crops: Pool) -> Pool:
    """By one pixel to the right and down, the edge twice."""
    return np.pad(crops, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")[:, :-1, :-1]


# What changes nothing in who is on a crop: what the figures differ by then is noise.
_HARMLESS: Final[tuple[Callable[[Pool], Pool], ...]] = (_mirror, _shift)
