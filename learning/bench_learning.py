"""`reid-pipeline bench learning`: how fast encoders are adapted on this machine, and sites grouped to people.

Each method learns with the bundled encoder on random crops, its own batches and what comes with them; the methods take
turns, and each figure is the median of its turns, because machines are noisy.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from reid_pipeline.learning.adapt import RoundTask
from reid_pipeline.learning.adapt_scl import SclSettings, SclTask
from reid_pipeline.learning.adapt_site import SiteSettings, SiteTask
from reid_pipeline.learning.bench_clustering import Grouped, measure_grouping
from reid_pipeline.learning.cluster_contrast import ClusterContrastTask, ContrastSettings
from reid_pipeline.learning.crop_pool import Size
from reid_pipeline.learning.graph_weights import rebuild_encoder
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.memory import Memory, read_memory
from reid_pipeline.learning.part_network import PartNetwork
from reid_pipeline.learning.trainer import Plan, Trainer
from reid_pipeline.pipeline.bench import Bar, show_bars
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.storage.model_card import load_model

PEOPLE, VISITS, CROPS, CAMERAS = 60, 4, 2, 4  # of the random site
TURNS: Final = 3
STEPS: Final = 4  # of a turn
BAR_TRACKLETS: Final = 100_000  # from which the grouping has to reach its bars
BAR_S, BAR_MB = 300.0, 4000.0
_RATE: Final = 1e-5  # whatever is learnt here is nonsense: it is not to go far

Make = Callable[[PartNetwork, Material], RoundTask[Any]]


def bench_learning_command(tracklets: int, *, json_output: bool) -> int:
    """Measures, shows a table, and prints JSON where asked; returns 1 when a bar is missed."""
    console = Console(stderr=True)
    with console.status(f"grouping {tracklets} tracklets"):
        bars = grouping_bars(measure_grouping(tracklets))
    with console.status("learning"):
        bars += measure_learning()
    passed = all(bar.passed is not False for bar in bars)
    show_bars(bars, console)
    if json_output:
        values = {bar.name: round(bar.value, 4) for bar in bars}
        sys.stdout.write(json.dumps({**values, "device": _device(), "passed": passed}) + "\n")
    return 0 if passed else 1


def grouping_bars(grouped: Grouped) -> list[Bar]:
    """The figures, and what they have to reach where there are very many tracklets."""
    seconds = grouped.nearest_s + grouped.grouping_s
    bars = [Bar(field.name, float(getattr(grouped, field.name)), "") for field in fields(Grouped)]
    if grouped.tracklets < BAR_TRACKLETS:
        return [*bars, Bar("clustering_s", seconds, "s")]
    bars = [bar for bar in bars if bar.name != "peak_mb"]
    return [
        *bars,
        Bar("clustering_s", seconds, "s", f"< {BAR_S:g}", seconds < BAR_S),
        Bar("peak_mb", grouped.peak_mb, "MB", f"< {BAR_MB:g}", grouped.peak_mb < BAR_MB),
    ]


def measure_learning() -> list[Bar]:
    """Seconds of a round's beginning, steps and crops a second of each method."""
    model = load_model(find_model("bundled", "encoder"))
    if model.card is None:
        raise TypeError("the bundled encoder has no card")
    material = draw_site((model.card.input.height, model.card.input.width))
    with tempfile.TemporaryDirectory() as folder:
        learners = []
        for name, make in METHODS.items():
            encoder = rebuild_encoder(model)
            task = make(PartNetwork(encoder, encoder.backbone.num_features), material)
            learners.append(Learner(name, task, Path(folder) / name))
        for _ in range(TURNS):
            for learner in learners:
                learner.learn()
    return [bar for learner in learners for bar in learner.bars()]


def draw_site(size: Size) -> Material:
    """Random tracklets: a person is a few stripes of colour, in another light at each visit."""
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.arange(PEOPLE * VISITS) // VISITS)
    colours = rng.integers(30, 226, (PEOPLE, 6, 3))
    stripes = np.arange(size[0]) * 6 // size[0]
    tracklets = np.repeat(np.arange(len(owner)), CROPS)
    plain = np.repeat(colours[owner[tracklets]][:, stripes, None], size[1], axis=2)
    crops = plain * rng.uniform(0.7, 1.0, (len(plain), 1, 1, 1)) + rng.normal(0, 8, plain.shape)
    first = np.arange(len(owner)) * 1_000_000
    return Material(
        crops=crops.clip(0, 255).astype(np.uint8),
        tracklets=tracklets,
        times_us=first[tracklets] + np.tile(np.arange(CROPS), len(owner)),
        cameras=rng.integers(0, CAMERAS, len(owner)),
        camera_names=tuple(f"camera{number}" for number in range(CAMERAS)),
        runs=np.zeros(len(owner), np.int64),
        first_us=first,
        last_us=first + 500_000,
    )


class Learner:
    """One method that learns, a few steps a turn.

    Args:
        name: Of the method.
        task: What it learns.
        folder: For its checkpoint.
    """

    def __init__(self, name: str, task: RoundTask[Any], folder: Path) -> None:
        self._name = name
        self._task = task
        self._trainer = Trainer(task, Plan(TURNS * STEPS + 1, _RATE), folder)
        self._seconds: list[float] = []
        begin = time.perf_counter()
        task.begin_round(self._trainer.average, self._trainer.device)
        self._round_s = time.perf_counter() - begin
        self._trainer.run(until=1)  # slower than all that follow

    def learn(self) -> None:
        """Measures a turn."""
        begin = time.perf_counter()
        self._trainer.run(until=self._trainer.step + STEPS)
        self._seconds.append((time.perf_counter() - begin) / STEPS)

    def bars(self) -> list[Bar]:
        """The figures."""
        step_s = statistics.median(self._seconds)
        crops = len(self._task.batch(0).crops)
        return [
            Bar(f"{self._name}_round_s", self._round_s, "s"),
            Bar(f"{self._name}_steps_s", 1.0 / step_s, "steps/s"),
            Bar(f"{self._name}_crops_s", crops / step_s, "crops/s"),
        ]


def _site(network: PartNetwork, material: Material) -> RoundTask[Any]:
    size = (material.crops.shape[1], material.crops.shape[2])
    memory = Memory(network, read_memory(size), torch.device("cpu"))
    return SiteTask(network, material, SiteSettings(), 0, memory)


METHODS: Final[dict[str, Make]] = {
    "site": _site,
    "scl": lambda network, material: SclTask(network, material, SclSettings(), 0),
    "cluster_contrast": lambda network, material: ClusterContrastTask(network, material, ContrastSettings(), 0),
}


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"
