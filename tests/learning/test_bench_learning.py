"""`bench learning` with few tracklets and tiny networks: what it says, not how fast that is."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning import bench_clustering, bench_learning  # noqa: E402  # only where torch is
from reid_pipeline.learning.adapt_scl import SclTask  # noqa: E402
from reid_pipeline.learning.adapt_site import SiteTask  # noqa: E402
from reid_pipeline.learning.bench_clustering import Grouped, draw_crowd, group, measure_grouping  # noqa: E402
from reid_pipeline.learning.cluster_contrast import ClusterContrastTask  # noqa: E402
from reid_pipeline.pipeline.cli import run_command_line  # noqa: E402
from tests.learning.site_material import SIZE, site_material, tiny_network  # noqa: E402

pytestmark = pytest.mark.learning

FAST = Grouped(100_000, 200.0, 99.9, 400.0, 3999.0, 20_000, 1.0, 0.9)


@pytest.fixture
def tiny(monkeypatch):
    """A bundled encoder and a site that are soon learnt."""
    card = SimpleNamespace(card=SimpleNamespace(input=SimpleNamespace(height=SIZE[0], width=SIZE[1])))
    monkeypatch.setattr(bench_learning, "load_model", lambda path: card)
    monkeypatch.setattr(bench_learning, "rebuild_encoder", lambda model: tiny_network(dim=16).encoder)
    monkeypatch.setattr(bench_learning, "PEOPLE", 20)
    monkeypatch.setattr(bench_learning, "read_memory", lambda size: site_material(size=size)[0].crops[:40])


def test_it_says_how_fast_each_method_is(tiny, capfd, monkeypatch):
    monkeypatch.setattr(bench_learning, "measure_grouping", group)  # in this process
    assert run_command_line(["bench", "learning", "--tracklets", "500", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    for name in ("site", "scl", "cluster_contrast"):
        assert told[f"{name}_round_s"] > 0
        assert told[f"{name}_steps_s"] > 0
        assert told[f"{name}_crops_s"] >= 4 * told[f"{name}_steps_s"]
    assert told["scl_crops_s"] == pytest.approx(64 * told["scl_steps_s"], rel=0.01)
    assert (told["tracklets"], told["passed"]) == (500, True)
    assert told["clustering_s"] == pytest.approx(told["nearest_s"] + told["grouping_s"], abs=1e-3)
    assert told["peak_mb"] > 0
    assert told["processor_s"] > 0
    assert told["device"]


def test_methods_are_those_of_adapt_and_the_peer():
    material, _ = site_material(size=(16, 8))
    kinds = [type(make(tiny_network(), material)) for make in bench_learning.METHODS.values()]
    assert kinds == [SiteTask, SclTask, ClusterContrastTask]


def test_people_of_a_crowd_are_found_in_a_process_of_its_own():
    found = measure_grouping(600)
    assert (found.tracklets, found.people) == (600, group(600).people)
    assert 60 <= found.people <= 140
    assert found.right > 0.9
    assert found.found > 0.4
    assert found.peak_mb > 20


def test_a_crowd_is_as_alike_as_people_are():
    embeddings, owner, cameras = draw_crowd(1000)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    assert np.bincount(owner).tolist() == [5] * 200
    assert set(cameras.tolist()) == set(range(20))
    alike = embeddings @ embeddings.T
    same = owner[:, None] == owner[None]
    strangers = alike[~same]
    np.fill_diagonal(same, False)
    assert alike[same].mean() == pytest.approx(0.64, abs=0.03)
    assert strangers.mean() == pytest.approx(0.0, abs=0.02)
    assert strangers.std() == pytest.approx(1 / 9, abs=0.02)


def test_agreement_worked_by_hand():
    people, owner = np.array([0, 0, 1, 1, 1, -1]), np.array([7, 7, 7, 8, 8, 8])
    right, found = bench_clustering._agree(people, owner)
    assert right == pytest.approx(2 / 4)  # 0-1 and 3-4 of 0-1, 2-3, 2-4, 3-4
    assert found == pytest.approx(2 / 6)


def test_who_is_apart_are_two_people_in_one_camera():
    _, owner, cameras = draw_crowd(300)
    pairs = bench_clustering._neighbours_apart(owner, cameras)
    assert len(pairs) > 200
    assert (owner[pairs[:, 0]] != owner[pairs[:, 1]]).all()
    assert (cameras[pairs[:, 0]] == cameras[pairs[:, 1]]).all()


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"grouping_s": 100.0}, ["clustering_s"]),
        ({"peak_mb": 4000.0}, ["peak_mb"]),
        ({"tracklets": 99_999, "grouping_s": 999.0, "peak_mb": 9999.0}, []),
    ],
)
def test_what_is_slow_or_large_misses_its_bar(changes, missed):
    bars = bench_learning.grouping_bars(replace(FAST, **changes))
    assert [bar.name for bar in bars if bar.passed is False] == missed
    judged = [bar.name for bar in bars if bar.passed is not None]
    assert judged == ([] if "tracklets" in changes else ["clustering_s", "peak_mb"])
    assert len({bar.name for bar in bars}) == len(bars) == 9


def test_it_stands_among_the_benches(capfd):
    for _ in range(2):
        assert run_command_line(["bench", "--help"]) == 0
        told = capfd.readouterr().out
        assert [told.count(f" {name} ") for name in ("pipeline", "association", "learning")] == [1, 1, 1]


def test_too_few_to_measure(capfd):
    assert run_command_line(["bench", "learning", "--tracklets", "10"]) == 2
    assert "100" in capfd.readouterr().err
