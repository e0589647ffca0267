"""`reid-pipeline run` on a scene whose truth is known: what it leaves behind, and what a second run adds."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline import run_command
from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.evaluate import evaluate_mot, evaluate_mtmc
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.pipeline.protocols import Source
from reid_pipeline.pipeline.sources import build_source
from reid_pipeline.pipeline.video import identity_colour
from tests.pipeline.run_site import RunSite, people_of
from tests.scene import FPS, FRAMES, HEIGHT, HIGH, LOW, PERSON_HEIGHT, WALKS, WIDTH, Scene, Walk, render, write_video

TOTALS = {
    "frames_read",
    "frames_processed",
    "frames_dropped",
    "detections",
    "tracklets",
    "identities",
    "fps",
    "latency_ms",
}
ONCE = {"wall_s", "stages_s", "peak_rss_mb", "models", "settings", "cameras"}


@pytest.fixture
def site(tmp_path: Path, scene: Scene) -> RunSite:
    """The scene, not run yet."""
    return RunSite(tmp_path / "site", scene.settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> RunSite:
    """The scene after one run; tests only read it."""
    site = RunSite(tmp_path_factory.mktemp("done"), {**scene.settings, "outputs": {"video": True}})
    assert site.run() == 0
    return site


def one_camera(scene: Scene, path: Path, **camera: object) -> dict:
    """Settings with one camera, ``hall``."""
    return {**scene.settings, "cameras": {"hall": {"inputs": [{"path": str(path)}], **camera}}}


def pictures_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="bgr24") for picture in container.decode(video=0)]


class TestWhatARunLeaves:
    def test_the_tracks_are_those_of_the_walkers(self, done, scene):
        for camera in WALKS:
            scores = evaluate_mot(scene.truth(camera), done.data_dir / "tracks" / f"{camera}.txt").as_dict()
            assert scores["IDF1"] >= 0.97  # the first two boxes of each tracklet are not believed yet
            assert scores["IDSW"] == 0

    def test_one_person_is_one_identity_in_both_cameras(self, done, scene):
        people = people_of(scene.mtmc_truth, done)
        assert sorted(people) == [1, 2, 3]
        assert all(len(identities) == 1 for identities in people.values())
        assert set().union(*people.values()) == {1, 2, 3}
        assert evaluate_mtmc(scene.mtmc_truth, done.data_dir / "tracks" / "mtmc.txt").as_dict()["IDF1"] >= 0.95

    def test_tracklets_count_from_1_in_each_camera(self, done):
        assert sorted(set(done.tracks("hall").keys.ids)) == [1, 2]
        assert sorted(set(done.tracks("door").keys.ids)) == [1, 2, 3]

    def test_track_files_have_the_form_of_motchallenge(self, done):
        lines = done.read("tracks/hall.txt").decode().splitlines()
        number = r"-?\d+\.\d+"
        assert all(re.fullmatch(rf"\d+,\d+,({number},){{5}}-1,-1,-1", line) for line in lines)
        frames = [int(line.split(",")[0]) for line in lines]
        assert frames == sorted(frames)
        assert frames[-1] == FRAMES

    def test_mtmc_holds_the_boxes_of_the_cameras(self, done):
        def rows(name):
            return [line.split(",") for line in done.read(f"tracks/{name}.txt").decode().splitlines()]

        together = {(camera, frame, *box) for camera, frame, _, *box in rows("mtmc")}
        alone = {(camera, frame, *rest[:5]) for camera in WALKS for frame, _, *rest in rows(camera)}
        assert together == alone

    def test_the_database_agrees(self, done):
        done.check_whole()
        assert done.query("SELECT count(*), sum(closed) FROM tracklets") == [(5, 5)]
        assert done.query("SELECT status FROM runs") == [("done",)]
        assert done.query("SELECT frames_committed, finished FROM sources") == [(FRAMES, 1)] * 2
        spans = done.query(
            "SELECT name, number, first_frame, last_frame, identity FROM tracklets t JOIN cameras c ON c.id = camera_id"
        )
        mtmc = done.mtmc()
        for camera, number, first, last, identity in spans:
            tracks = done.tracks(camera)
            frames = tracks.keys.frames[tracks.keys.ids == number]
            assert (frames.min(), frames.max()) == (first, last)
            same = (mtmc.keys.cameras == camera) & (mtmc.keys.ids == identity)
            np.testing.assert_array_equal(np.sort(mtmc.keys.frames[same]), np.sort(frames))

    def test_every_crop_is_a_picture_of_its_box(self, done):
        rows = done.query("SELECT path, x1, y1, x2, y2 FROM crops")
        files = {path.relative_to(done.data_dir).as_posix() for path in (done.data_dir / "crops").rglob("*.*")}
        assert files == {row[0] for row in rows}
        assert len(rows) >= 10
        for path, x1, y1, x2, y2 in rows:
            assert cv2.imread(str(done.data_dir / path)).shape == (round(y2 - y1), round(x2 - x1), 3)

    def test_the_embeddings_are_those_of_the_stored_pictures(self, done, scene):
        rows = done.query("SELECT path, vector FROM crops c JOIN embeddings e ON e.crop_id = c.id")
        stored = np.stack([np.frombuffer(vector, "<f4") for _, vector in rows])
        crops = [cv2.imread(str(done.data_dir / path)) for path, _ in rows]
        np.testing.assert_array_equal(stored, build_encoder(str(scene.encoder)).encode(crops))

    def test_events_tell_each_tracklet_and_identity(self, done):
        events = done.events()
        assert {event["type"] for event in events} == {"new", "update", "end", "camera"}
        for event in events:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
            assert event["camera"] in WALKS
            if event["type"] != "camera":
                assert {"frame", "tracklet", "identity", "probability", "box"} <= event.keys()
        tracklets = {("hall", 1), ("hall", 2), ("door", 1), ("door", 2), ("door", 3)}
        for kind in ("new", "update", "end"):
            chosen = [(event["camera"], event["tracklet"]) for event in events if event["type"] == kind]
            assert len(chosen) == 5
            assert set(chosen) == tracklets
        assert all(len(event["box"]) == 4 for event in events if event["type"] == "new")
        ends = [event["identity"] for event in events if event["type"] == "end"]
        assert sorted(ends) == [1, 1, 2, 2, 3]
        sure = [event["probability"] for event in events if event["probability"] is not None]
        assert len(sure) == 2  # two tracklets were recognised, the other three opened identities
        assert min(sure) > 0.9

    def test_the_summary_has_all_fields(self, done):
        summary = done.summary()
        assert summary.keys() >= TOTALS | ONCE
        assert (summary["frames_read"], summary["frames_processed"], summary["frames_dropped"]) == (192, 192, {})
        assert (summary["tracklets"], summary["identities"]) == (5, 3)
        assert summary["latency_ms"].keys() == {"p50", "p95"}
        assert summary["fps"] > 0
        assert all(len(model["hash"]) == 64 for model in summary["models"].values())
        assert summary["settings"]["outputs.video"] is True
        found = {}
        for camera, entry in summary["cameras"].items():
            assert entry.keys() >= TOTALS
            assert (entry["frames_read"], entry["frames_processed"], entry["frames_dropped"]) == (FRAMES, FRAMES, {})
            found[camera] = entry["tracklets"], entry["identities"]
        assert found == {"hall": (2, 2), "door": (3, 3)}
        boxes = sum(walk.last - walk.first + 1 for walks in WALKS.values() for walk in walks)
        assert boxes <= summary["detections"] <= 1.02 * boxes
        assert summary["detections"] == sum(entry["detections"] for entry in summary["cameras"].values())

    def test_the_videos_show_every_frame(self, done):
        for camera in WALKS:
            pictures = pictures_of(done.data_dir / "videos" / f"{camera}.mp4")
            assert len(pictures) == FRAMES
            assert pictures[0].shape == (HEIGHT, WIDTH, 3)
            with av.open(str(done.data_dir / "videos" / f"{camera}.mp4")) as container:
                assert container.streams.video[0].average_rate == FPS

    @pytest.mark.parametrize("camera", WALKS)
    def test_labels_have_the_colour_of_the_identity(self, done, camera):
        frame = 60
        picture = pictures_of(done.data_dir / "videos" / f"{camera}.mp4")[frame - 1]
        mtmc = done.mtmc()
        here = (mtmc.keys.cameras == camera) & (mtmc.keys.frames == frame)
        assert here.sum() == 2
        for identity, box in zip(mtmc.keys.ids[here].tolist(), mtmc.boxes[here], strict=True):
            x1, y1 = box[:2].astype(int)
            seen = np.median(picture[y1 - 7 : y1 - 1, x1 : x1 + 50], axis=(0, 1))
            expected = np.array(identity_colour(identity))
            # Its text makes the label darker; grey, or another identity's colour, comes to less than 0.9.
            assert seen @ expected / np.linalg.norm(seen) / np.linalg.norm(expected) > 0.98


def test_json_is_one_object_on_stdout(site):
    process = site.start("--json")
    out, err = process.communicate()
    assert process.returncode == 0
    assert json.loads(out) == site.summary()
    assert json.loads(out)["frames_processed"] == 2 * FRAMES
    assert all(json.loads(line)["message"] for line in err.splitlines())


class TestASecondRun:
    def test_finished_files_add_nothing(self, site):
        assert site.run() == 0
        tracks, events, tracklets = site.read("tracks/mtmc.txt"), site.events(), site.query("SELECT * FROM tracklets")
        assert site.run() == 0
        assert (site.summary()["frames_read"], site.summary()["tracklets"]) == (0, 0)
        assert site.read("tracks/mtmc.txt") == tracks
        assert site.events() == events
        assert site.query("SELECT * FROM tracklets") == tracklets
        assert site.query("SELECT status FROM runs") == [("done",), ("done",)]

    def test_a_run_goes_on_where_the_last_one_ended(self, site, scene):
        assert site.run("--max-frames", "20") == 0
        assert site.summary()["frames_processed"] == 40
        assert site.frames_committed() == {"hall": 20, "door": 20}
        assert site.query("SELECT sum(finished) FROM sources") == [(0,)]
        started = site.query("SELECT start_us FROM sources")
        before = {camera: max(site.tracks(camera).keys.ids) for camera in WALKS}

        assert site.run() == 0
        assert site.summary()["frames_processed"] == 2 * FRAMES - 40
        assert site.query("SELECT start_us FROM sources") == started
        for event in site.events():
            if event["frame"]:
                capture_us = started[0][0] + (event["frame"] - 1) * 1_000_000 // FPS
                assert event["time"] == iso_time(capture_us)
        for camera in WALKS:
            tracks = site.tracks(camera)
            later = tracks.keys.ids[tracks.keys.frames > 20]
            assert later.min() == before[camera] + 1  # a tracklet is of one run
        assert people_of(scene.mtmc_truth, site) == {1: {1}, 2: {2}, 3: {3}}
        site.check_whole()

    def test_recordings_of_long_ago_go_on_too(self, tmp_path, scene):
        start = "2021-03-01T08:00:00Z"
        cameras = {name: {**camera, "start": start} for name, camera in scene.settings["cameras"].items()}
        site = RunSite(tmp_path, {**scene.settings, "cameras": cameras})
        assert site.run("--max-frames", "50") == 0
        assert site.run() == 0
        assert all(len(identities) == 1 for identities in people_of(scene.mtmc_truth, site).values())
        assert site.events()[2]["time"] == "2021-03-01T08:00:00.250Z"  # the third frame, at 8 a second

    def test_three_runs_give_the_boxes_of_one(self, site, done):
        for _ in range(3):
            assert site.run("--max-frames", "40") == 0
        for camera in WALKS:
            frames, whole = site.tracks(camera).keys.frames, done.tracks(camera).keys.frames
            # A tracklet needs three sightings, but the first two are found again.
            np.testing.assert_array_equal(np.sort(frames), np.sort(whole))

    def test_again_replaces_what_was_found_with_new_numbers(self, site):
        assert site.run() == 0
        tracks, crops = site.tracks("hall"), set((site.data_dir / "crops").rglob("*.jpg"))
        assert site.run("--again") == 0
        replaced = site.tracks("hall")
        np.testing.assert_array_equal(replaced.boxes, tracks.boxes)
        np.testing.assert_array_equal(replaced.keys.ids, tracks.keys.ids + 2)
        assert min(site.mtmc().keys.ids) == 4  # identities are not given again either
        assert crops.isdisjoint((site.data_dir / "crops").rglob("*.jpg"))
        assert site.query("SELECT frames_committed, finished FROM sources") == [(FRAMES, 1)] * 2
        site.check_whole()

    def test_another_file_under_the_same_name_is_a_new_source(self, tmp_path, scene):
        path = tmp_path / "hall.mp4"
        write_video(path, render([Walk(1, 1, 40, 20, 150, HIGH)], 40))
        site = RunSite(tmp_path / "site", one_camera(scene, path))
        assert site.run() == 0
        assert set(site.tracks("hall").keys.ids) == {1}
        write_video(path, render([Walk(3, 1, 48, 20, 150, HIGH), Walk(1, 5, 48, 200, 30, LOW)], 48))
        assert site.run() == 0
        assert site.query("SELECT frames_committed, finished, current FROM sources") == [(40, 1, 0), (48, 1, 1)]
        assert set(site.tracks("hall").keys.ids) == {2, 3}
        by_number = dict(site.query("SELECT number, identity FROM tracklets"))
        assert by_number[1] == by_number[3] != by_number[2]


class SlowSource:
    """A file that takes its time: the other cameras would run far ahead of it."""

    def __init__(self, source: Source) -> None:
        self.live = source.live
        self.dropped = source.dropped
        self._source = source

    def frames(self) -> Iterator[Frame]:
        for frame in self._source.frames():
            time.sleep(0.01)
            yield frame

    def close(self) -> None:
        self._source.close()


class TestCameras:
    def test_two_cameras_may_read_one_file(self, tmp_path, scene):
        camera = {"inputs": [{"path": str(scene.video("hall"))}]}
        site = RunSite(tmp_path, {**scene.settings, "cameras": {"left": camera, "right": camera}})
        assert site.run() == 0
        assert site.read("tracks/left.txt") == site.read("tracks/right.txt") != b""
        mtmc = site.mtmc()
        for camera in ("left", "right"):
            assert set(mtmc.keys.ids[mtmc.keys.cameras == camera]) == {1, 2}

    def test_sampling_is_counted(self, tmp_path, scene):
        site = RunSite(tmp_path, one_camera(scene, scene.video("hall"), detect={"fps": FPS / 2}))
        assert site.run() == 0
        entry = site.summary()["cameras"]["hall"]
        assert (entry["frames_read"], entry["frames_processed"]) == (FRAMES, FRAMES // 2)
        assert entry["frames_dropped"] == {"sampled": FRAMES // 2}
        scores = evaluate_mot(scene.truth("hall"), site.data_dir / "tracks" / "hall.txt").as_dict()
        assert scores["IDF1"] >= 0.9  # the frames between are filled in

    def test_a_folder_of_pictures_is_a_camera(self, tmp_path, scene):
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number, picture in enumerate(render(WALKS["hall"]), 1):
            cv2.imwrite(str(folder / f"{number}.png"), picture)
        settings = one_camera(scene, folder)
        settings["cameras"]["hall"]["inputs"][0]["fps"] = FPS
        site = RunSite(tmp_path, settings)
        assert site.run() == 0
        assert site.summary()["frames_processed"] == FRAMES
        assert evaluate_mot(scene.truth("hall"), site.data_dir / "tracks" / "hall.txt").as_dict()["IDF1"] >= 0.97
        assert site.run() == 0
        assert site.summary()["frames_read"] == 0

    def test_what_is_masked_is_black_everywhere_and_never_detected(self, tmp_path, scene):
        border = (HIGH + PERSON_HEIGHT + 2) / HEIGHT
        stripe = LOW + 50, LOW + 56
        masks = [
            {"points": [[0, 0], [1, 0], [1, border], [0, border]]},
            {"points": [[x, y / HEIGHT] for x, y in ((0, stripe[0]), (1, stripe[0]), (1, stripe[1]), (0, stripe[1]))]},
        ]
        settings = one_camera(scene, scene.video("hall"), privacy=masks)
        site = RunSite(tmp_path, {**settings, "outputs": {"video": True}})
        assert site.run() == 0
        assert set(site.tracks("hall").keys.ids) == {1}
        assert site.tracks("hall").keys.frames.min() >= WALKS["hall"][1].first
        for path, y1 in site.query("SELECT path, y1 FROM crops"):
            crop = cv2.imread(str(site.data_dir / path))
            top = stripe[0] - int(y1)
            assert crop[top + 1 : top + 5].max() < 60  # JPEG bleeds a little
            assert crop[top - 20 : top - 4].max() > 150
        for picture in pictures_of(site.data_dir / "videos" / "hall.mp4"):
            assert picture[:90].max() < 30  # below it are the labels

    @pytest.mark.parametrize("slow", WALKS)
    def test_tracks_do_not_depend_on_the_speed_of_a_camera(self, site, done, monkeypatch, slow):
        def build(spec, wanted):
            source = build_source(spec, wanted)
            return SlowSource(source) if spec.camera == slow else source

        monkeypatch.setattr(run_command, "build_source", build)
        assert site.run() == 0
        assert site.read("tracks/mtmc.txt") == done.read("tracks/mtmc.txt")

    @pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
    def test_tracks_do_not_depend_on_the_number_of_processors(self, tmp_path, scene):
        found = []
        for count in (1, 2):
            site = RunSite(tmp_path / f"{count}", scene.settings)
            chosen = sorted(os.sched_getaffinity(0))[:count]
            process = site.start(before=f"import os; os.sched_setaffinity(0, {chosen})")
            process.communicate()
            assert process.returncode == 0
            found.append([site.read(f"tracks/{name}.txt") for name in (*WALKS, "mtmc")])
        assert found[0] == found[1]

    def test_a_camera_that_is_not_enabled_is_not_read(self, tmp_path, scene):
        cameras = {**scene.settings["cameras"], "door": {**scene.settings["cameras"]["door"], "enabled": False}}
        site = RunSite(tmp_path, {**scene.settings, "cameras": cameras})
        assert site.run() == 0
        assert list(site.summary()["cameras"]) == ["hall"]

    def test_outputs_can_be_switched_off(self, tmp_path, scene):
        site = RunSite(tmp_path, {**scene.settings, "outputs": {"tracks": False, "events": False}})
        assert site.run() == 0
        assert not (site.data_dir / "tracks").exists()
        assert not (site.data_dir / "events.ndjson").exists()
        assert site.query("SELECT count(*) FROM tracklets") == [(5,)]
