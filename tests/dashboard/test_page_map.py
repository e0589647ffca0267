from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from reid_pipeline.dashboard import page_map
from reid_pipeline.dashboard.site_map import Placed, all_places
from reid_pipeline.pipeline.events import Event, EventFile, iso_time
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.floor_plan import FloorPlans, Place
from reid_pipeline.storage.permissions import Access, Role
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import NOON_US, write_site

ADMIN = Access("ada", Role.ADMIN)
PLAN = cv2.imencode(".png", np.full((50, 100, 3), 255, np.uint8))[1].tobytes()


@pytest.fixture
def data(tmp_path):
    write_site(tmp_path / "data")
    return tmp_path / "data"


def shown(test):
    """What the component was given."""
    (component,) = test.get("bidi_component")
    return json.loads(component.proto.json or component.proto.mixed.json)


@pytest.mark.parametrize("role", Role)
def test_everybody_sees_the_map(data, role):
    test = check_clean(page_test("map", data, role).run())
    assert [each.value for each in test.metric] == ["4", "2", "2", "10 s"]
    given = shown(test)
    assert [(each["name"], each["text"]) for each in given["cameras"]] == [("door", "2"), ("hall", "2")]
    assert [(each["origin"], each["goal"], each["text"]) for each in given["flows"]] == [("hall", "door", "50 s")]
    assert "2 times, median 50 s, most between 18 s and 1 min 22 s" in given["flows"][0]["help"]
    assert ("map_placing" in [each.key for each in test.toggle]) == (role is Role.ADMIN)


@pytest.mark.parametrize("role", Role)
def test_an_empty_site(tmp_path, role):
    open_database(tmp_path / "data").close()
    test = check_clean(page_test("map", tmp_path / "data", role).run())
    assert "reid-pipeline run" in test.info[0].value


def test_a_viewer_of_one_camera_is_told_of_no_other(data):
    test = check_clean(page_test("map", data, "viewer", ["door"]).run())
    assert [each.value for each in test.metric] == ["2", "2", "0", "10 s"]
    given = shown(test)
    assert ([each["name"] for each in given["cameras"]], given["flows"]) == (["door"], [])


@pytest.mark.parametrize("view", ["By hour", "Time of day", "Time in view", "Between cameras", "Zones"])
@pytest.mark.parametrize("when", ["24h", "2025-11-19"])
def test_every_view_is_drawn_with_and_without_sightings(data, view, when):
    test = check_clean(page_test("map", data, query={"view": view, "when": when}).run())
    plots = test.get("vega_lite_chart") or test.get("arrow_vega_lite_chart")
    assert bool(plots) == (when == "24h" and view != "Zones")
    assert test.query_params["view"] == view


def test_what_is_kept_for_one_is_not_shown_to_another(data):
    for cameras, people in ((None, "4"), (["door"], "2"), ([], "0"), (None, "4")):
        test = page_test("map", data, cameras=cameras)
        check_clean(test.run())
        assert [each.value for each in test.metric][:1] == ([people] if cameras != [] else [])


def test_zones_of_cameras_that_may_be_seen(data):
    events = [
        Event(kind, iso_time(NOON_US + 100_000_000), camera, zone="<b>till", dwell_s=dwell_s)
        for camera in ("hall", "door")
        for kind, dwell_s in (("enter", None), ("leave", 4.0))
    ]
    EventFile(data / "events.ndjson").append(events)
    for cameras, zones in ((None, ["door: <b>till", "hall: <b>till"]), (["hall"], ["hall: <b>till"])):
        test = check_clean(page_test("map", data, cameras=cameras, query={"view": "Zones"}).run())
        table = test.dataframe[0].value
        assert table["Zone"].tolist() == zones
        assert set(table["Entries"]) == {1}
        assert set(table["Median stay"]) == {"4.0 s"}


def test_a_plan_is_uploaded_and_removed(data):
    test = check_clean(page_test("map", data).run())
    test.get("file_uploader")[0].upload("plan.png", PLAN, "image/png")
    check_clean(test.run())
    check_clean(test.button(key="map_use").click().run())
    given = shown(test)
    assert given["plan"].startswith("data:image/jpeg;base64,")
    assert given["aspect"] == 0.5
    check_clean(test.button(key="map_remove").click().run())
    assert shown(test)["plan"] is None


def test_what_is_no_plan_is_refused(data):
    test = check_clean(page_test("map", data).run())
    test.get("file_uploader")[0].upload("plan.png", b"GIF89a", "image/png")
    test.run()
    test.button(key="map_use").click().run()
    assert "is no PNG or JPEG" in test.error[0].value


def test_cameras_are_placed(data, monkeypatch):
    moved = iter([None, Placed("hall", Place(0.1, 0.9)), None, Placed("hall", Place(0.2, 0.9)), None])
    monkeypatch.setattr(page_map, "show_map", lambda *_, **given: next(moved) if given["placing"] else None)
    test = check_clean(page_test("map", data).run())
    check_clean(test.toggle(key="map_placing").set_value(True).run())
    for x in (0.1, 0.2):
        check_clean(test.run())
        with open_database(data, create=False) as database:
            assert FloorPlans(database, ADMIN).places() == {"hall": Place(x, 0.9)}
            assert [each.subject["x"] for each in AuditLog(database).read()] == ([0.1] if x == 0.1 else [0.1, 0.2])


def test_cameras_that_nobody_placed_stand_in_a_circle():
    places = all_places(("a", "b", "c", "d"), {"b": Place(0.1, 0.2)})
    assert places["b"] == Place(0.1, 0.2)
    assert len(set(places.values())) == 4
    assert places["a"].x == 0.5
    assert all_places((), {}) == {}
