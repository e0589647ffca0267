import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from reid_pipeline.configs.loading import load_settings
from reid_pipeline.configs.schema import camera_schema, schema_text
from reid_pipeline.configs.settings import non_default

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]
TEMPLATE = (files("reid_pipeline.configs") / "template.yaml").read_text(encoding="utf-8")

# Alembic runs what is in this folder; it cannot be imported alone.
NOT_IMPORTABLE = {"reid_pipeline.storage.migrations"}


# What only an extra installs.
OPTIONAL = {"gi", "torch", "torchvision", "timm"}


def _modules() -> list[str]:
    found = []
    for package in sorted(set(PACKAGES) - NOT_IMPORTABLE):
        paths = importlib.import_module(package).__path__
        found += [package, *(f"{package}.{module.name}" for module in pkgutil.iter_modules(paths) if not module.ispkg)]
    return found


def test_every_folder_with_code_is_packaged() -> None:
    hidden_or_tests = {"tests", "build", "dist"}
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for top in ROOT.iterdir()
        if top.is_dir() and not top.name.startswith(".") and top.name not in hidden_or_tests
        for path in top.rglob("*.py")
    }
    mapping: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
    assert {mapping[package] for package in PACKAGES} == folders
    for folder in folders:
        assert (ROOT / folder / "__init__.py").is_file()


@pytest.mark.parametrize("folder", ["configs", "storage", "pipeline", "learning", "dashboard"])
def test_every_package_is_typed_and_described(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
    assert importlib.import_module(f"reid_pipeline.{folder}").__doc__


@pytest.mark.parametrize("module", _modules())
def test_examples_in_docstrings(module: str) -> None:
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(imported, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_the_committed_schema_is_that_of_the_settings() -> None:
    committed = (files("reid_pipeline.configs") / "cameras.schema.json").read_text(encoding="utf-8")
    assert json.loads(committed) == camera_schema(), (
        "run: reid-pipeline validate --schema > configs/cameras.schema.json"
    )
    assert committed == schema_text()


def test_the_template_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text(TEMPLATE, encoding="utf-8")
    assert non_default(load_settings(path)) == {
        "site.data_dir": str(tmp_path / "data"),
        "cameras.lobby.inputs[0].path": str(tmp_path / "recordings/lobby.mp4"),
    }


def test_the_commented_lines_of_the_template_are_valid_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_USER", "admin")
    monkeypatch.setenv("REID_PASSWORD", "secret")
    monkeypatch.setenv("REID_DB_PASSWORD", "secret")
    head, _, body = TEMPLATE.partition("\nsite:")
    assert "reid-pipeline validate" in head
    lines = [line.replace("# ", "", 1) if line.lstrip().startswith("#") else line for line in body.splitlines()]
    path = tmp_path / "cameras.yaml"
    path.write_text("site:" + "\n".join(lines), encoding="utf-8")
    settings = load_settings(path)
    assert settings.cameras["lobby"].inputs[0].fps == 25
    assert len(settings.cameras["lobby"].privacy) == 1
    assert settings.cameras["door"].inputs[0].path == "rtsp://admin:secret@10.0.0.5/main"
    assert not settings.cameras["door"].enabled


def test_the_template_names_every_setting() -> None:
    definitions = camera_schema()["$defs"]
    assert isinstance(definitions, dict)
    not_for_beginners = {"database"}
    for definition in definitions.values():
        for key in set(definition["properties"]) - not_for_beginners:
            assert f"{key}:" in TEMPLATE


def test_every_command_is_in_the_readme() -> None:
    from reid_pipeline.pipeline.cli import COMMANDS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"reid-pipeline {name}" not in readme]
    assert not missing, f"README.md does not show {missing}"


def test_openvino_does_not_phone_home(tmp_path: Path) -> None:
    program = "import reid_pipeline.pipeline.runtime, sys; print(sys.modules['openvino_telemetry'])"
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
    assert not (tmp_path / "intel").exists()  # where its client number would be kept


@pytest.mark.parametrize("folder", ["configs", "storage", "pipeline", "learning"])
def test_the_map_of_a_package_names_its_modules(folder: str) -> None:
    modules = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}
    words = set(re.findall(r"\w+", importlib.import_module(f"reid_pipeline.{folder}").__doc__ or ""))
    assert modules <= words, f"{folder}/__init__.py does not name {sorted(modules - words)}"
