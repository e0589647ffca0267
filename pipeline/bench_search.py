"""`reid-pipeline bench search`: how fast and how surely the vector index finds who looks most alike, among very many.

Identities are random directions, each seen 20 times, at times and in cameras drawn at random, with the spread that one
person's looks have on real crops. What is searched for is one more sighting of some of them. The truth is the exact
search among all that pass the same filter; it is found block by block while the index is built, so that the vectors are
never all in memory. A PostgreSQL with pgvector can be asked the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.bench import Bar, show_bars
from reid_pipeline.pipeline.bench_pgvector import EF_SEARCH, PgvectorTable, open_table
from reid_pipeline.storage.vector_index import Entries, Ids, IndexFilter, Neighbours, best_of
from reid_pipeline.storage.vector_index_ivf import MOST_ROWS, SegmentedIndex

DIM: Final = 256
SIGHTINGS: Final = 20  # of each identity
CAMERAS: Final = 20
QUERIES: Final = 400
NEIGHBOURS: Final = 10
# How alike a sighting is to the direction of its identity: drawn from this beta distribution, so that two sightings
# have a similarity of 0.61, with a deviation of 0.17. So it is of the encoder `bundled` on Market-1501's query and test
# pictures: 13,489 pairs of one person in two cameras, 0.608 and 0.168.
LIKENESS: Final = (5.4, 1.5)
_WARM_UP: Final = 20
_ROWS_AT_ONCE: Final = 50_000
_STEP_US: Final = 1_000_000
_BAR: Final = {1_000_000: (15.0, 0.98, 600.0), 10_000_000: (60.0, 0.95, None)}  # p99, recall, bytes each
_BUILD_BAR_S: Final = 1200.0  # of ten millions

Truth = Mapping[str, NDArray[np.int64]]
Search = Callable[[Look, IndexFilter], Ids]  # of the `NEIGHBOURS` most alike to one look, as many as there are


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast and how surely it was found, by the part that a filter keeps.

    Attributes:
        p99_ms: 99th percentile over queries, one at a time.
        recall10: Part of the ten nearest that was found.
    """

    p99_ms: Mapping[str, float]
    recall10: Mapping[str, float]

    def rounded(self) -> dict[str, dict[str, float]]:
        """As JSON has it."""
        return {
            "p99_ms": {part: round(value, 3) for part, value in self.p99_ms.items()},
            "recall10": {part: round(value, 4) for part, value in self.recall10.items()},
        }


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """What was measured of pgvector.

    Attributes:
        versions: Of pgvector and the server.
        iterates: Whether a search goes on until enough have passed its filter.
        speeds: By `ef_search`, how many candidates a search keeps.
        bytes_each: Of the table and its indices, for one embedding.
        load_s: How long the embeddings were copied.
        build_s: How long the HNSW index was built.
    """

    versions: str
    iterates: bool
    speeds: Mapping[int, Speed]
    bytes_each: float
    load_s: float
    build_s: float

    def bars(self) -> list[Bar]:
        """The figures, without bars."""
        speeds = [
            Bar(f"pgvector, ef_search {kept}: {name}, {part} pass", value, "ms" if name == "p99_ms" else "")
            for kept, speed in self.speeds.items()
            for name in Speed.__slots__
            for part, value in getattr(speed, name).items()
        ]
        rest = (("bytes each", self.bytes_each, "B"), ("load", self.load_s, "s"), ("build", self.build_s, "s"))
        return [*speeds, *(Bar(f"pgvector: {name}", value, unit) for name, value, unit in rest)]

    def rounded(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "versions": self.versions,
            "iterative_scan": self.iterates,
            "ef_search": {str(kept): speed.rounded() for kept, speed in self.speeds.items()},
            "bytes_each": round(self.bytes_each, 1),
            "load_s": round(self.load_s, 1),
            "build_s": round(self.build_s, 1),
        }


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """What was measured.

    Attributes:
        embeddings: How many there were.
        speed: Of searches.
        bytes_each: Memory for one embedding, with its id, time, camera and part of the lists.
        build_s: How long the index was built.
        peer: The same of pgvector, where it was asked too.
    """

    embeddings: int
    speed: Speed
    bytes_each: float
    build_s: float
    peer: PeerFigures | None = None

    def bars(self) -> list[Bar]:
        """The figures, and what they have to reach where there are very many embeddings."""
        reached = [bar for least, bar in _BAR.items() if self.embeddings >= least]
        slowest, recall, most = reached[-1] if reached else (None, None, None)
        p99_ms, recall10 = self.speed.p99_ms.items(), self.speed.recall10.items()
        latencies = [_bar(f"p99_ms, {part} pass", value, "ms", under=slowest) for part, value in p99_ms]
        recalls = [_bar(f"recall10, {part} pass", value, "", least=recall) for part, value in recall10]
        build_s = _BUILD_BAR_S if self.embeddings >= max(_BAR) else None
        rest = [_bar("bytes each", self.bytes_each, "B", under=most), _bar("build", self.build_s, "s", under=build_s)]
        return [*latencies, *recalls, *rest, *(self.peer.bars() if self.peer is not None else [])]


def bench_search_command(embeddings: int, dim: int, *, beside: str | None = None, json_output: bool) -> int:
    """Measures, shows a table, and prints JSON where asked; returns 1 when a bar is missed.

    Args:
        embeddings: How many there are.
        dim: Numbers of each.
        beside: The URL of a PostgreSQL database with pgvector, which is asked the same.
        json_output: Whether JSON is printed.
    """
    console = Console(stderr=True)
    with ExitStack() as stack:
        peer = None if beside is None else stack.enter_context(open_table(beside, dim))
        with console.status(f"searching among {embeddings} embeddings of {dim} numbers"):
            figures = measure(embeddings, dim, peer=peer)
    bars = figures.bars()
    passed = all(bar.passed is not False for bar in bars)
    show_bars(bars, console)
    if json_output:
        fields = {
            "n": figures.embeddings,
            "dim": dim,
            **figures.speed.rounded(),
            "bytes_each": round(figures.bytes_each, 1),
            "build_s": round(figures.build_s, 1),
            **({"pgvector": figures.peer.rounded()} if figures.peer is not None else {}),
        }
        sys.stdout.write(json.dumps({**fields, "passed": passed}) + "\n")
    return 0 if passed else 1


def measure(embeddings: int, dim: int, queries: int = QUERIES, peer: PgvectorTable | None = None) -> SearchFigures:
    """Builds an index of a made-up site and searches it under each filter; then the same with a peer."""
    crowd = Crowd(embeddings, dim)
    looks = crowd.queries(queries)
    index, truth, build_s = _build(crowd, looks)
    speed = _time(lambda look, wanted: index.search(look[None], NEIGHBOURS, wanted).ids[0], crowd, looks, truth)
    beside = None if peer is None else _measure_peer(peer, crowd, looks, truth)
    return SearchFigures(len(index), speed, index.nbytes / len(index), build_s, beside)


def _measure_peer(table: PgvectorTable, crowd: Crowd, looks: Look, truth: Truth) -> PeerFigures:
    load_s = table.fill(crowd.blocks())
    build_s = table.build()
    speeds = {}
    for kept in EF_SEARCH:
        table.keep(kept)
        speeds[kept] = _time(lambda look, wanted: table.search(look, NEIGHBOURS, wanted), crowd, looks, truth)
    return PeerFigures(table.versions, table.iterates, speeds, table.nbytes / len(crowd), load_s, build_s)


class Crowd:
    """Made-up sightings, in the order of time: each twentieth of it sees everybody once.

    Args:
        embeddings: How many, rounded down to a multiple of `SIGHTINGS`.
        dim: Length D of a look.
    """

    def __init__(self, embeddings: int, dim: int) -> None:
        self._people = max(embeddings // SIGHTINGS, 1)
        self._dim = dim

    def __len__(self) -> int:
        """How many sightings there are."""
        return SIGHTINGS * self._people

    @cached_property
    def _centres(self) -> Look:
        return _units(np.random.default_rng(0).standard_normal((self._people, self._dim), np.float32))

    @property
    def filters(self) -> Mapping[str, IndexFilter]:
        """By the part of all that they keep: four of twenty cameras for half the time, and one for a fiftieth."""
        end_us = len(self) * _STEP_US
        return {
            "100%": IndexFilter(),
            "10%": IndexFilter((1, 5, 9, 13), end_us // 4, 3 * end_us // 4),
            "0.1%": IndexFilter((7,), end_us // 2, end_us // 2 + end_us // 50),
        }

    def blocks(self) -> Iterator[Entries]:
        """All sightings; the same at each call."""
        for sighting in range(SIGHTINGS):
            rng = np.random.default_rng([1, sighting])
            people = rng.permutation(self._people)
            for first in range(0, self._people, _ROWS_AT_ONCE):
                own = people[first : first + _ROWS_AT_ONCE]
                ids = np.arange(len(own)) + sighting * self._people + first + 1
                cameras = rng.integers(CAMERAS, size=len(own), dtype=np.int32)
                yield Entries(ids, cameras, ids * _STEP_US, self._see(rng, own))

    def queries(self, count: int) -> Look:
        """One more sighting ``(count, D)`` of some."""
        rng = np.random.default_rng(2)
        return self._see(rng, rng.integers(self._people, size=count))

    def _see(self, rng: np.random.Generator, people: NDArray[np.int64]) -> Look:
        centres = self._centres[people]
        aside = rng.standard_normal(centres.shape, np.float32)
        aside -= np.einsum("nd,nd->n", aside, centres)[:, None] * centres
        likeness: Look = rng.beta(*LIKENESS, size=(len(people), 1)).astype(np.float32)
        looks: Look = np.sqrt(1 - likeness**2) * _units(aside)
        looks += likeness * centres
        return looks


def _build(crowd: Crowd, looks: Look) -> tuple[SegmentedIndex, Truth, float]:
    """The index, the nearest of each look by filter, and the seconds that the index took."""
    index, seconds = SegmentedIndex(looks.shape[1]), 0.0
    best = {part: _nobody(len(looks)) for part in crowd.filters}
    for entries in crowd.blocks():
        for part, wanted in crowd.filters.items():
            best[part] = _nearest(best[part], entries, looks, wanted)
        start = time.perf_counter()
        index.add(entries)
        if len(index.newest) + len(entries) > MOST_ROWS:
            index.settle()
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    index.settle()
    return index, {part: found.ids for part, found in best.items()}, seconds + time.perf_counter() - start


def _nearest(before: Neighbours, entries: Entries, looks: Look, wanted: IndexFilter) -> Neighbours:
    """The exact search among those who were nearest before, and more."""
    some = entries.only(wanted.keeps(entries.cameras, entries.times_us))
    similarities = looks @ some.vectors.T
    found = [
        best_of(np.concatenate([ids, some.ids]), np.concatenate([known, new]), NEIGHBOURS)
        for ids, known, new in zip(before.ids, before.similarities, similarities, strict=True)
    ]
    return Neighbours(np.stack([ids for ids, _ in found]), np.stack([alike for _, alike in found]))


def _nobody(queries: int) -> Neighbours:
    return Neighbours(np.full((queries, NEIGHBOURS), -1, np.int64), np.full((queries, NEIGHBOURS), -np.inf, np.float32))


def _time(search: Search, crowd: Crowd, looks: Look, truth: Truth) -> Speed:
    """Searches under each filter, after some looks to warm up."""
    p99_ms, recall10 = {}, {}
    for part, wanted in crowd.filters.items():
        for look in looks[:_WARM_UP]:
            search(look, wanted)
        found, seconds = [], []
        for look in looks:
            start = time.perf_counter()
            found.append(search(look, wanted))
            seconds.append(time.perf_counter() - start)
        p99_ms[part] = 1000 * float(np.percentile(seconds, 99))
        recall10[part] = _recall(found, truth[part])
    return Speed(p99_ms, recall10)


def _recall(found: Sequence[Ids], truth: NDArray[np.int64]) -> float:
    right = [len(np.intersect1d(one, other[other >= 0])) for one, other in zip(found, truth, strict=True)]
    return sum(right) / max(int(np.count_nonzero(truth >= 0)), 1)


def _bar(name: str, value: float, unit: str, *, under: float | None = None, least: float | None = None) -> Bar:
    if under is not None:
        return Bar(name, value, unit, f"< {under:g}", value < under)
    if least is not None:
        return Bar(name, value, unit, f">= {least:g}", value >= least)
    return Bar(name, value, unit)


def _units(looks: Look) -> Look:
    """Looks ``(N, D)`` of norm 1."""
    units: Look = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    return units
