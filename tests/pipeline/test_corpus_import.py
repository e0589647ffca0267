"""Crops from elsewhere: folders, sets with Market-1501's names, videos; and the commands around them."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline import corpus_video
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.corpus_import import FRAME_US, camera_name, import_folder, picture_crop
from reid_pipeline.pipeline.corpus_video import VideoParts, import_videos
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.replay_journeys import find_stretches, parse_name
from reid_pipeline.pipeline.tracker_settings import TrackerSettings
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import open_database
from tests.pipeline.builders import real_data
from tests.scene import WALKS, render, write_video

NOW_US = 1_763_640_000_000_000


def nothing(done, total):
    assert done <= total or not total


def write_picture(path, seed, suffix=".jpg"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 255, (128, 64, 3)).astype(np.uint8)
    cv2.imwrite(str(path.with_suffix(suffix)), picture)


def market(folder, *names):
    for seed, name in enumerate(names):
        write_picture(folder / f"{name}.jpg", seed)
    return folder


@pytest.fixture
def store(tmp_path):
    with open_database(tmp_path / "data") as database:
        yield CorpusStore(database)


def take_in(store, folder, camera=None):
    return import_folder(folder, store, camera, NOW_US, nothing)


def tracklets(store):
    """Camera and crops of each, in order of time."""
    known = {each.id: each for each in store.tracklets()}
    found = {}
    for item in store.items():
        found.setdefault(item.tracklet, []).append(item.time_us)
    return [(known[key].camera, times) for key, times in found.items()]


class TestMarketNames:
    def test_a_tracklet_is_a_stretch_of_one_person_in_one_camera_and_sequence(self, tmp_path, store):
        names = ("0002_c1s1_000000_00", "0002_c1s1_000250_00", "0002_c1s1_000501_00", "0002_c2s1_000250_00")
        counts = take_in(store, market(tmp_path / "m", *names, "0002_c1s2_000250_00", "0007_c1s1_000100_00"))
        assert (counts.tracklets, counts.crops) == (5, 6)
        times = [(camera, [(time_us - NOW_US) // FRAME_US for time_us in times]) for camera, times in tracklets(store)]
        # Sequence 1 has 502 frames, sequence 2 has 251, and the end of both is now.
        assert times == [
            ("c1", [-753, -503]),
            ("c1", [-653]),
            ("c2", [-503]),
            ("c1", [-252]),
            ("c1", [-1]),
        ]

    def test_only_who_shares_camera_and_sequence_shares_a_run(self, tmp_path, store):
        take_in(store, market(tmp_path / "m", "0002_c1s1_000001_00", "0003_c1s1_000002_00", "0002_c2s1_000001_00"))
        take_in(store, market(tmp_path / "n", "0002_c1s2_000001_07"))
        runs = [(each.camera, each.run) for each in store.tracklets()]
        assert len({run for _, run in runs}) == len(set(runs)) == 2
        assert sum(camera == "c1" for camera, _ in runs) == 2

    def test_junk_and_distractors_are_left_out(self, tmp_path, store):
        counts = take_in(
            store, market(tmp_path / "m", "-1_c1s1_000001_00", "0000_c1s1_000002_00", "0002_c1s1_000003_00")
        )
        assert (counts.crops, counts.left_out) == (1, 2)

    def test_who_is_on_a_crop_is_not_stored(self, tmp_path, store):
        take_in(store, market(tmp_path / "m", "7654_c1s1_000001_00", "9876_c2s1_000001_00"))
        content = (tmp_path / "data" / "site.db").read_bytes() + (tmp_path / "data" / "site.db-wal").read_bytes()
        assert b"7654" not in content
        assert b"9876" not in content

    def test_a_second_import_adds_nothing_and_a_larger_set_only_what_is_new(self, tmp_path, store):
        folder = market(tmp_path / "m", "0002_c1s1_000001_00", "0002_c1s1_000002_00")
        take_in(store, folder)
        counts = take_in(store, folder)
        assert (counts.tracklets, counts.crops, counts.known) == (0, 0, 2)
        shutil.copytree(folder, tmp_path / "moved")
        assert take_in(store, tmp_path / "moved").crops == 0
        write_picture(folder / "0002_c1s1_000003_00.jpg", 9)
        counts = take_in(store, folder)
        assert (counts.crops, counts.known) == (1, 2)
        assert store.stats().crops == 3

    def test_a_name_for_the_cameras_keeps_two_sets_apart(self, tmp_path, store):
        take_in(store, market(tmp_path / "m", "0002_c1s1_000001_00"), camera="yard")
        assert [camera for camera, _ in tracklets(store)] == ["yard_c1"]

    def test_names_of_two_kinds_are_refused(self, tmp_path, store):
        folder = market(tmp_path / "m", "0002_c1s1_000001_00", "me")
        with pytest.raises(InputError, match=r"me\.jpg: is not named as the other crops"):
            take_in(store, folder)
        with pytest.raises(InputError, match="expected a number of frames"):
            take_in(store, market(tmp_path / "n", "0002_c1s1_9999999999_00"))

    @pytest.mark.data
    def test_a_real_set_gives_the_tracklets_of_replay(self, store):
        folder = real_data("reid", "market1501", "query")
        counts = take_in(store, folder)
        crops = [parse_name(path) for path in sorted(folder.glob("*.jpg"))]
        assert counts.crops == len(crops) == store.stats().crops
        assert counts.tracklets == len(list(find_stretches(crops)))


class TestPlainFolders:
    def test_pictures_are_tracklets_and_folders_are(self, tmp_path, store):
        folder = tmp_path / "Yard 2"
        for seed, name in enumerate(("a.jpg", "b.jpg", "one/x.jpg", "one/y.jpg", "lobby/7/p.jpg", "lobby/7/q.jpg")):
            write_picture(folder / name, seed)
        counts = take_in(store, folder)
        assert (counts.tracklets, counts.crops) == (4, 6)
        assert sorted((camera, len(times)) for camera, times in tracklets(store)) == [
            ("Yard_2", 1),
            ("Yard_2", 1),
            ("Yard_2", 2),
            ("lobby", 2),
        ]
        assert {camera for camera, _ in tracklets(store)} == {"Yard_2", "lobby"}

    def test_nobody_is_there_with_another(self, tmp_path, store):
        for seed, name in enumerate(("a", "b", "one/x", "one/y", "two/x")):
            write_picture(tmp_path / "f" / f"{name}.jpg", seed)
        take_in(store, tmp_path / "f", camera="gate")
        found = list(store.tracklets())
        assert {each.camera for each in found} == {"gate"}
        assert all(one.last_us < two.first_us for one, two in pairwise(found))
        assert found[-1].last_us < NOW_US

    def test_jpegs_are_kept_as_they_are_and_others_become_jpegs(self, tmp_path, store):
        write_picture(tmp_path / "f" / "a.jpg", 1)
        write_picture(tmp_path / "f" / "b", 2, ".png")
        take_in(store, tmp_path / "f")
        jpeg, made = (content for _, content in store.read(store.items()))
        assert jpeg == (tmp_path / "f" / "a.jpg").read_bytes()
        assert made.startswith(b"\xff\xd8")
        assert take_in(store, tmp_path / "f").known == 2

    def test_a_broken_picture_is_counted_and_left_out(self, tmp_path, store):
        write_picture(tmp_path / "f" / "a.jpg", 1)
        (tmp_path / "f" / "b.jpg").write_bytes(b"not a picture")
        (tmp_path / "f" / "c.jpg").write_bytes(b"")
        counts = take_in(store, tmp_path / "f")
        assert (counts.crops, counts.unreadable) == (1, 2)

    @pytest.mark.parametrize(("text", "name"), [("../..", "camera"), ("hall", "hall"), ("ü" * 9 + "x", "x")])
    def test_names_of_cameras_are_safe(self, text, name):
        assert camera_name(text) == name


@pytest.fixture(scope="module")
def parts(scene):
    return VideoParts(
        build_detector(str(scene.detector), 0.1), build_encoder(str(scene.encoder)), TrackerSettings(), fps=8.0
    )


def film(store, path, parts, camera=None):
    return import_videos(path, store, parts, camera, NOW_US, nothing)


class TestVideos:
    def test_people_are_followed_and_their_crops_kept(self, store, scene, parts):
        counts = film(store, scene.video("hall"), parts)
        assert (counts.videos, counts.tracklets) == (1, len(WALKS["hall"]))
        found = list(store.tracklets())
        assert [(each.camera, each.number) for each in found] == [("hall", 1), ("hall", 2)]
        for tracklet, walk in zip(found, WALKS["hall"], strict=True):
            seconds = (tracklet.last_us - tracklet.first_us) / 1e6
            assert seconds == pytest.approx((walk.last - walk.first) / 8, abs=0.5)
        items = list(store.items())
        assert counts.crops == len(items)
        # Their looks never change: they are kept where the background or the edge of the box does.
        assert {item.tracklet for item in items} == {each.id for each in found}
        assert all((item.width, item.height) == (40, 100) for item in items)
        assert found[-1].last_us <= NOW_US

    def test_a_video_is_known_by_its_content(self, tmp_path, store, scene, parts):
        first = film(store, scene.video("hall"), parts)
        shutil.copy(scene.video("hall"), tmp_path / "another name.mp4")
        again = film(store, tmp_path / "another name.mp4", parts)
        assert (again.known_videos, again.crops) == (1, 0)
        assert store.stats().crops == first.crops

    def test_two_videos_of_one_name_are_both_there(self, tmp_path, store, scene, parts):
        for camera in ("hall", "door"):
            (tmp_path / "v" / camera).mkdir(parents=True)
            shutil.copy(scene.video(camera), tmp_path / "v" / camera / "0001.mp4")
        counts = film(store, tmp_path / "v", parts)
        assert counts.videos == 2
        apart = {each.camera for each in store.tracklets()}
        assert apart == {"hall_0001", "door_0001"}
        assert counts.tracklets == sum(map(len, WALKS.values())) == len(list(store.tracklets()))

    def test_two_videos_of_one_camera_are_two_runs(self, tmp_path, store, scene, parts):
        for camera in ("hall", "door"):
            film(store, scene.video(camera), parts, "gate")
        assert {each.camera for each in store.tracklets()} == {"gate"}
        assert len({each.run for each in store.tracklets()}) == 2

    def test_an_import_that_is_stopped_goes_on_and_loses_and_doubles_nothing(
        self, tmp_path, store, scene, parts, monkeypatch
    ):
        monkeypatch.setattr(corpus_video, "_COMMIT_FRAMES", 20)

        def stop(done, total):
            if done >= 50:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_videos(scene.video("hall"), store, parts, None, NOW_US, stop)
        before = list(store.items())
        assert before
        film(store, scene.video("hall"), parts)
        items = list(store.items())
        assert set(before) <= set(items)
        pictures = [(item.time_us, jpeg) for item, jpeg in store.read(items)]
        assert len(set(pictures)) == len(pictures)
        with open_database(tmp_path / "whole") as database:
            whole = CorpusStore(database)
            film(whole, scene.video("hall"), parts)
            assert abs(len(list(whole.items())) - len(items)) <= 2 * len(WALKS["hall"])
        assert film(store, scene.video("hall"), parts).known_videos == 1

    def test_a_video_that_breaks_off_keeps_what_was_read(self, tmp_path, store, parts):
        path = write_video(tmp_path / "cut.mp4", render(WALKS["hall"]), faststart=True)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        counts = film(store, path, parts)
        assert counts.unreadable == 1
        assert counts.crops > 0

    def test_a_file_that_is_no_video_is_left_out_of_a_folder(self, tmp_path, store, scene, parts):
        (tmp_path / "v").mkdir()
        (tmp_path / "v" / "a.mp4").write_bytes(b"no video")
        shutil.copy(scene.video("hall"), tmp_path / "v" / "b.mp4")
        counts = film(store, tmp_path / "v", parts)
        assert (counts.videos, counts.unreadable) == (1, 1)
        with pytest.raises(InputError, match="cannot be read as video"):
            film(store, tmp_path / "v" / "a.mp4", parts)


def command(capsys, *arguments):
    code = run_command_line(["corpus", *map(str, arguments), "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else None


class TestCommands:
    @pytest.fixture
    def crops(self, tmp_path):
        return market(tmp_path / "m", "0002_c1s1_000001_00", "0002_c1s1_000002_00", "0003_c2s1_000001_00")

    def test_import_makes_a_site_and_stats_and_export_read_it(self, tmp_path, capsys, crops):
        data = ("--data", tmp_path / "site")
        code, done = command(capsys, "import", crops, *data)
        assert (code, done["tracklets"], done["crops"]) == (0, 2, 3)
        code, found = command(capsys, "stats", *data, "--plot", tmp_path / "plot.svg")
        assert (code, found["crops"], found["cameras"]["c1"]["tracklets"]) == (0, 3, 1)
        assert sum(found["days"].values()) == 3
        plot = Path(tmp_path / "plot.svg").read_text(encoding="utf-8")
        assert plot.startswith("<svg")
        assert "c1: 2" in plot
        code, done = command(capsys, "export", tmp_path / "out", *data, "--camera", "c1")
        assert (code, done["crops"]) == (0, 2)
        with (tmp_path / "out" / "manifest.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["camera"] for row in rows] == ["c1", "c1"]
        stored = {(tmp_path / "out" / row["file"]).read_bytes() for row in rows}
        pictures = [(path.read_bytes(), cv2.imread(str(path))) for path in crops.glob("0002*")]
        assert stored == {picture_crop(content, image, 0, blur=True).jpeg for content, image in pictures}
        code, done = command(capsys, "import", tmp_path / "out", "--data", tmp_path / "other")
        assert (code, done["tracklets"], done["crops"]) == (0, 1, 2)

    def test_a_folder_that_holds_something_is_not_written_into(self, tmp_path, capsys, crops):
        command(capsys, "import", crops, "--data", tmp_path / "site")
        code, _ = command(capsys, "export", crops, "--data", tmp_path / "site")
        assert code == 2

    def test_part_of_the_files_is_exit_code_3(self, tmp_path, capsys, crops):
        (crops / "0004_c1s1_000001_00.jpg").write_bytes(b"no picture")
        assert command(capsys, "import", crops, "--data", tmp_path / "site")[0] == 3

    @pytest.mark.parametrize(
        "arguments",
        [
            ("import", "nowhere", "--data", "site"),
            ("import", "empty", "--data", "site"),
            ("import", "empty"),
            ("import", "m", "--data", "site", "--camera", "a b"),
            ("stats", "--data", "nosite"),
            ("stats", "--data", "site", "--plot", "plot.pdf"),
            ("stats", "--data", "site", "--camera", "c9"),
            ("export", "m", "--data", "nosite"),
        ],
        ids=" ".join,
    )
    def test_what_the_user_can_mend_is_exit_code_2(self, tmp_path, capsys, crops, monkeypatch, arguments):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        command(capsys, "import", crops, "--data", "site")
        assert command(capsys, *arguments)[0] == 2

    def test_a_site_by_its_cameras_yaml_detects_with_its_own_models(self, tmp_path, capsys, scene):
        from tests.scene import write_settings

        config = write_settings(tmp_path / "s", scene.settings)
        code, done = command(capsys, "import", scene.video("door"), config, "--camera", "yard", "--fps", 8)
        assert (code, done["tracklets"]) == (0, len(WALKS["door"]))
        code, found = command(capsys, "stats", config)
        assert list(found["cameras"]) == ["yard"]
