"""Pictures that show what an adaptation changed: people guessed from looks, and searches before and after it.

All are of held-out tracklets, which neither encoder was trained on. What is shown is drawn at random, or chosen on both
sides alike: as many searches that became worse as such that became better.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import cv2
import numpy as np

from reid_pipeline.learning.adapt_site import SiteSettings, centre_cameras, mean_by_tracklet
from reid_pipeline.learning.jaccard import jaccard_similarity
from reid_pipeline.learning.label_free import mean_halves
from reid_pipeline.learning.material import Material, Rows, find_covisible
from reid_pipeline.learning.pseudo_labels import guess_people
from reid_pipeline.pipeline.datatypes import Embeddings

_PEOPLE: Final = 12
_OF_PERSON: Final = 12
_NEAREST: Final = 5
_EACH_WAY: Final = 3
_AT_RANDOM: Final = 4
_QUALITY: Final = 80


@dataclass(frozen=True, slots=True)
class View:
    """A crop of a tracklet, as JPEG, and where and when it was taken."""

    jpeg: bytes
    camera: str
    time: str


@dataclass(frozen=True, slots=True)
class Person:
    """Tracklets taken for one person, in order of time: some of them, and how many there are."""

    views: tuple[View, ...]
    tracklets: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The tracklets nearest to a query, nearest first.

    Attributes:
        views: Of them.
        own: Which of them is the rest of the query's own tracklet; None where that is not among them.
        rank: Of that, from 1.
    """

    views: tuple[View, ...]
    own: int | None
    rank: int


@dataclass(frozen=True, slots=True)
class Search:
    """The first half of a tracklet as a query, and what either encoder finds."""

    query: View
    before: Answer
    after: Answer


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a report shows.

    Attributes:
        people: Some that the new encoder tells from others, those with most tracklets first.
        searches: Those that gained most, those that lost most, and some at random.
    """

    people: tuple[Person, ...] = ()
    searches: tuple[Search, ...] = ()


def draw_pictures(held_out: Material, before: Embeddings, after: Embeddings, seed: int = 0) -> Pictures:
    """Draws what an encoder before and one after make of the held-out crops ``(N, ...)``, embedded ``(N, D)``."""
    rng = np.random.default_rng(seed)
    return Pictures(_draw_people(held_out, after, rng), _draw_searches(held_out, before, after, rng))


def _draw_people(held_out: Material, embeddings: Embeddings, rng: np.random.Generator) -> tuple[Person, ...]:
    settings = SiteSettings()
    looks = centre_cameras(mean_by_tracklet(embeddings, held_out), held_out.cameras)
    similarity = jaccard_similarity(looks, held_out.cameras, settings.neighbourhood, 0.01)
    guessed = guess_people(similarity, find_covisible(held_out), settings.clusters)
    drawn = rng.permutation(int(guessed.max(initial=-1)) + 1)[:_PEOPLE]
    people = sorted((np.flatnonzero(guessed == person) for person in drawn), key=len, reverse=True)
    return tuple(_draw_person(held_out, members) for members in people)


def _draw_person(held_out: Material, members: Rows) -> Person:
    order = members[np.argsort(held_out.first_us[members], kind="stable")]
    begins = held_out.begins()
    middles = [int(begins[each] + begins[each + 1]) // 2 for each in order[:_OF_PERSON].tolist()]
    return Person(tuple(_view(held_out, middle) for middle in middles), len(members))


def _draw_searches(
    held_out: Material, before: Embeddings, after: Embeddings, rng: np.random.Generator
) -> tuple[Search, ...]:
    found = [_alike(embeddings, held_out) for embeddings in (before, after)]
    ranks = [_ranks(alike) for alike in found]
    rows = mean_halves(before, held_out)[2]
    chosen = _choose(1.0 / ranks[1] - 1.0 / ranks[0], rng)
    return tuple(
        Search(
            _view(held_out, int(held_out.begins()[rows[query]])),
            *(_answer(held_out, rows, alike[query], query) for alike in found),
        )
        for query in chosen
    )


def _alike(embeddings: Embeddings, held_out: Material) -> Embeddings:
    first, second, _ = mean_halves(embeddings, held_out)
    return first @ second.T


def _ranks(alike: Embeddings) -> Rows:
    return np.asarray(1 + (alike > np.diag(alike)[:, None]).sum(axis=1), np.int64)


def _choose(gains: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> list[int]:
    """The queries that gained most and lost most, as far as any did, and some of the others."""
    order = np.argsort(-gains, kind="stable")
    better = [int(each) for each in order[:_EACH_WAY] if gains[each] > 0]
    worse = [int(each) for each in order[::-1][:_EACH_WAY] if gains[each] < 0]
    others = [int(each) for each in rng.permutation(len(gains)) if each not in {*better, *worse}]
    return [*better, *worse, *others[:_AT_RANDOM]]


def _answer(held_out: Material, rows: Rows, alike: Embeddings, query: int) -> Answer:
    nearest = np.argsort(-alike, kind="stable")[:_NEAREST].tolist()
    lasts = held_out.begins()[rows[nearest] + 1] - 1
    views = tuple(_view(held_out, last) for last in lasts.tolist())
    own = nearest.index(query) if query in nearest else None
    return Answer(views, own, int(1 + (alike > alike[query]).sum()))


def _view(held_out: Material, crop: int) -> View:
    jpeg = cv2.imencode(".jpg", held_out.crops[crop], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    time = datetime.fromtimestamp(int(held_out.times_us[crop]) / 1e6, UTC)
    camera = held_out.camera_names[held_out.cameras[held_out.tracklets[crop]]]
    return View(jpeg, camera, f"{time:%Y-%m-%d %H:%M:%S}")
