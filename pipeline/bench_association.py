"""`reid-pipeline bench association`: how fast it is decided who somebody is, among very many people, on one core.

The looks are random. A camera sees several tracklets at a time, half of them of people who are known, and all of them
end at once, so that each has to be decided. The first pass decides, as in a run: about what four of twenty cameras have
seen in the last quarter of the memory, which is 5 % of all.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import psutil
from rich.console import Console

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.bench import Bar, show_bars
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.gallery_shelf import Prototypes
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate, TrackletView

DIM: Final = 256
CAMERAS: Final = 20
MOMENTS: Final = 20  # at which the cameras have seen people, spread over the memory
NEAR: Final = 4  # cameras from which somebody can come
RECENT: Final = 5  # newest moments from which somebody can come: 4 of 20 cameras and 5 of 20 moments are 5 %
BATCH: Final = 16  # tracklets at a time
ROUNDS: Final = 12
UPDATES: Final = 25  # in a round
BAR_PROTOTYPES: Final = 1_000_000  # from which the figures have to reach their bars
_SHOWN: Final = 64  # people of each camera who come again
_NOISE: Final = 0.75  # their similarity to before is 0.8
_MEMORY_US: Final = AssociationSettings().memory // timedelta(microseconds=1)
_NOW_US: Final = 10 * _MEMORY_US


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        prototypes: How many there were.
        eligible: With how many each tracklet was compared.
        batch: Tracklets at a time.
        decisions_s: Decisions a second.
        p99_ms: 99th percentile over the decisions of the time that all those took that were made together.
        cost_ratio: Time of a decision about 1 % of the prototypes, over that in a gallery that holds nothing else.
        recognised: Which part of the people known was recognised.
        memory_mb: Memory that the gallery took.
    """

    prototypes: int
    eligible: int
    batch: int
    decisions_s: float
    p99_ms: float
    cost_ratio: float
    recognised: float
    memory_mb: float

    def bars(self) -> list[Bar]:
        """The figures, and what they have to reach where there are very many prototypes."""
        named = [Bar(name, float(getattr(self, name)), "") for name in self.__slots__]
        if self.prototypes < BAR_PROTOTYPES:
            return named
        judged = {
            "decisions_s": (">= 1000", self.decisions_s >= 1000),
            "p99_ms": ("< 25", self.p99_ms < 25),
            "cost_ratio": ("<= 1.5", self.cost_ratio <= 1.5),
        }
        return [Bar(bar.name, bar.value, bar.unit, *judged.get(bar.name, ("", None))) for bar in named]


def bench_association_command(prototypes: int, *, json_output: bool) -> int:
    """Measures, shows a table, and prints JSON where asked; returns 1 when a bar is missed."""
    console = Console(stderr=True)
    with one_core(), console.status(f"measuring decisions among {prototypes} prototypes"):
        bars = measure(prototypes).bars()
    passed = all(bar.passed is not False for bar in bars)
    show_bars(bars, console)
    if json_output:
        fields = {bar.name: round(bar.value, 4) for bar in bars}
        sys.stdout.write(json.dumps({**fields, "passed": passed}) + "\n")
    return 0 if passed else 1


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process on one core while the block runs, where the system lets it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def measure(prototypes: int) -> Figures:
    """Measures decisions in a gallery, in turn with those in one that holds 1 % of it."""
    process = psutil.Process()
    Gallery(DIM, _MEMORY_US)  # loads its library, which is not its memory
    before = process.memory_info().rss
    crowd = _Crowd(prototypes, CAMERAS, MOMENTS)
    memory = process.memory_info().rss - before
    small = _Crowd(prototypes // 100, NEAR, 1)
    whole, part, alone = players = _Player(crowd, RECENT), _Player(crowd, 1), _Player(small, 1)
    for player in players:
        player.play(UPDATES // 5)  # slower than all that follow
        player.forget_figures()
    for _ in range(ROUNDS):
        for player in players:
            player.play(UPDATES)
    return Figures(
        prototypes=prototypes,
        eligible=whole.compared,
        batch=BATCH,
        decisions_s=BATCH * len(whole.seconds) / sum(whole.seconds),
        p99_ms=1e3 * float(np.percentile(whole.seconds, 99)),
        cost_ratio=statistics.median(part.seconds) / statistics.median(alone.seconds),
        recognised=whole.right / whole.known,
        memory_mb=memory / 1e6,
    )


class _Crowd:
    """Prototypes, as many in each camera and moment, one for each identity."""

    def __init__(self, prototypes: int, cameras: int, moments: int) -> None:
        self.cameras = [f"camera{number}" for number in range(cameras)]
        self.gallery = Gallery(DIM, _MEMORY_US)
        self.shown: dict[str, tuple[list[int], Look]] = {}  # some of those seen last
        self.size = 0
        rng = np.random.default_rng(0)
        shares = np.diff(np.linspace(0, prototypes, cameras * moments + 1).astype(int)).reshape(moments, cameras)
        for moment in range(moments):
            time_us = _moment_us(moments - 1 - moment)
            for camera, count in zip(self.cameras, shares[moment].tolist(), strict=True):
                self._add(camera, time_us, _units(rng.standard_normal((count, DIM), np.float32)))

    def _add(self, camera: str, time_us: int, looks: Look) -> None:
        identities = np.arange(self.size + 1, self.size + 1 + len(looks))
        self.size += len(looks)
        self.gallery.put(camera, time_us, Prototypes(identities, looks, np.ones(len(looks), np.float32)))
        self.shown[camera] = identities[:_SHOWN].tolist(), looks[:_SHOWN].copy()


class _Player:
    """Tracklets walk by, and it is measured how long their decisions take.

    Args:
        crowd: Who is known.
        recent: From how many of the newest moments somebody can come.
    """

    def __init__(self, crowd: _Crowd, recent: int) -> None:
        self._crowd = crowd
        self._longest_us = _NOW_US - _moment_us(recent - 1)
        different = (0.0, DIM**-0.5)  # of random looks
        self._associator = PrototypeAssociator(crowd.gallery, crowd.size + 1, different, self._reach)
        self._rng = np.random.default_rng(1)
        self._number = 0
        self.compared = 0
        self.forget_figures()

    def forget_figures(self) -> None:
        """Begins to measure anew."""
        self.seconds: list[float] = []
        self.known = self.right = 0

    def play(self, updates: int) -> None:
        """Measures so many updates of one camera each."""
        for _ in range(updates):
            camera = int(self._rng.integers(len(self._crowd.cameras)))
            truth, looks = self._draw(camera)
            update = self._update(self._crowd.cameras[camera], looks)
            start = time.perf_counter()
            decisions = self._associator.update(update)
            self.seconds.append(time.perf_counter() - start)
            self._count(update, truth, decisions)

    def _count(self, update: TrackletUpdate, truth: list[int], decisions: list[Decision]) -> None:
        identities = {decision.tracklet: decision.identity for decision in decisions}
        self.known += len(truth)
        for number, identity in zip(update.seen, truth, strict=False):
            self.right += identities[update.camera, number] == identity
        self.compared = int(str(decisions[0].evidence["people"]))

    def _draw(self, camera: int) -> tuple[list[int], Look]:
        """Looks ``(BATCH, D)``; the first ones are of people known, who are told."""
        near = self._near(camera)
        identities, looks = self._crowd.shown[near[int(self._rng.integers(len(near)))]]
        chosen = self._rng.permutation(len(identities))[: BATCH // 2].tolist()
        again = looks[chosen] + _NOISE * _units(self._rng.standard_normal((len(chosen), DIM), np.float32))
        strangers = self._rng.standard_normal((BATCH - len(chosen), DIM), np.float32)
        return [identities[each] for each in chosen], np.concatenate([_units(again), _units(strangers)])

    def _update(self, camera: str, looks: Look) -> TrackletUpdate:
        numbers = tuple(range(self._number, self._number + len(looks)))
        self._number += len(looks)
        started = tuple((number, self._number) for number in numbers)
        views = tuple(TrackletView(number, look, 1.0) for number, look in zip(numbers, looks, strict=True))
        return TrackletUpdate(camera, self._number, _NOW_US, started, numbers, views, numbers)

    def _near(self, camera: int) -> list[str]:
        return [self._crowd.cameras[(camera + way) % len(self._crowd.cameras)] for way in range(NEAR)]

    def _reach(self, before: str, now: str) -> tuple[int, int] | None:
        return (0, self._longest_us) if before in self._near(self._crowd.cameras.index(now)) else None


def _moment_us(age: int) -> int:
    """When people were seen: 0 is the newest moment."""
    return _NOW_US - _MEMORY_US * (2 * age + 1) // (2 * MOMENTS)


def _units(looks: Look) -> Look:
    """Looks ``(N, D)`` of norm 1."""
    units: Look = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    return units
