"""The command `simulate` and the files that it writes."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from reid_pipeline.configs.loading import load_settings
from reid_pipeline.pipeline import virtual_files
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.evaluate import evaluate_mot, evaluate_mtmc
from reid_pipeline.pipeline.mot_format import read_mot, read_mtmc
from reid_pipeline.pipeline.virtual_files import write_site
from reid_pipeline.pipeline.virtual_site import VirtualSite, render_frame
from tests.pipeline.virtual import small_site


@pytest.fixture(scope="module")
def site() -> VirtualSite:
    return small_site()


@pytest.fixture(scope="module")
def folder(site: VirtualSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `write_site` wrote; tests only read it."""
    path = tmp_path_factory.mktemp("virtual") / "site"
    reports: list[tuple[int, int]] = []
    written = write_site(site, path, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 24) for done in range(1, 25)]
    assert written.frames == 24
    assert 0 < written.seen <= 12
    assert written.boxes == len((path / "gt" / "mtmc.txt").read_text().splitlines())
    return path


def small(name: str, out: Path, *more: str) -> list[str]:
    sizes = ["--cameras", "1", "--people", "4", "--seconds", "1", "--fps", "2"]
    return [name, "--out", str(out), *sizes, *more]


def test_the_truth_is_that_of_the_frames(site, folder):
    frame = render_frame(site, 0, 4)
    truth = read_mot(folder / "gt" / f"{site.cameras[0].name}.txt")
    here = truth.keys.frames == 5
    assert np.array_equal(truth.boxes[here], frame.boxes)
    assert np.array_equal(truth.keys.ids[here], frame.identities)
    lines = (folder / "gt" / f"{site.cameras[0].name}.txt").read_text().splitlines()
    shown = [float(line.split(",")[8]) for line in lines if line.startswith("5,")]
    assert np.allclose(shown, frame.visibility, atol=5e-4)
    assert all(line.count(",") == 8 for line in lines)


def test_both_truths_hold_the_same_boxes(site, folder):
    everything = read_mtmc(folder / "gt" / "mtmc.txt")
    for camera in site.cameras:
        one = read_mot(folder / "gt" / f"{camera.name}.txt")
        here = everything.keys.cameras == camera.name
        assert np.array_equal(everything.boxes[here], one.boxes)
        assert np.array_equal(everything.keys.frames[here], one.keys.frames)
        assert np.array_equal(everything.keys.ids[here], one.keys.ids)
        assert (one.confidences == 1).all()


def test_the_truth_scores_full_marks_against_itself(site, folder):
    path = folder / "gt" / "mtmc.txt"
    assert evaluate_mtmc(path, path).as_dict()["IDF1"] == 1
    path = folder / "gt" / f"{site.cameras[0].name}.txt"
    scores = evaluate_mot(path, path).as_dict()
    assert scores["IDF1"] == scores["HOTA"] == scores["MOTA"] == 1


def test_the_videos_show_the_frames(site, folder):
    camera = site.cameras[1]
    with av.open(str(folder / f"{camera.name}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 2
        shown = [frame.to_ndarray(format="bgr24") for frame in container.decode(stream)]
    assert len(shown) == site.frames
    for index in (0, 7):
        off = shown[index].astype(int) - render_frame(site, 1, index).image
        assert np.abs(off).mean() < 6


def test_the_settings_are_valid(folder, site, capsys):
    assert run_command_line(["validate", str(folder / "cameras.yaml"), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert list(plan["cameras"]) == [camera.name for camera in site.cameras]
    settings = load_settings(folder / "cameras.yaml")
    assert (settings.detector.model, settings.encoder.model) == ("bundled", "bundled")
    assert settings.site.data_dir == folder / "data"


def test_the_geometry_projects_as_the_cameras_do(site, folder):
    described = json.loads((folder / "site.json").read_text())
    assert described["overlaps"] == [[camera.name for camera in site.cameras]]
    point = np.array([[4.0, 5.0, 1.2]])
    for camera in site.cameras:
        projection = np.array(described["cameras"][camera.name]["P"])
        x, y, depth = projection @ [*point[0], 1]
        pixels, depths = camera.project(point)
        assert [x / depth, y / depth] == pytest.approx(pixels[0].tolist(), abs=1e-2)
        assert depth == pytest.approx(float(depths[0]), abs=1e-3)


def test_several_processes_give_the_same_files(tmp_path, monkeypatch):
    site = small_site(cameras=1, seconds=2, fps=4)
    write_site(site, tmp_path / "one", processes=1)
    monkeypatch.setattr(virtual_files, "_WORTH_A_POOL", 1)
    monkeypatch.setattr(virtual_files, "_CHUNK_FRAMES", 3)
    write_site(site, tmp_path / "two", processes=2)
    for name in ("site.json", "cameras.yaml", "gt/mtmc.txt", "gt/entrance.txt", "entrance.mp4"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_the_command_writes_a_site_and_says_so(tmp_path, capsys):
    assert run_command_line(small("simulate", tmp_path / "site")) == 0
    captured = capsys.readouterr()
    assert f"reid-pipeline run {tmp_path / 'site' / 'cameras.yaml'}" in captured.out
    assert run_command_line(small("simulate", tmp_path / "site", "--people", "3", "--json")) == 0  # over an earlier one
    fields = json.loads(capsys.readouterr().out)
    assert fields["frames"] == 2
    assert fields["cameras"] == ["entrance"]
    assert fields["people"] == 3
    assert fields["overlaps"] == []
    assert json.loads((tmp_path / "site" / "site.json").read_text())["people"] == 3


def test_folders_of_others_are_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert run_command_line(small("simulate", tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{tmp_path}: holds other files; expected an empty or new folder" in error
    assert run_command_line(small("simulate", tmp_path / "thesis.txt")) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_results_of_a_run_are_not_buried_under_another_site(tmp_path, capsys):
    (tmp_path / "site.json").write_text(json.dumps({"format": "reid-pipeline virtual site 1"}))
    (tmp_path / "data").mkdir()
    assert run_command_line(small("simulate", tmp_path)) == 2
    assert "holds results of a run in data/" in capsys.readouterr().err


def test_a_number_out_of_range_is_one_line_and_writes_nothing(tmp_path, capsys):
    assert run_command_line(["simulate", "--out", str(tmp_path / "site"), "--cameras", "0"]) == 2
    assert capsys.readouterr().err == "error: cameras is 0; expected 1 to 8\n"
    assert not (tmp_path / "site").exists()
