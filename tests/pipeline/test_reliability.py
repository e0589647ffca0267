"""Stated probabilities against what is so: the bins, the pairs of a replay, the plot."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.reliability import Reliability, ReliabilityBin, judge_replay, measure_reliability
from reid_pipeline.pipeline.reliability_plot import draw_reliability
from reid_pipeline.pipeline.replay_journeys import Crop
from reid_pipeline.pipeline.replay_reid import EncodedCrops, replay_seeds
from tests.pipeline.builders import mean_colour_encoder, write_card
from tests.pipeline.crowd import unit

HOUR_US = 3_600_000_000
DIM = 32


def draw_pairs(count: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose probabilities are right."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-3, 3, count)
    return log_odds, rng.random(count) < expit(log_odds)


class TestBins:
    def test_against_loops(self):
        log_odds, same = draw_pairs(500)
        found = measure_reliability(log_odds, same)
        expected = {}
        for odds, is_same in zip(log_odds.tolist(), same.tolist(), strict=True):
            expected.setdefault(math.floor(odds), []).append((1 / (1 + math.exp(-odds)), is_same))
        assert [each.low for each in found.bins] == sorted(expected)
        for each in found.bins:
            stated, is_same = zip(*expected[each.low], strict=True)
            assert (each.pairs, each.same) == (len(stated), sum(is_same))
            assert each.stated == pytest.approx(sum(stated) / len(stated))
        wrong = sum(abs(sum(p for p, _ in pairs) - sum(s for _, s in pairs)) for pairs in expected.values())
        assert found.error == pytest.approx(wrong / 500)

    def test_probabilities_that_are_right(self):
        found = measure_reliability(*draw_pairs())
        assert found.pairs == 50_000
        assert found.error < 0.005
        inside = [each.interval[0] <= each.stated <= each.interval[1] for each in found.bins]
        assert sum(inside) >= 0.85 * len(inside)

    def test_probabilities_that_are_wrong(self):
        log_odds, same = draw_pairs()
        assert measure_reliability(log_odds + 1, same).error > 0.04

    @pytest.mark.parametrize(("same", "pairs"), [(0, 7), (3, 7), (7, 7), (900, 1000)])
    def test_the_interval_is_that_of_clopper_and_pearson(self, same, pairs):
        expected = binomtest(same, pairs).proportion_ci(0.95, "exact")
        assert ReliabilityBin(0.0, pairs, 0.5, same).interval == pytest.approx((expected.low, expected.high))

    def test_no_pairs(self):
        assert measure_reliability(np.empty(0), np.empty(0, bool)).as_dict() == {
            "pairs": 0,
            "one_person": 0,
            "one_person_stated": 0,
            "calibration_error": 0,
            "bins": [],
        }


def made_up(people: int = 16, visits: int = 6) -> EncodedCrops:
    """People who are told from each other easily, each in several cameras."""
    rng = np.random.default_rng(1)
    faces = unit(rng.normal(size=(people, DIM)))
    crops = [Crop(Path(), person, camera, 1, 1) for person in range(people) for camera in range(1, visits + 1)]
    looks = unit(faces[[crop.person for crop in crops]] + 0.08 * rng.normal(size=(len(crops), DIM)))
    return EncodedCrops(tuple(crops), looks.astype(np.float32))


def replayed(encoded: EncodedCrops):
    settings = AssociationSettings()
    [result] = replay_seeds(encoded, [0], lambda: build_associator(settings, EmbeddingSpace(DIM)))
    return result


class TestReplay:
    def test_all_pairs_are_judged_that_are_not_seen_at_once(self):
        encoded = made_up()
        result = replayed(encoded)
        found = judge_replay(result, encoded.embeddings, 48 * HOUR_US)
        pairs = [
            (one, other)
            for one, other in combinations(result.tracklets, 2)
            if one.camera != other.camera or one.end_us < other.start_us or other.end_us < one.start_us
        ]
        assert 0 < len(pairs) < math.comb(len(result.tracklets), 2)
        assert found.pairs == len(pairs)
        assert found.as_dict()["one_person"] == sum(one.person == other.person for one, other in pairs)
        assert found.error < 0.03

    def test_what_is_forgotten_is_not_judged(self):
        encoded = made_up()
        result = replayed(encoded)
        span_us = result.tracklets[-1].start_us - result.tracklets[0].start_us
        whole = judge_replay(result, encoded.embeddings, 48 * HOUR_US)
        assert judge_replay(result, encoded.embeddings, int(0.8 * span_us)).pairs < whole.pairs

    def test_of_too_few_tracklets_nothing_is_said(self):
        encoded = made_up(people=6)
        assert judge_replay(replayed(encoded), encoded.embeddings, HOUR_US) is None


class TestPlot:
    def circles(self, *bins):
        root = ElementTree.fromstring(draw_reliability(Reliability(bins), "a & b <c>"))
        assert "a & b <c>" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        return [
            (each.get("class"), float(each.get("cx")), float(each.get("cy")))
            for each in root.iter("{http://www.w3.org/2000/svg}circle")
        ]

    def test_what_is_right_lies_on_the_diagonal(self):
        circles = self.circles(ReliabilityBin(-3, 100, 0.05, 5), ReliabilityBin(0, 50, 0.6, 30))
        assert {kind for kind, *_ in circles} == {"mean"}
        (_, x1, y1), (_, x2, y2) = circles
        assert x1 + y1 == pytest.approx(x2 + y2, abs=0.3)
        assert x1 < x2

    def test_what_is_said_too_boldly_lies_below(self):
        (_, x1, y1), (_, x2, y2) = self.circles(ReliabilityBin(2, 10, 0.9, 9), ReliabilityBin(3, 10, 0.95, 6))
        assert x2 + y2 > x1 + y1 + 10

    def test_all_and_none_are_hollow_at_the_edges(self):
        circles = self.circles(ReliabilityBin(-30, 10, 0.0, 0), ReliabilityBin(30, 10, 1.0, 10))
        assert [kind for kind, *_ in circles] == ["none", "none"]
        (_, left, low), (_, right, high) = circles
        assert (left, right, high, low) == (80, 600, 46, 566)


def test_the_command_writes_it(tmp_path, capsys):
    rng = np.random.default_rng(3)
    for part, cameras in (("query", (1,)), ("bounding_box_test", (2, 3, 4))):
        (tmp_path / part).mkdir()
        for person in range(1, 13):
            colour = np.random.default_rng(person).integers(30, 220, 3)
            for camera in cameras:
                picture = np.clip(colour + rng.normal(0, 5, (16, 8, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(tmp_path / part / f"{person:04}_c{camera}s1_000001_00.png"), picture)
    encoder = write_card(mean_colour_encoder(tmp_path / "encoder" / "colours.onnx"))
    command = ["replay", "--from-reid", str(tmp_path), "--encoder", str(encoder), "--out", str(tmp_path / "out")]
    assert run_command_line([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert printed["reliability"]["pairs"] == sum(each["pairs"] for each in printed["reliability"]["bins"]) > 900
    plot = ElementTree.parse(tmp_path / "out" / "reliability.svg")
    assert len(list(plot.iter("{http://www.w3.org/2000/svg}circle"))) == len(printed["reliability"]["bins"])
    assert run_command_line(command) == 0
    assert "reliability" not in capsys.readouterr().out
