"""Part of `bench learning`: time and memory in which tracklets of a large site are grouped to people.

The looks are random, but as those of an encoder: strangers resemble one another more than random vectors would. Each
person comes by five times. It runs in a process of its own, so that the memory is that of the grouping alone.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np

from reid_pipeline.learning.jaccard import Neighbourhood, Rows, jaccard_similarity
from reid_pipeline.learning.pseudo_labels import NOBODY, ClusterSettings, guess_people
from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.monitor import peak_rss_mb

DIM: Final = 512
CAMERAS: Final = 20
VISITS: Final = 5  # of each person
LOOKS: Final = 80  # dimensions that people differ in: similarities of strangers spread by a ninth, as measured
_NOISE: Final = 0.75  # the similarity of two visits is 0.64
_LEAST: Final = 0.01


@dataclass(frozen=True, slots=True)
class Grouped:
    """What was measured.

    Attributes:
        tracklets: How many there were.
        nearest_s: Seconds, most of which go into finding who is like whom.
        grouping_s: Seconds from there to people.
        processor_s: Seconds of all processors together, whatever else the machine does.
        peak_mb: Largest memory of the process, the embeddings and all libraries in it.
        people: How many were found.
        right: Part of the pairs in one group that are one person.
        found: Part of the pairs of one person that are in one group.
    """

    tracklets: int
    nearest_s: float
    grouping_s: float
    processor_s: float
    peak_mb: float
    people: int
    right: float
    found: float


def measure_grouping(tracklets: int) -> Grouped:
    """Measures in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(group, tracklets).result()


def group(tracklets: int) -> Grouped:
    """Groups a random crowd with the figures of `adapt_site`."""
    embeddings, owner, cameras = draw_crowd(tracklets)
    begin, worked = time.perf_counter(), time.process_time()
    similarity = jaccard_similarity(embeddings, cameras, Neighbourhood(own=3, others=12), _LEAST)
    middle = time.perf_counter()
    people = guess_people(similarity, _neighbours_apart(owner, cameras), ClusterSettings())
    end, worked = time.perf_counter(), time.process_time() - worked
    right, found = _agree(people, owner)
    count = int(people.max(initial=NOBODY)) + 1
    return Grouped(tracklets, middle - begin, end - middle, worked, peak_rss_mb(), count, right, found)


def draw_crowd(tracklets: int) -> tuple[Embeddings, Rows, Rows]:
    """Embeddings ``(N, DIM)`` of norm 1, who each is, and in which camera, in random order."""
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.arange(tracklets) // VISITS)
    looks = rng.standard_normal((int(owner.max()) + 1, LOOKS), np.float32) / np.sqrt(LOOKS, dtype=np.float32)
    noise = rng.standard_normal((tracklets, LOOKS), np.float32) / np.sqrt(LOOKS, dtype=np.float32)
    axes = np.linalg.qr(rng.standard_normal((DIM, LOOKS)))[0].astype(np.float32)
    embeddings = (looks[owner] + _NOISE * noise) @ axes.T
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings, owner, rng.integers(0, CAMERAS, tracklets)


def _neighbours_apart(owner: Rows, cameras: Rows) -> Rows:
    """Each two who follow one another in a camera are seen at once, where they are two: ``(P, 2)``."""
    order = np.argsort(cameras, kind="stable")
    one, other = order[:-1], order[1:]
    kept = (cameras[one] == cameras[other]) & (owner[one] != owner[other])
    return np.stack([one[kept], other[kept]], axis=1)


def _agree(people: Rows, owner: Rows) -> tuple[float, float]:
    """Precision and recall of pairs, 0-1."""
    known = people != NOBODY
    both = np.unique(np.stack([people[known], owner[known]]), axis=1, return_counts=True)[1]
    together, same = np.bincount(people[known]), np.bincount(owner)
    pairs = [float((counts * (counts - 1)).sum()) for counts in (both, together, same)]
    return pairs[0] / max(pairs[1], 1.0), pairs[0] / max(pairs[2], 1.0)
