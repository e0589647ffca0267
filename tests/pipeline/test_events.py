import json

import pytest

from reid_pipeline.pipeline.events import Event, EventFile, iso_time

NEW = Event("new", "2026-11-20T08:00:00.000Z", "hall", 3, 1, box=(1.5, 2.0, 30.0, 80.0))
LOST = Event("camera", "2026-11-20T08:00:01.000Z", "hall", state="reconnecting", detail="no frame for 5 s")
_PLAIN = {"type", "time", "camera", "frame", "tracklet", "identity", "probability", "box", "state", "detail", "other"}
FIELDS = _PLAIN | {
    "zone",
    "dwell_s",
    "watch",
}


@pytest.mark.parametrize(
    ("time_us", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_500_999, "1970-01-01T00:00:01.500Z"),
        (1_795_161_600_000_000, "2026-11-20T08:00:00.000Z"),
        (1_795_161_599_999_999, "2026-11-20T07:59:59.999Z"),
    ],
)
def test_time_has_milliseconds(time_us, expected):
    assert iso_time(time_us) == expected


@pytest.mark.parametrize("millisecond", range(0, 1000, 7))
def test_every_millisecond_is_kept(millisecond):
    assert iso_time(1_795_161_600_000_000 + millisecond * 1000) == f"2026-11-20T08:00:00.{millisecond:03}Z"


def test_one_object_a_line_with_all_fields(tmp_path):
    EventFile(tmp_path / "events.ndjson").append([NEW, LOST])
    new, lost = (json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines())
    assert set(new) == set(lost) == FIELDS
    assert (new["box"], new["identity"]) == ([1.5, 2.0, 30.0, 80.0], None)
    assert (lost["type"], lost["state"], lost["frame"]) == ("camera", "reconnecting", None)


def test_events_are_added_to_those_of_earlier_runs(tmp_path):
    for _ in range(2):
        EventFile(tmp_path / "events.ndjson").append([NEW])
    assert (tmp_path / "events.ndjson").read_text().count("\n") == 2


def test_no_events_write_nothing(tmp_path):
    EventFile(tmp_path / "events.ndjson").append([])
    assert list(tmp_path.iterdir()) == []


def test_names_and_words_of_any_language_come_back(tmp_path):
    event = Event("camera", "2026-11-20T08:00:00.000Z", "eingang_süd", detail='broke off: "x"\nafter 3 frames')
    EventFile(tmp_path / "events.ndjson").append([event])
    (line,) = (tmp_path / "events.ndjson").read_text(encoding="utf-8").splitlines()
    assert (json.loads(line)["camera"], json.loads(line)["detail"]) == (event.camera, event.detail)
