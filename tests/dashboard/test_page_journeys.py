from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest

from reid_pipeline.dashboard import journey_corrections, page_journeys
from reid_pipeline.dashboard.journey_download import journey_zip
from reid_pipeline.dashboard.words import wrong_in
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.schema import Clip
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import NOON_US, write_site


@pytest.fixture
def data(tmp_path):
    write_site(tmp_path / "data")
    return tmp_path / "data"


def journey(data, identity=1, role="admin", view="path", **other):
    return check_clean(page_test("journeys", data, role, query={"id": str(identity), "view": view}, **other).run())


def audited(data):
    with open_database(data, create=False) as database:
        return [(each.action, each.reason, each.subject) for each in AuditLog(database).read()]


def identities(data):
    with open_database(data, create=False) as database, database.session_scope() as session:
        query = (
            "SELECT c.name, t.number, t.identity FROM tracklets t JOIN cameras c ON c.id = t.camera_id ORDER BY 1, 2"
        )
        return [tuple(row) for row in session.connection().exec_driver_sql(query)]


def texts(test):
    return "".join(each.proto.body for each in test.get("html"))


@pytest.mark.parametrize("role", Role)
def test_a_path_is_shown_and_accounted_for_once(data, role):
    test = journey(data, 2, role)
    assert [(each.label, each.value) for each in test.metric][:3] == [
        ("Sightings", "2"),
        ("Cameras", "2"),
        ("In view", "20 s"),
    ]
    assert wrong_in(0.7) in texts(test)
    assert texts(test).count("/crop/") == 2
    views = [each for each in test.get("button_group") if each.key == "journeys_view"]
    offered = [[option.content for option in each.proto.options] for each in views]
    expected = ["Path"]
    expected += ["Correct"] if Permission.CORRECT in ALLOWED[role] else []
    expected += ["Export"] if Permission.EXPORT in ALLOWED[role] else []
    assert offered == ([expected] if len(expected) > 1 else [])
    check_clean(test.run())
    assert audited(data) == [("journey", "", {"identity": 2})]


@pytest.mark.parametrize("role", Role)
def test_an_empty_site(tmp_path, role):
    open_database(tmp_path / "data").close()
    test = check_clean(page_test("journeys", tmp_path / "data", role).run())
    assert test.info[0].value.startswith("Type the number")
    test.number_input(key="journeys_number").set_value(3).run()
    assert test.warning[0].value.startswith("There is no Person 3")
    assert audited(tmp_path / "data") == []


@pytest.mark.parametrize("asked", ["x", "-1", "0", "9" * 30, "²"])
def test_a_number_that_is_none(data, asked):
    test = page_test("journeys", data, query={"id": asked}).run()
    assert not test.exception
    assert audited(data) == []


def test_a_viewer_of_one_camera_sees_the_path_in_that_alone(data):
    test = journey(data, 2, "viewer", cameras=["hall"])
    assert test.metric[0].value == "1"
    assert "door" not in texts(test)
    with open_database(data, create=False) as database:
        Corrections(database, Access("olga", Role.OPERATOR)).split(2, [("door", 2)])
    hidden = page_test("journeys", data, "viewer", ["hall"], {"id": "3"}).run()
    assert hidden.warning[0].value.startswith("There is no Person 3")


def test_merging_compares_and_then_joins(data):
    test = journey(data, 2, "operator", "correct")
    test.text_input(key="journeys_reason").input("same bag")
    check_clean(test.number_input(key="journeys_merge_2").set_value(1).run())
    assert any("Person 1" in each.value for each in test.markdown)
    assert texts(test).count("/crop/") >= 4
    check_clean(test.button(key="journeys_do_merge").click().run())
    assert {identity for *_, identity in identities(data)} == {1}
    assert [each[:2] for each in audited(data)] == [
        ("journey", ""),
        ("journey", ""),
        ("merge", "same bag"),
        ("journey", ""),
    ]
    assert any(each.value == "Person 2 was merged into Person 1." for each in test.caption)


def test_merging_with_nobody_or_oneself(data):
    test = journey(data, 2, "operator", "correct")
    test.number_input(key="journeys_merge_2").set_value(9).run()
    assert test.warning[0].value.startswith("There is no Person 9")
    check_clean(test.number_input(key="journeys_merge_2").set_value(2).run())
    assert test.info[0].value == "Person 2 is Person 2 already."


def test_two_who_were_seen_at_once_are_warned_of():
    from reid_pipeline.storage.journeys import JourneyRecord, JourneyTracklet

    def person(*stays):
        tracklets = tuple(JourneyTracklet(camera, 1, first, last, None, 0, ()) for camera, first, last in stays)
        return JourneyRecord(1, (), tracklets, ())

    together = journey_corrections._together
    one = person(("hall", 0, 100), ("hall", 10, 20), ("door", 50, 60))
    assert together(one, person(("hall", 90, 95))) == "hall"
    assert together(one, person(("hall", 100, 120), ("door", 60, 70))) is None
    assert together(person(("hall", 5, 6)), one) == "hall"


def test_ticked_sightings_are_split_off(data):
    test = journey(data, 1, "investigator", "correct")
    assert test.button(key="journeys_do_split").disabled
    check_clean(test.checkbox(key="journeys_leaves_door_1").check().run())
    check_clean(test.button(key="journeys_do_split").click().run())
    assert identities(data)[0] == ("door", 1, 3)
    assert audited(data)[-1][0] == "split"
    check_clean(test.button(key="journeys_undo_False").click().run())
    assert identities(data)[0] == ("door", 1, 1)


def test_nothing_is_left_after_all_is_split_off(data):
    test = journey(data, 1, "operator", "correct")
    for key in ("door_1", "hall_1"):
        test.checkbox(key=f"journeys_leaves_{key}").check()
    test.run()
    test.button(key="journeys_do_split").click().run()
    assert "expected to leave at least one" in test.error[0].value
    assert audited(data)[-1][0] == "journey"


def test_who_sees_one_camera_cannot_correct_people_of_others(data):
    test = journey(data, 2, "operator", "correct", cameras=["hall"])
    check_clean(test.number_input(key="journeys_merge_2").set_value(1).run())
    test.button(key="journeys_do_merge").click().run()
    assert "a camera that you do not see" in test.error[0].value
    assert {identity for *_, identity in identities(data)} == {1, 2}


def test_many_sightings_come_in_pages(data, monkeypatch):
    monkeypatch.setattr(page_journeys, "_ON_A_PAGE", 1)
    monkeypatch.setattr(journey_corrections, "_ON_A_PAGE", 1)
    test = journey(data, 2)
    assert "<b>door</b>:2" in texts(test)
    assert "<b>hall</b>:2" not in texts(test)
    check_clean(test.number_input(key="journeys_page_2").set_value(1).run())
    assert "<b>hall</b>:2" in texts(test)
    test = journey(data, 2, view="correct")
    assert [each.key for each in test.checkbox] == ["journeys_leaves_door_2"]


def test_export_needs_a_reason_and_the_right(data):
    test = journey(data, 1, "investigator", "export")
    (button,) = test.get("download_button")
    assert button.proto.disabled
    check_clean(test.text_input(key="journeys_export_reason").input("case 7").run())
    assert not test.get("download_button")[0].proto.disabled
    assert not journey(data, 1, "operator", "export").get("download_button")


def test_an_export_is_whole_and_accounted_for(data):
    with open_site(None, data, actor="root") as site:
        content = journey_zip(site, 2, "case 7", footage=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        digests = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names if name != "manifest.json"}
    assert set(names) == {"journey.csv", "journey.json", "journey.html", "manifest.json"}
    assert manifest["files"] == digests
    assert audited(data) == [("export", "case 7", {"identity": 2, "folder": "download"})]


def test_who_may_not_export_gets_nothing(data):
    from dataclasses import replace

    with open_site(None, data, actor="root") as site, pytest.raises(NotAllowed):
        journey_zip(replace(site, access=Access("olga", Role.OPERATOR)), 2, "", footage=False)
    assert audited(data) == []


def test_footage_is_played_where_there_is_some(data):
    with open_database(data, create=False) as database, database.session_scope(write=True) as session:
        first_us = NOON_US + 21_000_000
        path = f"clips/hall/2025-11-20/{first_us}.mp4"
        session.add(Clip(camera_id=1, first_us=first_us, last_us=first_us + 1, path=path, bytes=1))
    test = journey(data, 2, "viewer")
    assert [each.key for each in test.button] == ["journeys_play_hall_2"]
    check_clean(test.button(key="journeys_play_hall_2").click().run())
    assert 'src="/clip/' in texts(test)
    assert audited(data)[-1][2]["clips"] == [["hall", NOON_US + 18_000_000, NOON_US + 32_000_001]]
