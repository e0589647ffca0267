"""Reads cameras.yaml. Every mistake becomes one line: file, line, key, value, what is expected.

For example ``cameras.yaml:7: cameras.lobby.inputs[0].fps: -3: expected a number > 0 and <= 1000, or null``. Where there
are several mistakes the line tells the first and how many more there are.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reid_pipeline.configs.camera_settings import CameraSettings
from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.configs.log import redact_url
from reid_pipeline.configs.schema import Location, expectation_at, keys_at
from reid_pipeline.configs.settings import Settings
from reid_pipeline.configs.yaml_tree import Problem, YamlTree, key_name, read_tree

logger = logging.getLogger(__name__)

# Keys of the format whose feature is not built yet; "*" stands for any camera.
NOT_BUILT: Final[tuple[Location, ...]] = (("outputs", "prometheus"),)

_SECRETS: Final[tuple[Location, ...]] = (("outputs", "mqtt", "password"), ("outputs", "webhook", "secret"))

_Model = TypeVar("_Model", bound=BaseModel)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_USER_ALONE = re.compile(r"\w+://[^:@/]*@(?!.*password=)")
_MODEL_FILE = re.compile(r".*\.(?:onnx|xml)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A cameras.yaml that was read.

    Attributes:
        path: The file.
        settings: What it says, with absolute paths.
        tree: Its places and lines.
    """

    path: Path
    settings: Settings
    tree: YamlTree

    def error(self, location: Location, text: str) -> ConfigError:
        """An error that names the file, the line, the key and the value at ``location``."""
        return _error(self.path, [self.tree.problem(location, text)])


def load_settings(path: Path) -> Settings:
    """Reads, checks and completes a cameras.yaml.

    ``{REID_NAME}`` in a text is replaced by that variable of the environment, percent-encoded where it is the user or
    password of a URL. Relative paths become absolute, from the folder of the file. Cameras inherit ``defaults``. A
    ``start`` becomes UTC; without a time zone it is in that of the site.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong.
    """
    return read_settings_file(path).settings


def read_settings_file(path: Path) -> SettingsFile:
    """As `load_settings`, and keeps where in the file each setting stands.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong.
    """
    tree = _read(path)
    problems = [*tree.problems, *_take_out_not_built(tree)]
    try:
        settings = Settings.model_validate({} if tree.value is None else tree.value)
    except ValidationError as error:
        problems += [_explain(tree, details) for details in error.errors(include_url=False)]
    if problems:
        raise _error(path, problems)
    _warn_of_passwords(path, tree, settings)
    return SettingsFile(path, _complete(settings, path.resolve().parent), tree)


def _read(path: Path) -> YamlTree:
    try:
        return read_tree(path.read_text(encoding="utf-8-sig"), os.environ)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file: expected a cameras.yaml, `reid-pipeline init` writes one") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read, {error.strerror}: expected a cameras.yaml") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(
            f"{path}:{line}: not YAML, {_one_line(error.problem)}: expected `key: value` lines"
        ) from error
    except (yaml.reader.ReaderError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not text in UTF-8, {error.reason}: expected a cameras.yaml") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply: expected a cameras.yaml") from error


def _error(path: Path, problems: list[Problem]) -> ConfigError:
    problems = sorted(problems, key=lambda problem: problem.line)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ConfigError(redact_url(f"{path}:{problems[0].line}: {problems[0]}{more}"))


def _take_out_not_built(tree: YamlTree) -> list[Problem]:
    """Reports the keys of `NOT_BUILT` and removes them, so that they are not reported as unknown too."""
    problems = []
    for place in sorted(tree.lines, key=len):
        pattern = ("cameras", "*", *place[2:]) if place[:1] == ("cameras",) else place
        if pattern in NOT_BUILT:
            problems.append(tree.problem(place, "not built yet, remove it: expected no such key"))
            parent = tree.value
            for step in place[:-1]:
                parent = parent[step] if isinstance(parent, dict) else None
            if isinstance(parent, dict):
                parent.pop(place[-1], None)
    return problems


def _explain(tree: YamlTree, details: ErrorDetails) -> Problem:
    """Puts an error of pydantic into our words."""
    location = details["loc"]
    if location and location[-1] == "[key]":
        location = location[:-1]
        return tree.problem(location, details["msg"], value=str(location[-1]))
    key = details.get("ctx", {}).get("key")
    if key is not None:
        location = (*location, key)
    match details["type"]:
        case "expected" if location == ("site", "master_key"):
            return tree.problem(location, details["msg"], value="(not shown)")  # it may be the key itself
        case "expected":
            return tree.problem(location, details["msg"])
        case "extra_forbidden":
            return tree.problem(location, _unknown_key(location))
        case "none_required":
            return tree.problem(location, "not built yet, remove it: expected null")
        case _:
            expected = expectation_at(location)
            quotes = " in quotes" if isinstance(details["input"], (bool, int, float)) and expected[:4] == "text" else ""
            return tree.problem(location, f"expected {expected}{quotes}")


def _unknown_key(location: Location) -> str:
    known = keys_at(location[:-1])
    close = difflib.get_close_matches(str(location[-1]).lower(), known, n=1)
    suggestion = f", did you mean {close[0]}?" if close else ""
    return f"unknown key{suggestion}: expected one of {', '.join(known)}"


def _one_line(text: str | None) -> str:
    return " ".join((text or "unreadable").split())


def _warn_of_passwords(path: Path, tree: YamlTree, settings: Settings) -> None:
    for location in tree.literal_secrets:
        if location == ("site", "database") and _USER_ALONE.match(settings.site.database or ""):
            continue  # the password comes from ~/.pgpass
        logger.warning(
            "%s:%d: %s holds a password or token: write {REID_PASSWORD} there and set REID_PASSWORD in the environment",
            *(path, tree.lines[location], key_name(location)),
        )

    for location in _SECRETS:
        shown = tree.shown.get(location, "null")
        if shown != "null" and "{REID_" not in shown:
            logger.warning(
                "%s:%d: %s stands in the file: write {REID_PASSWORD} there and set REID_PASSWORD in the environment",
                *(path, tree.lines[location], key_name(location)),
            )


def _complete(settings: Settings, folder: Path) -> Settings:
    """Fills in what depends on the rest of the file: inherited values, absolute paths, time zones."""
    site = _replace(
        settings.site,
        data_dir=_absolute(settings.site.data_dir, folder),
        master_key=_key_source(settings.site.master_key, folder),
    )
    return _replace(
        settings,
        site=site,
        cameras={name: _complete_camera(camera, settings, folder) for name, camera in settings.cameras.items()},
        detector=_replace(settings.detector, model=_model_path(settings.detector.model, folder)),
        encoder=_replace(settings.encoder, model=_model_path(settings.encoder.model, folder)),
    )


def _complete_camera(camera: CameraSettings, settings: Settings, folder: Path) -> CameraSettings:
    given = camera.detect.model_fields_set
    inherited = {name: value for name, value in settings.defaults.detect if name not in given}
    inputs = tuple(_replace(each, path=_input_path(each.path, folder)) for each in camera.inputs)
    start = camera.start
    if start is not None:
        start = (start if start.tzinfo else start.replace(tzinfo=settings.site.tz)).astimezone(UTC)
    return _replace(camera, inputs=inputs, detect=_replace(camera.detect, **inherited), start=start)


def _replace(model: _Model, /, **values: object) -> _Model:
    """A copy with other values that still knows which were given in the file (`model_copy` would add to them)."""
    return type(model).model_construct(_fields_set=set(model.model_fields_set), **{**dict(model), **values})


def _absolute(path: Path, folder: Path) -> Path:
    return (folder / path.expanduser()).resolve()


def _key_source(source: str | None, folder: Path) -> str | None:
    return source if source is None or source.startswith("env:") else str(_absolute(Path(source), folder))


def _input_path(path: str, folder: Path) -> str:
    return path if _URL.match(path) else str(_absolute(Path(path), folder))


def _model_path(model: str, folder: Path) -> str:
    """A name stays a name; what looks like a path, or lies beside the file, becomes absolute."""
    names_a_file = "/" in model or "\\" in model or model.startswith("~") or _MODEL_FILE.match(model)
    return str(_absolute(Path(model), folder)) if names_a_file or (folder / model).exists() else model
