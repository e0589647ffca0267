"""The crops of a re-ID data set as journeys through a virtual site: who was where, when, is drawn at random.

A data set says who is on a crop, from which camera and in which frame, but its people walked for the data set. Here
each stretch of crops of one person becomes a tracklet, and the tracklets of a person a journey with stays, ways and
pauses. The looks are real, only the times are made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.image_folder import list_images
from reid_pipeline.pipeline.metrics_retrieval import JUNK

ORIGIN_US: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000  # when the site opens
LONGEST_GAP: Final = 250  # frame numbers between two crops of one tracklet
ARRIVAL_S: Final = 18.0  # people arrive at this distance on average
STAY_S: Final = (5.0, 20.0)
WAY_S: Final = (20.0, 120.0)  # between two cameras, on average; each pair has its own
WAY_SPREAD: Final = 0.25  # standard deviation, as a part of the average
SHORTEST_WAY_S: Final = 3.0
PAUSE_S: Final = (300.0, 1200.0)
PAUSE_CHANCE: Final = 0.3

_FOLDERS: Final = ("bounding_box_test", "query")
MARKET_NAME: Final = re.compile(r"(-?\d+)_c(\d+)s(\d+)_(\d+)")
_CAMERAS: Final = 10  # ways are drawn for so many cameras at least, so that fewer cameras change no draw
_NUMBERING: Final = 1  # second part of the seed of the tracklets' numbers


@dataclass(frozen=True, slots=True)
class Crop:
    """A picture of a person, with what its name says: ``0002_c1s1_000451_03.jpg``."""

    path: Path
    person: int
    camera: int
    sequence: int
    frame: int


@dataclass(frozen=True, slots=True)
class ReplayTracklet:
    """A stretch of one person in one camera.

    Attributes:
        camera: Name of the camera.
        number: From 1 in its camera, at random: it says nothing about the person or the time.
        person: Whose it is.
        start_us: When it begins.
        end_us: When it ends.
        crops: Its pictures in the order they were taken, by their places in the list of crops.
    """

    camera: str
    number: int
    person: int
    start_us: int
    end_us: int
    crops: tuple[int, ...]

    @property
    def key(self) -> tuple[str, int]:
        """Camera and number."""
        return self.camera, self.number

    def times_us(self) -> list[int]:
        """When each crop is seen: spread evenly from start to end, a single one at the start."""
        return [round(time) for time in np.linspace(self.start_us, self.end_us, len(self.crops)).tolist()]


@dataclass(frozen=True, slots=True)
class Stretch:
    """One person in one camera without a long gap; `crops` as in `ReplayTracklet`."""

    person: int
    camera: int
    crops: tuple[int, ...]


def read_crops(folder: Path) -> list[Crop]:
    """Reads the names in ``query`` and ``bounding_box_test`` of a folder; junk, person -1, is left out.

    Raises:
        InputError: One of the two is missing or empty, or a name does not fit.
    """
    crops = [parse_name(path) for part in _FOLDERS for path in list_images(folder / part)]
    return [crop for crop in crops if crop.person != JUNK]


def draw_journeys(crops: Sequence[Crop], seed: int) -> list[ReplayTracklet]:
    """Makes tracklets of all crops and draws their times; in order of their starts.

    Each person comes at a random time, and its tracklets follow each other in random order. Person 0, the distractors
    of Market-1501, is one person among others.
    """
    rng = np.random.default_rng(seed)
    journeys = [list(group) for _, group in groupby(find_stretches(crops), key=lambda stretch: stretch.person)]
    largest = max((crop.camera for crop in crops), default=0)
    ways = rng.uniform(*WAY_S, (max(_CAMERAS, largest + 1),) * 2)
    visits = [visit for journey in journeys for visit in _walk(journey, ARRIVAL_S * len(journeys), ways, rng)]
    visits.sort(key=lambda visit: visit[0])
    numbers = _numbers([stretch.camera for _, _, stretch in visits], seed)
    return [
        ReplayTracklet(f"c{stretch.camera}", number, stretch.person, _to_us(start), _to_us(end), stretch.crops)
        for (start, end, stretch), number in zip(visits, numbers, strict=True)
    ]


def parse_name(path: Path) -> Crop:
    """What the name of a picture says.

    Raises:
        InputError: It does not fit.
    """
    name = MARKET_NAME.match(path.name)
    if name is None:
        raise InputError(
            f"{path}: the name says no person, camera, sequence and frame; expected one like 0002_c1s1_000451_03.jpg"
        )
    return Crop(path, *(int(part) for part in name.groups()))


def find_stretches(crops: Sequence[Crop]) -> Iterable[Stretch]:
    """The tracklets of some crops, by person, camera, sequence and frame."""
    order = sorted(range(len(crops)), key=lambda row: (_place(crops[row]), crops[row].frame, row))
    for (person, camera, _), rows in groupby(order, key=lambda row: _place(crops[row])):
        for stretch in _split([(crops[row].frame, row) for row in rows]):
            yield Stretch(person, camera, stretch)


def _place(crop: Crop) -> tuple[int, int, int]:
    return crop.person, crop.camera, crop.sequence


def _split(rows: list[tuple[int, int]]) -> Iterable[tuple[int, ...]]:
    """Cuts crops (frame, place) in frame order where nobody was seen for long."""
    cuts = [index for index, (one, two) in enumerate(pairwise(rows), start=1) if two[0] - one[0] > LONGEST_GAP]
    for start, end in pairwise([0, *cuts, len(rows)]):
        yield tuple(row for _, row in rows[start:end])


def _walk(
    journey: Sequence[Stretch], latest_s: float, ways: NDArray[np.float64], rng: np.random.Generator
) -> Iterable[tuple[float, float, Stretch]]:
    """Start, end and tracklet of each stay of one person. The order of the draws is part of what a seed means."""
    clock = rng.uniform(0, latest_s)
    before: Stretch | None = None
    for index in rng.permutation(len(journey)).tolist():
        stretch = journey[index]
        if before is not None:
            clock += _way(float(ways[before.camera, stretch.camera]), rng)
        stay = rng.uniform(*STAY_S)
        yield clock, clock + stay, stretch
        clock += stay
        before = stretch


def _way(mean_s: float, rng: np.random.Generator) -> float:
    way = max(SHORTEST_WAY_S, rng.normal(mean_s, WAY_SPREAD * mean_s))
    return way + rng.uniform(*PAUSE_S) if rng.random() < PAUSE_CHANCE else way


def _numbers(cameras: Sequence[int], seed: int) -> list[int]:
    """A random number for each tracklet, whose cameras are given."""
    rng = np.random.default_rng((seed, _NUMBERING))  # apart: how tracklets are numbered changes no journey
    free = {camera: iter(rng.permutation(cameras.count(camera)).tolist()) for camera in sorted(set(cameras))}
    return [next(free[camera]) + 1 for camera in cameras]


def _to_us(seconds: float) -> int:
    return ORIGIN_US + round(seconds * 1e6)
