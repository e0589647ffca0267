import json
import logging
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.configs.loading import load_settings, read_settings_file
from reid_pipeline.configs.settings import non_default


def _write(folder: Path, text: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def _error(folder: Path, text: str) -> str:
    """The message for a wrong file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load_settings(_write(folder, text))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder}/")


HALL = "cameras: {hall: {inputs: [{path: hall.mp4}]}}\n"


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_USER", "admin")
    monkeypatch.setenv("REID_PASSWORD", "p@ss/w%1")
    path = _write(
        tmp_path,
        """\
        site: {name: hq, timezone: Europe/Berlin, data_dir: ./data, database: null}
        defaults: {detect: {fps: 4}}
        cameras:
          lobby:
            inputs: [{path: "rtsp://{REID_USER}:{REID_PASSWORD}@10.0.0.5/main", transport: udp}]
            backend: gstreamer
            privacy: [{points: [[0.8, 0], [1, 0], [1, 0.3]]}]
            zones:
              door: {points: [[0, 0.6], [0.2, 1], [0.2, 0.6]]}
              till: {points: [[0, 0], [1, 0], [1, 1]], dwell: 2m}
          hall: {inputs: [{path: recordings/hall.mp4, fps: 7}], start: 2026-11-20T08:00:00Z, detect: {fps: null}}
        detector: {model: models/detector.xml, min_confidence: 0.25, trust: true}
        encoder: {model: yolo11n}
        association: {memory: 36h}
        outputs: {tracks: false, events: true, video: true}
        """,
    )
    settings = load_settings(path)
    lobby, hall = settings.cameras["lobby"], settings.cameras["hall"]
    assert settings.site.data_dir == tmp_path / "data"
    assert lobby.inputs[0].path == "rtsp://admin:p%40ss%2Fw%251@10.0.0.5/main"
    assert lobby.inputs[0].transport == "udp"
    assert lobby.privacy[0].points == ((0.8, 0.0), (1.0, 0.0), (1.0, 0.3))
    assert list(lobby.zones) == ["door", "till"]
    assert lobby.zones["door"].points == ((0.0, 0.6), (0.2, 1.0), (0.2, 0.6))
    assert (lobby.zones["door"].dwell, lobby.zones["till"].dwell, hall.zones) == (None, timedelta(minutes=2), {})
    assert (lobby.detect.fps, hall.detect.fps) == (4.0, None)
    assert hall.inputs[0].path == str(tmp_path / "recordings/hall.mp4")
    assert hall.start == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert settings.detector.model == str(tmp_path / "models/detector.xml")
    assert settings.encoder.model == "yolo11n"
    assert settings.detector.trust


def test_paths_are_relative_to_the_file_not_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    _write(site, HALL)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("site/cameras.yaml"))
    assert settings.cameras["hall"].inputs[0].path == str(site / "hall.mp4")
    assert settings.site.data_dir == site / "data"


def test_a_model_beside_the_file_is_a_path_another_word_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "yolo11n.pt").touch()
    settings = load_settings(_write(tmp_path, HALL + "detector: {model: yolo11n.pt}\nencoder: {model: osnet}\n"))
    assert settings.detector.model == str(tmp_path / "yolo11n.pt")
    assert settings.encoder.model == "osnet"


@pytest.mark.parametrize(
    ("start", "hour"),
    [
        ("2026-11-20T08:00:00", 7),
        ("2026-07-20T08:00:00", 6),
        ("2026-11-20T08:00:00+03:00", 5),
        ("2026-11-20 08:00Z", 8),
    ],
)
def test_a_start_without_zone_is_in_that_of_the_site(tmp_path: Path, start: str, hour: int) -> None:
    text = f"site: {{timezone: Europe/Berlin}}\ncameras: {{hall: {{inputs: [{{path: a.mp4}}], start: '{start}'}}}}\n"
    found = load_settings(_write(tmp_path, text)).cameras["hall"].start
    assert found is not None
    assert (found.hour, found.tzinfo) == (hour, UTC)


def test_words_of_yaml_1_1_are_names(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, "cameras: {on: {inputs: [{path: no}]}, 12: {inputs: [{path: 1:30}]}}\n"))
    assert list(settings.cameras) == ["on", "12"]
    assert settings.cameras["on"].inputs[0].path == str(tmp_path / "no")


def test_inherited_values_do_not_count_as_given(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, "defaults: {detect: {fps: 2}}\n" + HALL))
    assert settings.cameras["hall"].detect.fps == 2.0
    assert non_default(settings) == {
        "defaults.detect.fps": 2.0,
        "cameras.hall.inputs[0].path": str(tmp_path / "hall.mp4"),
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [("p@ss", "p%40ss"), ("a b", "a%20b"), ("p%40ss", "p%40ss"), ("100%", "100%25"), ("", ""), ("é", "%C3%A9")],
)
def test_the_environment_is_encoded_in_the_user_part_of_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("REID_X", value)
    path = _write(tmp_path, "cameras: {hall: {inputs: [{path: 'rtsp://me:{REID_X}@cam/{REID_X}'}]}}")
    assert load_settings(path).cameras["hall"].inputs[0].path == f"rtsp://me:{expected}@cam/{value}"


def test_an_unset_variable_is_named_and_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_USER", "hidden-user")
    monkeypatch.delenv("REID_PASSWORD", raising=False)
    message = _error(
        tmp_path,
        """\
        cameras:
          lobby:
            inputs:
              - path: "rtsp://{REID_USER}:{REID_PASSWORD}@10.0.0.5/main"
        """,
    )
    assert message == (
        "cameras.yaml:4: cameras.lobby.inputs[0].path: rtsp://***@10.0.0.5/main: "
        "REID_PASSWORD is not set: expected this variable in the environment"
    )


def test_values_from_the_environment_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_BACKEND", "top-secret")
    message = _error(tmp_path, "cameras: {hall: {inputs: [{path: a.mp4}], backend: '{REID_BACKEND}'}}")
    assert message == "cameras.yaml:1: cameras.hall.backend: {REID_BACKEND}: expected one of auto, ffmpeg, gstreamer"


def test_a_password_in_the_file_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_settings(_write(tmp_path, "cameras:\n  hall: {inputs: [{path: 'rtsp://u:hunter2@cam/x'}]}\n"))
    assert len(caplog.messages) == 1
    assert "cameras.yaml:2: cameras.hall.inputs[0].path holds a password" in caplog.messages[0]


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("postgresql://reid@db:5432/site?sslmode=require", 0),
        ("postgresql:///site", 0),
        ("postgresql://reid:hunter2@db/site", 1),
        ("postgresql://reid@db/site?password=hunter2", 1),
    ],
)
def test_a_database_may_name_its_user(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        settings = load_settings(_write(tmp_path, f"site: {{database: '{url}'}}\n{HALL}"))
    assert len(caplog.messages) == warnings
    assert settings.site.database == url
    assert "hunter2" not in json.dumps(non_default(settings)) + caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cameras:\n  lobby:\n    inputs:\n      - path: a.mp4\n        fps: -3\n",
            "cameras.yaml:5: cameras.lobby.inputs[0].fps: -3: expected a number > 0 and <= 1000, or null",
        ),
        (
            "cameras: {hall: {input: 3, inputs: [{path: a}]}}",
            "cameras.yaml:1: cameras.hall.input: 3: unknown key, did you mean inputs?: expected one of enabled, "
            "inputs, backend, pipeline, privacy, zones, floor, detect, start",
        ),
        (
            HALL + "colour: red\n",
            "cameras.yaml:2: colour: red: unknown key: expected one of site, defaults, cameras, detector, encoder, "
            "association, corpus, retention, outputs",
        ),
        (
            "cameras:\n  hall: {inputs: [{path: a}]}\n  hall: {inputs: [{path: b}]}\n",
            "cameras.yaml:3: cameras.hall: a mapping of 1: given twice, first in line 2: expected one hall",
        ),
        (
            "cameras:\n  hall: {inputs: [{path: a}]}\n  Hall: {inputs: [{path: b}]}\n",
            "cameras.yaml:3: cameras.Hall: a mapping of 1: expected a name that differs from hall in more than case",
        ),
        (
            "cameras:\n  my hall: {inputs: [{path: a}]}\n",
            "cameras.yaml:2: cameras.my hall: my hall: expected 1 to 64 letters (a-z), digits, _ and -: it names files",
        ),
        (
            "cameras: {hall: {}}",
            "cameras.yaml:1: cameras.hall.inputs: missing: expected inputs: [{path: ...}]",
        ),
        (
            "cameras: {hall: {inputs: [{fps: 5}]}}",
            "cameras.yaml:1: cameras.hall.inputs[0].path: missing: expected text like recordings/hall.mp4 or "
            "rtsp://10.0.0.5/main",
        ),
        ("cameras: {}", "cameras.yaml:1: cameras: a mapping of 0: expected a mapping of one or more names to settings"),
        ("", "cameras.yaml:1: cameras: missing: expected a mapping of one or more names to settings"),
        (
            "site: {timezone: Mars/Olympus}\n" + HALL,
            "cameras.yaml:1: site.timezone: Mars/Olympus: expected text like UTC or Europe/Berlin",
        ),
        (
            HALL + "outputs: {video: yes}\n",
            "cameras.yaml:2: outputs.video: yes: expected true or false",
        ),
        (
            HALL + "site: {name: 12}\n",
            "cameras.yaml:2: site.name: 12: expected text of 1 to 64 characters in quotes",
        ),
        (
            HALL + "association: {memory: 2 days}\n",
            "cameras.yaml:2: association.memory: 2 days: expected text like 90s or 30m or 48h or 7d",
        ),
        (
            "site: {database: 'mysql://u:p@db/x'}\n" + HALL,
            "cameras.yaml:1: site.database: mysql://***@db/x: expected text like "
            "postgresql://***@db.example.org/site, or null",
        ),
        (
            "defaults: {detect: {fps: 0}}\n" + HALL,
            "cameras.yaml:1: defaults.detect.fps: 0: expected a number > 0 and <= 1000, or null",
        ),
        (
            HALL + "detector: {min_confidence: 1, trust: 1}\nencoder: 3\n",
            "cameras.yaml:2: detector.min_confidence: 1: expected a number > 0 and < 1 (and 2 more)",
        ),
        ("cameras: [", "cameras.yaml:1: not YAML, expected the node content, but found '<stream end>': expected `key: "
            "value` lines"),
        ("a: &a [*a]", "cameras.yaml:1: not YAML, an alias that holds itself: expected `key: value` lines"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    assert _error(tmp_path, text) == message


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        ("{door: {}}", "door.points: missing: expected a list of at least 3 entries"),
        ("{door: {points: [[0, 0], [1, 1]]}}", "door.points: a list of 2: expected a list of at least 3 entries"),
        (
            "{door: {points: [[0, 0], [1, 1], [0, 1], [1]]}}",
            "door.points[3][1]: missing: expected a number >= 0 and <= 1",
        ),
        ("{door: {points: [[0, 0], [9, 1], [1, 1], [0, 1]]}}", "door.points[1][0]: 9: expected a number >= 0 and <= 1"),
        (
            "{door: {points: [[0, 0], [1, 1], [0.5, 0.5]]}}",
            "door.points: a list of 3: expected corners in their order around an area: these enclose next to nothing",
        ),
        (
            "{door: {points: [[0, 0], [1, 1], [1, 0], [0, 1]]}}",
            "door.points: a list of 4: expected corners in their order around an area: these enclose next to nothing",
        ),
        (
            "{my door: {points: [[0, 0], [1, 1], [0, 1]]}}",
            "my door: my door: expected 1 to 64 letters (a-z), digits, _ and -",
        ),
        (
            "{door: {points: [[0, 0], [1, 1], [0, 1]]}, door: {points: [[0, 0], [1, 1], [0, 1]]}}",
            "door: a mapping of 1: given twice, first in line 3: expected one door",
        ),
        (
            "{door: {points: [[0, 0], [1, 1], [0, 1]], dwell: 0s}}",
            "door.dwell: 0s: expected text like 90s or 30m or 48h or 7d, or null",
        ),
        (
            "{door: {points: [[0, 0], [1, 1], [0, 1]], dwel: 9s}}",
            "door.dwel: 9s: unknown key, did you mean dwell?: expected one of points, dwell",
        ),
    ],
)
def test_mistakes_in_zones_are_one_line(tmp_path: Path, zones: str, message: str) -> None:
    text = f"cameras:\n  hall:\n    zones: {zones}\n    inputs: [{{path: a}}]\n"
    assert _error(tmp_path, text) == f"cameras.yaml:3: cameras.hall.zones.{message}"


@pytest.mark.parametrize("zones", ["[]", "null", "door", "{door: null}"])
def test_zones_are_a_mapping(tmp_path: Path, zones: str) -> None:
    message = _error(tmp_path, f"cameras: {{hall: {{inputs: [{{path: a}}], zones: {zones}}}}}\n")
    assert message.startswith("cameras.yaml:1: cameras.hall.zones")
    assert ": expected a mapping " in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (HALL + "outputs: {prometheus: null}", "outputs.prometheus"),
    ],
)
def test_what_is_not_built_yet_says_so(tmp_path: Path, text: str, key: str) -> None:
    message = _error(tmp_path, text)
    assert f" {key}: " in message
    assert message.endswith("not built yet, remove it: expected no such key")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"x: \x01",
        b"[" * 5000,
        b"cameras: !!python/object/apply:os.system ['true']",
        b"cameras: {hall: {inputs: [{path: a, fps: " + b"9" * 5000 + b"}]}}",
        b"? {a: 1}\n: 2\n",
    ],
)
def test_hostile_files_are_one_line_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcd", "bcde", strict=True)
    ]
    message = _error(tmp_path, "\n".join(lines))
    assert message == "cameras.yaml:1: not YAML, more than 100000 values: expected `key: value` lines"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file: expected a cameras\.yaml, `reid-pipeline init` writes"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_settings(tmp_path)


def test_a_later_check_can_name_the_line(tmp_path: Path) -> None:
    document = read_settings_file(_write(tmp_path, HALL + "detector:\n  model: models/none.xml\n"))
    error = document.error(("detector", "model"), "expected a file")
    assert str(error) == f"{tmp_path}/cameras.yaml:3: detector.model: models/none.xml: expected a file"
