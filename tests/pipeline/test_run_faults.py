"""`reid-pipeline run` when something is wrong: bad input, broken files, kills, signals, dying threads."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from reid_pipeline.pipeline import run_command
from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.evaluate import evaluate_mtmc
from reid_pipeline.pipeline.mot_format import read_mtmc
from reid_pipeline.pipeline.protocols import Source
from reid_pipeline.pipeline.sources import build_source
from tests.pipeline.run_site import RunSite, people_of, wait_until
from tests.scene import FRAMES, WALKS, Scene, render, write_video

KILLS = 4
KNOWN_AFTER = 32  # frames after which all three people have an identity


def refused(site: RunSite, capfd: pytest.CaptureFixture[str]) -> str:
    """Runs a site that cannot be run; returns the one line that says why."""
    assert site.run() == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert not site.data_dir.exists()
    return captured.err


class TestBadInput:
    @pytest.fixture
    def site_of(self, tmp_path: Path, scene: Scene) -> Callable[..., RunSite]:
        """Makes a site whose second camera reads another path."""

        def make(path: Path, **settings: object) -> RunSite:
            door = {"inputs": [{"path": str(path)}]}
            cameras = {"hall": scene.settings["cameras"]["hall"], "door": door}
            return RunSite(tmp_path / "site", {**scene.settings, "cameras": cameras, **settings})

        return make

    def test_no_such_file(self, tmp_path, site_of, capfd):
        path = tmp_path / "none.mp4"
        assert f"door: no such file: {path}; expected a video file" in refused(site_of(path), capfd)

    def test_text_named_as_a_video(self, tmp_path, site_of, capfd):
        path = tmp_path / "text.mp4"
        path.write_text("not a video\n" * 100, encoding="utf-8")
        line = refused(site_of(path), capfd)
        assert f"door: {path} cannot be read as video" in line
        assert "expected a whole video" in line

    def test_an_mp4_without_its_index(self, tmp_path, scene, site_of, capfd):
        path = tmp_path / "cut.mp4"
        data = scene.video("door").read_bytes()
        path.write_bytes(data[: data.index(b"moov") - 4])  # a box's name stands behind its length of 4 bytes
        line = refused(site_of(path), capfd)
        assert f"door: {path} cannot be read as video" in line
        assert "expected a whole video" in line

    def test_an_empty_folder(self, tmp_path, site_of, capfd):
        path = tmp_path / "pictures"
        path.mkdir()
        line = refused(site_of(path), capfd)
        assert f"door: folder {path} holds no pictures; expected .jpg or .png" in line

    def test_an_unknown_key(self, scene, site_of, capfd):
        site = site_of(scene.video("door"), detektor={"model": "x"})
        line = refused(site, capfd)
        assert f"{site.config}:" in line
        assert "detektor: " in line
        assert "unknown key" in line
        assert "detector" in line

    def test_a_model_whose_output_is_no_detectors(self, scene, site_of, capfd):
        graph = scene.encoder / "graph.onnx"
        shutil.copy(graph, site_of(scene.video("door")).config.parent / "bare.onnx")
        site = site_of(scene.video("door"), detector={"model": "bare.onnx"})
        line = refused(site, capfd)
        assert f"{site.config.parent / 'bare.onnx'}: output [1, 18]" in line
        assert "expected ultralytics, yolox or ssd" in line

    def test_a_model_of_another_task(self, scene, site_of, capfd):
        line = refused(site_of(scene.video("door"), detector={"model": str(scene.encoder)}), capfd)
        assert str(scene.encoder) in line
        assert "expected a detector" in line

    def test_an_encoder_without_a_card(self, tmp_path, scene, site_of, capfd):
        graph = shutil.copy(scene.encoder / "graph.onnx", tmp_path / "bare.onnx")
        line = refused(site_of(scene.video("door"), encoder={"model": str(graph)}), capfd)
        assert f"{graph}: an encoder needs a card: expected model.json" in line

    def test_a_card_that_names_another_hash(self, tmp_path, scene, site_of, capfd):
        folder = shutil.copytree(scene.encoder, tmp_path / "encoder")
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        card["sha256"]["graph.onnx"] = "0" * 64
        (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
        line = refused(site_of(scene.video("door"), encoder={"model": str(folder)}), capfd)
        assert f"{folder / 'model.json'}: sha256.graph.onnx: 000000000000… is expected" in line

    def test_two_cameras_of_one_name(self, scene, site_of, capfd):
        site = site_of(scene.video("door"))
        text = site.config.read_text(encoding="utf-8").replace("  door:", "  hall:")
        site.config.write_text(text, encoding="utf-8")
        line = refused(site, capfd)
        assert f"{site.config}:" in line
        assert "hall" in line
        assert "expected" in line

    def test_no_camera_that_is_enabled(self, tmp_path, scene, capfd):
        camera = {**scene.settings["cameras"]["hall"], "enabled": False}
        site = RunSite(tmp_path, {**scene.settings, "cameras": {"hall": camera}})
        assert f"{site.config}: cameras: none is enabled: expected at least one" in refused(site, capfd)

    @pytest.mark.parametrize("folder", ["file", "file/below", "/proc/reid"])
    def test_a_data_folder_that_cannot_be_made(self, tmp_path, scene, site_of, capfd, folder):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "file").write_text("mine", encoding="utf-8")
        site = site_of(scene.video("door"), site={"data_dir": folder})
        line = refused(site, capfd)
        assert f"{site.config.parent / folder}: cannot be written" in line
        assert (tmp_path / "site" / "file").read_text(encoding="utf-8") == "mine"

    def test_a_site_that_another_run_writes_to(self, site_of, scene, capfd):
        site = site_of(scene.video("door"))
        with site.start("--pace", "realtime") as other:
            wait_until(other, lambda: "hall" in site.frames_committed())
            assert site.run() == 2
            other.kill()
        assert f"{site.data_dir}: another run (process {other.pid})" in capfd.readouterr().err


class TestAFileThatBreaksOff:
    @pytest.fixture
    def site(self, tmp_path: Path, scene: Scene) -> RunSite:
        """The scene with one of the files cut in the middle."""
        path = write_video(tmp_path / "hall.mp4", render(WALKS["hall"]), faststart=True)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        cameras = {**scene.settings["cameras"], "hall": {"inputs": [{"path": str(path)}]}}
        return RunSite(tmp_path / "site", {**scene.settings, "cameras": cameras})

    def test_what_was_read_is_kept(self, site):
        assert site.run() == 3
        read = site.summary()["cameras"]["hall"]["frames_read"]
        assert FRAMES / 4 < read < FRAMES * 3 / 4
        assert site.summary()["cameras"]["door"]["frames_processed"] == FRAMES
        assert site.tracks("hall").keys.frames.max() == read
        assert site.query("SELECT status FROM runs") == [("partial",)]
        (broken,) = (event for event in site.events() if event["state"] == "broken")
        assert broken["camera"] == "hall"
        assert "breaks off" in broken["detail"]
        site.check_whole()

    def test_further_runs_add_nothing(self, site):
        assert site.run() == 3
        tracks, tracklets = site.read("tracks/mtmc.txt"), site.query("SELECT * FROM tracklets")
        for _ in range(2):
            assert site.run() == 3
            assert site.read("tracks/mtmc.txt") == tracks
            assert site.query("SELECT * FROM tracklets") == tracklets


class TestKills:
    def test_killed_runs_lose_nothing_but_their_tail(self, tmp_path, scene):
        site = RunSite(tmp_path, scene.settings)
        assert site.run("--max-frames", str(KNOWN_AFTER)) == 0
        chance = random.Random(3)
        numbers: set[tuple[str, int, int]] = set()
        for _ in range(KILLS):
            self.kill_after_a_commit(site, chance)
            site.check_whole()
            stored = site.query(
                "SELECT last_frame <= frames_committed FROM tracklets JOIN sources s ON s.id = source_id"
            )
            assert set(stored) == {(1,)}
            known = self.numbers(site)
            assert numbers <= known
            numbers = known
        (next(site.data_dir.glob("crops/*/*")) / "7_7.part").write_bytes(b"as of a run that was killed while it wrote")
        assert site.run() == 0
        assert numbers <= self.numbers(site)
        assert site.frames_committed() == dict.fromkeys(WALKS, FRAMES)
        assert site.query("SELECT DISTINCT status FROM runs ORDER BY 1") == [("done",), ("failed",)]
        assert site.query("SELECT count(*) FROM tracklets WHERE NOT closed") == [(0,)]
        self.check_boxes(site, scene)
        site.check_whole()
        new = Counter((event["camera"], event["tracklet"]) for event in site.events() if event["type"] == "new")
        assert set(new.values()) == {1}
        crops = {row[0] for row in site.query("SELECT path FROM crops")}
        assert crops == {path.relative_to(site.data_dir).as_posix() for path in site.data_dir.glob("crops/*/*/*")}

    @staticmethod
    def kill_after_a_commit(site: RunSite, chance: random.Random) -> None:
        before = sum(site.frames_committed().values())
        with site.start("--pace", "realtime") as process:  # a commit a second, eight frames
            wait_until(process, lambda: sum(site.frames_committed().values()) > before)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.5))
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL

    @staticmethod
    def numbers(site: RunSite) -> set[tuple[str, int, int]]:
        """Camera, number and first frame of each tracklet; no number is there twice."""
        rows = site.query("SELECT c.name, number, first_frame FROM tracklets t JOIN cameras c ON c.id = camera_id")
        assert len({row[:2] for row in rows}) == len(rows)
        return set(rows)

    @staticmethod
    def check_boxes(site: RunSite, scene: Scene) -> None:
        """Nobody has two boxes in a frame, most people have one, and everybody has one identity."""
        found, truth = site.mtmc().keys, read_mtmc(scene.mtmc_truth).keys
        boxes = Counter(zip(found.cameras.tolist(), found.frames.tolist(), found.ids.tolist(), strict=True))
        assert set(boxes.values()) == {1}
        assert len(found) > 0.8 * len(truth)
        for camera in WALKS:
            frames, there = site.tracks(camera).keys.frames, truth.frames[truth.cameras == camera]
            assert (np.bincount(frames, minlength=FRAMES + 1) <= np.bincount(there, minlength=FRAMES + 1)).all()
        people = people_of(scene.mtmc_truth, site)
        assert sorted(people) == [1, 2, 3]
        assert all(len(identities) == 1 for identities in people.values())
        assert len(set.union(*people.values())) == 3
        assert evaluate_mtmc(scene.mtmc_truth, site.data_dir / "tracks" / "mtmc.txt").as_dict()["IDF1"] > 0.85


class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
    def test_files_stop_in_good_order_and_go_on(self, tmp_path, scene, number, code):
        site = RunSite(tmp_path, scene.settings)
        with site.start("--pace", "realtime") as process:
            wait_until(process, lambda: all(site.frames_committed().get(camera) for camera in WALKS))
            process.send_signal(number)
            process.communicate()
        assert process.returncode == code
        committed = site.frames_committed()
        assert all(0 < frames < FRAMES for frames in committed.values())
        assert site.query("SELECT status FROM runs") == [("stopped",)]
        assert site.query("SELECT count(*) FROM tracklets WHERE NOT closed") == [(0,)]
        assert site.summary()["frames_processed"] == sum(committed.values())
        site.check_whole()
        assert site.run() == 0
        assert site.frames_committed() == dict.fromkeys(WALKS, FRAMES)
        assert sorted(people_of(scene.mtmc_truth, site).values()) == [{1}, {2}, {3}]


class FailingSource:
    """A file whose decoder fails by a fault of its own after some frames."""

    def __init__(self, source: Source, frames: int) -> None:
        self.live = source.live
        self.dropped = source.dropped
        self._source = source
        self._frames = frames

    def frames(self) -> Iterator[Frame]:
        for frame in self._source.frames():
            if frame.index > self._frames:
                raise ZeroDivisionError("rtsp://admin:hunter2@10.0.0.5 has no rate")
            yield frame

    def close(self) -> None:
        self._source.close()


def test_a_thread_that_dies_ends_the_run_and_what_came_before_is_stored(tmp_path, scene, monkeypatch, capfd):
    def build(spec, wanted):
        source = build_source(spec, wanted)
        return FailingSource(source, 30) if spec.camera == "door" else source

    monkeypatch.setattr(run_command, "build_source", build)
    site = RunSite(tmp_path, scene.settings)
    assert site.run() == 1
    failure = "ZeroDivisionError: rtsp://***@10.0.0.5 has no rate"
    assert capfd.readouterr().err.splitlines()[-1] == f"error: camera door failed: {failure}"
    assert site.query("SELECT status FROM runs") == [("failed",)]
    assert 0 < site.frames_committed()["door"] <= 30
    assert site.query("SELECT sum(finished), count(*) FROM sources") == [(0, 2)]
    (failed,) = (event for event in site.events() if event["state"] == "failed")
    assert failed["detail"] == failure
    site.check_whole()

    monkeypatch.undo()
    assert site.run() == 0
    assert site.frames_committed() == dict.fromkeys(WALKS, FRAMES)
    assert sorted(people_of(scene.mtmc_truth, site).values()) == [{1}, {2}, {3}]


def test_results_that_cannot_be_stored_end_the_run(tmp_path, scene, capfd):
    site = RunSite(tmp_path, scene.settings)
    site.data_dir.mkdir()
    (site.data_dir / "crops").write_text("no folder", encoding="utf-8")
    assert site.run() == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: the results could not be stored: ")
    assert str(site.data_dir / "crops") in last
    assert site.query("SELECT status FROM runs") == [("failed",)]
    assert site.query("SELECT count(*) FROM tracklets") == [(0,)]
    (site.data_dir / "crops").unlink()
    assert site.run() == 0
    assert sorted(people_of(scene.mtmc_truth, site).values()) == [{1}, {2}, {3}]


def test_a_password_is_written_nowhere(tmp_path, scene):
    with socket.socket() as taken:  # bound but not listening: nobody answers here
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}/main"
        cameras = {"gate": {"inputs": [{"path": f"rtsp://chief:hunter2@{address}"}]}}
        site = RunSite(tmp_path, {**scene.settings, "cameras": {**scene.settings["cameras"], **cameras}})
        lines = []
        with site.start("--verbose") as process:
            for line in process.stderr:
                lines.append(line)
                if "gate: reconnecting" in line:
                    process.send_signal(signal.SIGTERM)
            out = process.stdout.read()
    assert process.returncode == 0
    written = ["".join(lines).encode(), out.encode()]
    files = [path for path in site.data_dir.rglob("*") if path.is_file()]
    assert {"site.db", "events.ndjson", "summary.json"} <= {path.name for path in files}
    written += [path.read_bytes() for path in files]
    for data in written:
        assert b"hunter2" not in data
        assert b"chief" not in data
    assert any(address.encode() in data for data in written)
    assert site.query("SELECT location FROM sources WHERE live") == [(f"rtsp://***@{address}",)]
