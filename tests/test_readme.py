"""Every command of README.md that runs the program, typed as it stands there, on a small site of the same names."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.model_card import load_model
from tests.scene import Scene, write_settings
from tests.storage.model_folders import make_model

README = Path(__file__).parent.parent / "README.md"
NOT_HERE = {
    "bench",  # takes minutes and needs real footage; its refusal without is tested below
    "demo",  # has a test of its own
    "dashboard",  # never ends; tests/dashboard/test_browser.py
    "nightly",  # as adapt, and --at never ends; tests/learning/test_nightly.py
    "adapt",  # needs more crops than this site has; tests/learning/test_adapt_command.py has them
    "pretrain",  # needs more crops than the small site has; tests/learning trains a small one
    "train",  # takes hours; tests/learning trains a small one
    "pull",  # needs the network; tests/pipeline/test_cli_model.py has a server
}


def commands_of_readme() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("reid-pipeline ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def examples_of_readme() -> list[dict]:
    """The whole cameras.yaml, then parts of others."""
    return [
        yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    ]


def furnish(folder: Path, scene: Scene) -> None:
    """Puts what the README's commands name into a folder."""
    shutil.copytree(scene.detector, folder / "models" / "yolo11n")
    shutil.copytree(scene.encoder, folder / "models" / "retail-0288")
    camera = next(iter(scene.settings["cameras"]))
    (folder / "gt").mkdir()
    shutil.copy(scene.truth(camera), folder / "gt" / "hall.txt")
    truth = scene.truth(camera).read_text().splitlines()
    (folder / "gt" / "mtmc.txt").write_text("".join(f"hall,{line}\n" for line in truth))
    settings = {**scene.settings, "cameras": {"hall": scene.settings["cameras"][camera]}}
    write_settings(folder / "site", settings)
    colours = np.random.default_rng(0)
    for name in ("crops/a", "query/0001_c1s1_000001_00", "bounding_box_test/0001_c2s1_000001_00", "images/a"):
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), colours.integers(0, 255, (240, 320, 3), np.uint8))
    base = load_model(folder / "models" / "retail-0288").identity
    make_model(folder / "site" / "data" / "models" / "night-1", parent=base)
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.3\n")


def test_every_command_of_the_readme_runs(scene, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    commands = [command for command in commands_of_readme() if NOT_HERE.isdisjoint(command[:2])]
    assert len(commands) >= 8
    for command in commands:
        if command[0] == "validate":  # the editor's turn: what `init` wrote is a start, not a site
            assert (tmp_path / "site" / "cameras.yaml").is_file()
            (tmp_path / "site" / "cameras.yaml").unlink()
            furnish(tmp_path, scene)
        assert run_command_line(command) == 0, f"reid-pipeline {shlex.join(command)}: {capfd.readouterr().err}"
    assert (tmp_path / "site" / "data" / "tracks" / "mtmc.txt").stat().st_size > 0


def test_the_example_of_the_readme_is_valid(tmp_path, monkeypatch):
    from reid_pipeline.configs.loading import load_settings

    monkeypatch.setenv("REID_USER", "viewer")
    monkeypatch.setenv("REID_PASSWORD", "secret")
    monkeypatch.setenv("REID_DB_PASSWORD", "secret")
    whole, *parts = examples_of_readme()
    settings = load_settings(write_settings(tmp_path, whole))
    assert list(settings.cameras) == ["lobby", "hall"]
    for part in parts:
        load_settings(write_settings(tmp_path, whole | part))


def test_bench_without_footage_says_what_it_needs(monkeypatch, capfd):
    monkeypatch.delenv("REID_TEST_DATA", raising=False)
    assert run_command_line(["bench", "pipeline", "--no-peer"]) == 2
    assert "REID_TEST_DATA is not set" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["README.people.jpg", "LICENSE", "configs/cameras.schema.json"])
def test_what_the_readme_names_is_there(name):
    assert name in README.read_text(encoding="utf-8")
    assert (README.parent / name).is_file()
