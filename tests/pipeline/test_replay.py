"""Crops of a re-ID data set as a site: the journeys, the updates made of them, and the scores."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.evaluate import evaluate_mtmc
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import Decision
from reid_pipeline.pipeline.replay import FRAME_US, RecordedTracklet, RecordedView, replay, updates_of
from reid_pipeline.pipeline.replay_journeys import ORIGIN_US, Crop, ReplayTracklet, draw_journeys, read_crops
from reid_pipeline.pipeline.replay_reid import EncodedCrops, record, replay_seeds, write_replay
from reid_pipeline.pipeline.replay_scores import FalseMerges, count_false_merges, score_identities
from reid_pipeline.storage.records import EventType
from tests.pipeline.builders import mean_colour_encoder, write_card

SECOND_US = 1_000_000
DIM = 8


def made_up_crops(people: int = 12, seed: int = 5) -> list[Crop]:
    """Crops of people in 6 cameras, some of them long apart, in no order."""
    rng = np.random.default_rng(seed)
    crops = []
    for person in range(people):
        for _ in range(rng.integers(2, 14)):
            place = (int(rng.integers(1, 7)), int(rng.integers(1, 3)), int(rng.integers(0, 900)))
            crops.append(Crop(Path(f"{person:04}_c{place[0]}s{place[1]}_{place[2]:06}_00.jpg"), person, *place))
    return [crops[row] for row in rng.permutation(len(crops))]


def look(person: int, seed: int, noise: float = 0.15) -> np.ndarray:
    vector = np.random.default_rng(person).normal(size=DIM)
    vector = vector / np.linalg.norm(vector) + noise * np.random.default_rng((person, seed)).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def encode(crops: list[Crop]) -> EncodedCrops:
    return EncodedCrops(tuple(crops), np.stack([look(crop.person, row) for row, crop in enumerate(crops)]))


@dataclass
class Scripted:
    """An associator that opens somebody new for every tracklet, and says the rest at the end."""

    at_the_end: list[Decision] = field(default_factory=list)
    opened: dict = field(default_factory=dict)
    updates: list = field(default_factory=list)

    def restore(self, rows):
        raise AssertionError("a replay begins with nobody")

    def update(self, update):
        self.updates.append(update)
        decisions = []
        for number, _ in update.started:
            self.opened[update.camera, number] = len(self.opened) + 1
            key = (update.camera, number)
            decisions.append(Decision(EventType.OPEN, key, self.opened[key], None, {}))
        return decisions

    def close(self):
        return self.at_the_end


def slow_journeys(crops, seed):
    """The rules of the journeys once more, as plainly as can be: (start, end, camera, person, crops) by start."""
    rng = np.random.default_rng(seed)
    places = defaultdict(list)
    for row, crop in enumerate(crops):
        places[crop.person, crop.camera, crop.sequence].append((crop.frame, row))
    tracklets = defaultdict(list)
    for person, camera, sequence in sorted(places):
        last = None
        for frame, row in sorted(places[person, camera, sequence]):
            if last is None or frame - last > 250:
                tracklets[person].append((camera, []))
            tracklets[person][-1][1].append(row)
            last = frame
    means = rng.uniform(20, 120, size=(10, 10))
    stays = []
    for person in sorted(tracklets):
        now, camera_before = rng.uniform(0, 18 * len(tracklets)), None
        for index in rng.permutation(len(tracklets[person])):
            camera, rows = tracklets[person][index]
            if camera_before is not None:
                mean = means[camera_before, camera]
                now += max(rng.normal(mean, mean / 4), 3)
                if rng.random() < 0.3:
                    now += rng.uniform(300, 1200)
            stay = rng.uniform(5, 20)
            stays.append((now, now + stay, f"c{camera}", person, tuple(rows)))
            now, camera_before = now + stay, camera
    return sorted(stays)


class TestJourneys:
    @pytest.mark.parametrize("seed", [0, 1, 7])
    def test_are_those_of_their_rules(self, seed):
        crops = made_up_crops()
        drawn = draw_journeys(crops, seed)
        expected = slow_journeys(crops, seed)
        assert [(each.camera, each.person, each.crops) for each in drawn] == [row[2:] for row in expected]
        for tracklet, (start, end, *_) in zip(drawn, expected, strict=True):
            assert tracklet.start_us - ORIGIN_US == pytest.approx(start * SECOND_US, abs=1)
            assert tracklet.end_us - ORIGIN_US == pytest.approx(end * SECOND_US, abs=1)

    def test_every_crop_is_in_one_tracklet(self):
        crops = made_up_crops()
        rows = [row for tracklet in draw_journeys(crops, 0) for row in tracklet.crops]
        assert sorted(rows) == list(range(len(crops)))

    def test_a_tracklet_ends_where_nobody_was_seen_for_long(self):
        crops = [Crop(Path(), 1, 1, 1, frame) for frame in (10, 260, 511, 511)]
        assert sorted(each.crops for each in draw_journeys(crops, 0)) == [(0, 1), (2, 3)]

    def test_numbers_say_nothing(self):
        by_camera = defaultdict(list)
        for tracklet in draw_journeys(made_up_crops(people=60), 0):
            by_camera[tracklet.camera].append(tracklet)
        for tracklets in by_camera.values():
            numbers = [tracklet.number for tracklet in tracklets]  # by time
            by_person = [each.number for each in sorted(tracklets, key=lambda each: each.person)]
            for order in (numbers, by_person):
                assert sorted(order) == list(range(1, len(order) + 1))
                steps = [two == one + 1 for one, two in pairwise(order)]
                assert sum(steps) < 0.2 * len(steps)

    def test_the_same_seed_gives_the_same_journeys(self):
        crops = made_up_crops()
        assert draw_journeys(crops, 3) == draw_journeys(crops, 3)
        assert draw_journeys(crops, 3) != draw_journeys(crops, 4)

    def test_more_than_nine_cameras(self):
        crops = [Crop(Path(), person, camera, 1, 1) for person in (1, 2) for camera in (3, 12)]
        assert {tracklet.camera for tracklet in draw_journeys(crops, 0)} == {"c3", "c12"}

    def test_crops_are_seen_evenly_from_start_to_end(self):
        assert ReplayTracklet("c1", 1, 1, 100, 500, (4, 5, 6)).times_us() == [100, 300, 500]
        assert ReplayTracklet("c1", 1, 1, 100, 500, (4,)).times_us() == [100]


class TestReadingCrops:
    def write(self, folder: Path, *names: str) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        return folder

    def test_junk_is_left_out_and_distractors_stay(self, tmp_path):
        names = ("query/0002_c1s1_000451_03.jpg", "bounding_box_test/-1_c2s3_000001_00.jpg")
        folder = self.write(tmp_path, *names, "bounding_box_test/0000_c2s3_000007_00.jpg")
        assert [(crop.person, crop.camera, crop.sequence, crop.frame) for crop in read_crops(folder)] == [
            (0, 2, 3, 7),
            (2, 1, 1, 451),
        ]

    def test_a_folder_that_is_no_data_set(self, tmp_path):
        with pytest.raises(InputError, match="bounding_box_test: no such folder"):
            read_crops(tmp_path)

    def test_a_name_without_a_sequence(self, tmp_path):
        folder = self.write(tmp_path, "query/0001_c1_f0044158.jpg", "bounding_box_test/0001_c1_f0044158.jpg")
        with pytest.raises(InputError, match=r"0001_c1_f0044158\.jpg: the name says no .*expected one like 0002_c1s1_"):
            read_crops(folder)


class TestUpdates:
    @pytest.fixture
    def tracklets(self) -> list[RecordedTracklet]:
        crops = made_up_crops(people=30)
        encoded = encode(crops)
        return [record(tracklet, encoded.embeddings) for tracklet in draw_journeys(crops, 0)]

    def test_come_in_order_and_once_a_frame(self, tracklets):
        updates = list(updates_of(tracklets))
        assert [update.time_us for update in updates] == sorted(update.time_us for update in updates)
        places = [(update.camera, update.frame) for update in updates]
        assert len(set(places)) == len(places)

    def test_tell_every_tracklet_with_its_views(self, tracklets):
        started, ended, views = {}, {}, defaultdict(list)
        for update in updates_of(tracklets):
            started_now = dict(update.started)
            assert set(started_now) | set(update.ended) <= set(update.seen)
            assert {view.number for view in update.views} <= set(update.seen)
            started |= {(update.camera, number): update.time_us for number in started_now}
            ended |= {(update.camera, number): update.time_us for number in update.ended}
            for view in update.views:
                views[update.camera, view.number].append((update.time_us, view))
        for tracklet in tracklets:
            assert 0 <= tracklet.first_us - started[tracklet.key] < FRAME_US
            assert 0 <= tracklet.last_us - ended[tracklet.key] < FRAME_US
            for (time_us, view), expected in zip(views[tracklet.key], tracklet.views, strict=True):
                assert 0 <= expected.time_us - time_us < FRAME_US
                assert view.embedding is expected.embedding
                assert view.quality == 1.0

    def test_frames_overlap_where_times_do(self, tracklets):
        spans = {}
        for update in updates_of(tracklets):
            for number in update.seen:
                first, _ = spans.get((update.camera, number), (update.frame, 0))
                spans[update.camera, number] = (first, update.frame)
        pairs = [(one, two) for one, two in combinations(tracklets, 2) if one.camera == two.camera]
        found = [spans[a.key][0] <= spans[b.key][1] and spans[b.key][0] <= spans[a.key][1] for a, b in pairs]
        assert found == [a.first_us <= b.last_us and b.first_us <= a.last_us for a, b in pairs]
        assert any(found)

    def test_nobody_gives_none(self):
        assert list(updates_of([])) == []


def decide(kind, identity, tracklet=None, other=None):
    return Decision(kind, tracklet, identity, None if kind is EventType.OPEN else 0.9, {}, other)


class TestIdentityBook:
    A, B, C = ("hall", 1), ("hall", 2), ("door", 1)

    def test_merges_redirect_and_splits_leave(self):
        book = IdentityBook()
        book.apply(
            [decide(EventType.OPEN, number, key) for number, key in enumerate((self.A, self.B, self.C), start=1)]
        )
        book.apply([decide(EventType.MERGE, 3, other=2), decide(EventType.MERGE, 2, other=1)])
        assert [book.identity(key) for key in (self.A, self.B, self.C)] == [1, 1, 1]
        book.apply([decide(EventType.SPLIT, 4, self.B, other=1)])
        assert [book.identity(key) for key in (self.A, self.B, self.C)] == [1, 4, 1]
        book.apply([decide(EventType.ASSIGN, 3, self.B)])
        assert book.identity(self.B) == 1
        assert book.identity(("door", 2)) is None

    @pytest.mark.parametrize(
        ("decision", "fault"),
        [
            (decide(EventType.ASSIGN, 1), "assign of identity 1: expected a tracklet"),
            (decide(EventType.MERGE, 1), "merge of identity 1: expected an older"),
            (decide(EventType.MERGE, 1, other=2), "merge of identity 1: expected an older `other`, got 2"),
        ],
    )
    def test_a_decision_that_cannot_be_is_refused(self, decision, fault):
        with pytest.raises(ValueError, match=fault):
            IdentityBook().apply([decision])


def tracklet_of(number, person, crops=1, camera="c1"):
    return ReplayTracklet(camera, number, person, number * SECOND_US, (number + 1) * SECOND_US, tuple(range(crops)))


class TestScores:
    def test_false_merges_by_hand(self):
        # Identity 1 is Anna by detections though Ben has more tracklets; 2 is a tie, which the lower number wins.
        anna, ben, carl = 1, 2, 3
        people = [(anna, 5), (ben, 2), (ben, 2), (carl, 1), (anna, 1), (carl, 1)]
        tracklets = [tracklet_of(number, *each) for number, each in enumerate(people)]
        identities = {("c1", number): identity for number, identity in enumerate([1, 1, 1, 2, 2])}
        merges = count_false_merges(tracklets, identities)
        assert merges == FalseMerges(count=3, attachments=3)
        assert merges.rate == 1
        assert count_false_merges(tracklets, {}) == FalseMerges(0, 0)
        assert FalseMerges(0, 0).rate == 0

    @pytest.mark.parametrize(("count", "attachments"), [(0, 1), (0, 500), (1, 500), (37, 120), (119, 120)])
    def test_the_bound_leaves_one_in_twenty(self, count, attachments):
        bound = FalseMerges(count, attachments).upper95
        assert binom.cdf(count, attachments, bound) == pytest.approx(0.05)

    def test_the_bound_of_nothing_known_is_one(self):
        assert FalseMerges(0, 0).upper95 == FalseMerges(4, 4).upper95 == 1

    def test_idf1_is_the_best_assignment_weighted_by_detections(self):
        tracklets = draw_journeys(made_up_crops(people=20), 2)
        rng = np.random.default_rng(0)
        identities = {tracklet.key: int(rng.integers(1, 15)) for tracklet in tracklets}
        table = np.zeros((20, 15))
        for tracklet in tracklets:
            table[tracklet.person, identities[tracklet.key]] += len(tracklet.crops)
        best = table[linear_sum_assignment(-table)].sum() / table.sum()
        assert score_identities(tracklets, identities).identity.idf1 == pytest.approx(best, abs=1e-12)

    def test_undecided_tracklets_are_missed(self):
        tracklets = [tracklet_of(1, 1, crops=3), tracklet_of(2, 2, crops=1)]
        scores = score_identities(tracklets, {("c1", 1): 1})
        assert (scores.identity.idp, scores.identity.idr) == (1, 0.75)
        assert score_identities(tracklets, {}).identity.idf1 == 0


class TestReplay:
    def test_ends_with_what_is_said_at_the_end(self):
        crops = made_up_crops()
        encoded = encode(crops)
        tracklets = draw_journeys(crops, 0)
        founders, decisions = {}, []
        for identity, tracklet in enumerate(self.in_order_of_opening(encoded), start=1):
            person = next(each.person for each in tracklets if each.key == tracklet)
            first = founders.setdefault(person, identity)
            if first != identity:
                decisions.append(decide(EventType.MERGE, identity, other=first))
        [result] = replay_seeds(encoded, [0], lambda: Scripted(decisions))
        assert result.tracking.identity.idf1 == 1
        assert result.as_dict()["false_merge_rate"] == 0
        assert result.as_dict()["identities"] == result.as_dict()["persons"] == 12
        assert result.replayed.decisions == len(tracklets) + len(decisions)

    def in_order_of_opening(self, encoded):
        scripted = Scripted()
        list(replay_seeds(encoded, [0], lambda: scripted))
        return list(scripted.opened)

    def test_tracklets_alone_are_no_false_merges(self):
        [result] = replay_seeds(encode(made_up_crops()), [0], Scripted)
        assert result.false_merges == FalseMerges(0, 0)
        assert result.as_dict()["identities"] == len(result.tracklets)

    def test_the_associator_of_run_finds_the_people(self):
        encoded = encode(made_up_crops(people=20))
        results = list(
            replay_seeds(encoded, [0, 0, 1], lambda: build_associator(AssociationSettings(), EmbeddingSpace(DIM)))
        )
        first, again, other = ({**each.as_dict(), "decisions_s": None} for each in results)
        assert first == again != other
        assert all(result.replayed.identities.keys() == {each.key for each in result.tracklets} for result in results)

    def test_people_seen_together_stay_apart(self):
        same = look(1, 0)
        tracklets = [
            RecordedTracklet("hall", number, number, 8 * SECOND_US, (RecordedView(5 * SECOND_US, same, 1.0),))
            for number in (1, 2)
        ]
        replayed = replay(tracklets, build_associator(AssociationSettings(), EmbeddingSpace(DIM)))
        assert len(set(replayed.identities.values())) == 2

    def test_written_files_score_the_same(self, tmp_path):
        encoded = encode(made_up_crops())
        [result] = replay_seeds(
            encoded, [0], lambda: build_associator(AssociationSettings(), EmbeddingSpace(DIM), topology=False)
        )
        write_replay(tmp_path, result, {"seed": 0})
        scored = evaluate_mtmc(tmp_path / "gt" / "mtmc.txt", tmp_path / "tracks" / "mtmc.txt")
        assert scored.as_dict() == result.tracking.as_dict()
        assert json.loads((tmp_path / "summary.json").read_text()) == {"seed": 0}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    """Small crops of eight people, each of a colour of its own, in three cameras."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(3)
    for part, cameras in (("query", (1,)), ("bounding_box_test", (2, 3))):
        (folder / part).mkdir()
        for person in range(1, 9):
            colour = np.random.default_rng(person).integers(30, 220, 3)
            for camera in cameras:
                picture = np.clip(colour + rng.normal(0, 5, (16, 8, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / part / f"{person:04}_c{camera}s1_000001_00.png"), picture)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return write_card(mean_colour_encoder(tmp_path_factory.mktemp("encoder") / "colours.onnx"))


class TestCommand:
    def test_prints_and_writes_the_scores(self, data_set, encoder, tmp_path, capsys):
        command = ["replay", "--from-reid", str(data_set), "--encoder", str(encoder), "--seed", "4"]
        assert run_command_line([*command, "--no-topology", "--out", str(tmp_path / "out"), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads((tmp_path / "out" / "summary.json").read_text())
        assert printed["persons"] == 8
        assert printed["tracklets"] == 24
        assert (printed["target"], printed["seed"], printed["topology"]) == (0.002, 4, False)
        scores = evaluate_mtmc(tmp_path / "out" / "gt" / "mtmc.txt", tmp_path / "out" / "tracks" / "mtmc.txt").as_dict()
        assert {name: printed[name] for name in scores} == scores
        assert 0 <= printed["false_merge_rate"] <= printed["false_merge_upper95"] <= 1
        assert run_command_line([*command, "--target-false-merge-rate", "0.05", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["target"] == 0.05
        assert run_command_line(command) == 0
        assert "false_merge_upper95" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            ([], "replay: expected either --from-reid DIR or --data DIR"),
            (["--data", "d", "--from-reid", "d"], "replay: expected either --from-reid DIR or --data DIR"),
            (["--data", "d", "--seed", "1"], "--encoder, --seed and --blur-heads: expected with --from-reid only"),
            (["--data", "d", "--memory", "soon"], "--memory: soon: expected text like 90s"),
            (
                ["--data", "d", "--target-false-merge-rate", "2"],
                "--target-false-merge-rate: 2.0: expected a number >= 0",
            ),
            (["--data", "nowhere"], "nowhere: no site here"),
        ],
    )
    def test_wrong_use_is_one_line(self, arguments, fault, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run_command_line(["replay", *arguments]) == 2
        error = capsys.readouterr().err
        assert fault in error
        assert error.count("\n") == 1
