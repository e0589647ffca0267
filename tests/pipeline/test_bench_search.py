"""`bench search`, on a small crowd."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reid_pipeline.pipeline.bench_search import SIGHTINGS, Crowd, SearchFigures, Speed, measure
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.vector_index import join_entries

PARTS = ("100%", "10%", "0.1%")


@pytest.fixture(scope="module")
def everybody():
    return join_entries(list(Crowd(40_000, 256).blocks()))


def test_people_look_as_on_real_crops(everybody):
    """Sightings of one person, whose places in the rounds are drawn from the same seed as in the bench."""
    people = np.concatenate([np.random.default_rng([1, each]).permutation(2_000) for each in range(SIGHTINGS)])
    order = np.argsort(people, kind="stable").reshape(2_000, SIGHTINGS)[:200]
    pairs = [(looks @ looks.T)[np.triu_indices(SIGHTINGS, 1)] for looks in (everybody.vectors[each] for each in order)]
    assert np.mean(pairs) == pytest.approx(0.608, abs=0.01)
    assert np.std(pairs) == pytest.approx(0.168, abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(everybody.vectors, axis=1), 1, atol=1e-4)


def test_filters_keep_what_they_say(everybody):
    kept = [
        wanted.keeps(everybody.cameras, everybody.times_us).mean() for wanted in Crowd(40_000, 256).filters.values()
    ]
    np.testing.assert_allclose(kept, [1, 0.1, 0.001], rtol=0.25)


def test_it_is_the_same_each_time():
    crowd = Crowd(2_000, 32)
    for one, other in zip(crowd.blocks(), Crowd(2_000, 32).blocks(), strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)
        np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(crowd.queries(3), Crowd(2_000, 32).queries(3))


def test_what_is_measured():
    figures = measure(20_000, 32, queries=20)
    assert figures.embeddings == 20_000
    assert tuple(figures.speed.p99_ms) == tuple(figures.speed.recall10) == PARTS
    assert min(figures.speed.recall10.values()) > 0.95
    assert figures.bytes_each > 32 * 1.5 + 16


@pytest.mark.parametrize(
    ("embeddings", "p99_ms", "recall", "bytes_each", "passed"),
    [
        (1_000_000, 14.0, 0.99, 480.0, True),
        (1_000_000, 16.0, 0.99, 480.0, False),
        (1_000_000, 14.0, 0.97, 480.0, False),
        (1_000_000, 14.0, 0.99, 601.0, False),
        (10_000_000, 50.0, 0.96, 700.0, True),
        (10_000_000, 61.0, 0.96, 480.0, False),
    ],
)
def test_bars(embeddings, p99_ms, recall, bytes_each, passed):
    speed = Speed(dict.fromkeys(PARTS, p99_ms), dict.fromkeys(PARTS, recall))
    bars = SearchFigures(embeddings, speed, bytes_each, 100.0).bars()
    assert all(bar.passed is not False for bar in bars) == passed


def test_few_embeddings_have_no_bars():
    speed = Speed(dict.fromkeys(PARTS, 1e9), dict.fromkeys(PARTS, 0.0))
    assert {bar.passed for bar in SearchFigures(999_999, speed, 1e9, 1e9).bars()} == {None}


def test_the_command(capfd):
    assert run_command_line(["bench", "search", "--n", "4000", "--dim", "16", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["n"] == 4_000
    assert tuple(printed["p99_ms"]) == tuple(printed["recall10"]) == PARTS
    assert printed["passed"]
