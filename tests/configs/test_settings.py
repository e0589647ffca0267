from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from reid_pipeline.configs.durations import format_duration, parse_duration
from reid_pipeline.configs.settings import Settings, non_default
from reid_pipeline.configs.sizes import format_size

CAMERA = {"inputs": [{"path": "hall.mp4"}]}


def _settings(**sections: object) -> Settings:
    return Settings.model_validate({"cameras": {"hall": CAMERA}, **sections})


def test_defaults_are_those_of_the_contract() -> None:
    settings = _settings()
    camera = settings.cameras["hall"]
    assert settings.site.data_dir == Path("data")
    assert settings.site.tz is UTC
    assert settings.detector.model == settings.encoder.model == "bundled"
    assert settings.detector.min_confidence == 0.4
    assert settings.detector.trust is False
    assert settings.association.memory == timedelta(hours=48)
    assert (settings.corpus.collect, settings.corpus.max_size) == (True, 10**10)
    assert settings.retention.corpus == timedelta(days=30)
    assert (settings.outputs.tracks, settings.outputs.events, settings.outputs.video) == (True, True, False)
    assert (camera.enabled, camera.backend, camera.pipeline, camera.start) == (True, "auto", None, None)
    assert (camera.inputs[0].transport, camera.inputs[0].fps, camera.detect.fps) == ("tcp", None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("48h", 172_800), ("7d", 604_800), ("1s", 1)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0h", "-3h", "48", "48 h", "1.5h", "h", "48H", "48h\n", 48, None, True])
def test_other_texts_are_no_durations(text: object) -> None:
    with pytest.raises(ValidationError):
        _settings(association={"memory": text})


@pytest.mark.parametrize(("text", "size"), [("500MB", 500 * 10**6), ("10GB", 10**10), ("1500GB", 15 * 10**11)])
def test_sizes(text: str, size: int) -> None:
    assert _settings(corpus={"max_size": text}).corpus.max_size == size
    assert format_size(size) == text


@pytest.mark.parametrize("text", ["", "0GB", "-1GB", "10", "10 GB", "1.5GB", "10gb", "10GB\n", "10kB", 10, None, True])
def test_other_texts_are_no_sizes(text: object) -> None:
    with pytest.raises(ValidationError):
        _settings(corpus={"max_size": text})


@pytest.mark.parametrize("name", ["lobby", "Lobby-2_b", "1", "on", "a" * 64])
def test_camera_names(name: str) -> None:
    assert name in Settings.model_validate({"cameras": {name: CAMERA}}).cameras


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "../x", "a.b", "ü", "a\n", "mtmc", "MTMC"])
def test_refused_camera_names(name: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"cameras": {name: CAMERA}})


def test_names_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(ValidationError, match="differs from hall in more than case"):
        Settings.model_validate({"cameras": {"hall": CAMERA, "Hall": CAMERA}})


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 1.1, "0.5", True, float("nan")])
def test_min_confidence_lies_between_0_and_1(confidence: object) -> None:
    with pytest.raises(ValidationError):
        _settings(detector={"min_confidence": confidence})


@pytest.mark.parametrize(
    "points", [[], [[0, 0], [1, 1]], [[0, 0], [1, 0], [1, 1.01]], [[0, 0], [1, 0], [-0.1, 0]], [[0, 0], [1, 0], [1]]]
)
def test_refused_privacy_points(points: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"cameras": {"hall": {**CAMERA, "privacy": [{"points": points}]}}})


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": []},
        {"inputs": [{"path": "a"}, {"path": "b"}]},
        {"inputs": [{"path": ""}]},
        {"inputs": [{"path": "a", "fps": 0}]},
        {"inputs": [{"path": "a", "fps": float("inf")}]},
        {"pipeline": "videotestsrc ! appsink", "backend": "ffmpeg"},
        {"start": "yesterday"},
        {"start": 5},
        {"enabled": 1},
    ],
)
def test_refused_cameras(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"cameras": {"hall": {**CAMERA, **change}}})


@pytest.mark.parametrize("name", ["door", "Till-2_b", "1", "a" * 64])
def test_zone_names(name: str) -> None:
    zones = {name: {"points": [[0, 0], [1, 0], [1, 1]]}}
    assert name in Settings.model_validate({"cameras": {"hall": {**CAMERA, "zones": zones}}}).cameras["hall"].zones


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a.b", "ü", "a\n"])
def test_refused_zone_names(name: str) -> None:
    zones = {name: {"points": [[0, 0], [1, 0], [1, 1]]}}
    with pytest.raises(ValidationError):
        Settings.model_validate({"cameras": {"hall": {**CAMERA, "zones": zones}}})


@pytest.mark.parametrize("side", [0.02, 0.009])
def test_a_zone_has_some_area_whichever_way_round(side: float) -> None:
    for points in ([[0, 0], [side, 0], [side, side], [0, side]], [[0, side], [side, side], [side, 0], [0, 0]]):
        camera = {**CAMERA, "zones": {"door": {"points": points}}}
        if side > 0.01:
            Settings.model_validate({"cameras": {"hall": camera}})
            continue
        with pytest.raises(ValidationError, match="enclose next to nothing"):
            Settings.model_validate({"cameras": {"hall": camera}})


def test_a_pipeline_needs_no_input() -> None:
    settings = Settings.model_validate({"cameras": {"hall": {"pipeline": "videotestsrc ! appsink"}}})
    assert settings.cameras["hall"].inputs == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        _settings().detector.min_confidence = 0.9  # type: ignore[misc]  # what the test is about


def test_non_default_lists_only_differences_and_no_password() -> None:
    settings = Settings.model_validate(
        {
            "site": {"name": "hq", "timezone": "UTC"},
            "cameras": {
                "hall": {
                    "inputs": [{"path": "rtsp://u:p@cam/x", "fps": 7, "transport": "tcp"}],
                    "start": datetime(2026, 11, 20, 8, tzinfo=UTC),
                    "detect": {"fps": None},
                },
                "door": {"pipeline": "rtspsrc location=rtsp://u:p@cam/y ! appsink", "enabled": False},
            },
            "association": {"memory": "7d"},
            "outputs": {"tracks": True, "video": True},
        }
    )
    assert non_default(settings) == {
        "site.name": "hq",
        "cameras.hall.inputs[0].path": "rtsp://***@cam/x",
        "cameras.hall.inputs[0].fps": 7.0,
        "cameras.hall.start": "2026-11-20T08:00:00Z",
        "cameras.door.pipeline": "rtspsrc location=rtsp://***@cam/y ! appsink",
        "cameras.door.enabled": False,
        "association.memory": "7d",
        "outputs.video": True,
    }
