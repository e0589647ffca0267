from __future__ import annotations

import json

import pytest

from reid_pipeline.dashboard import page_people
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import write_site


@pytest.fixture
def data(tmp_path):
    write_site(tmp_path / "data")
    return tmp_path / "data"


def cards(test):
    """The cards that the component was given."""
    (grid,) = test.get("bidi_component")
    return json.loads(grid.proto.json or grid.proto.mixed.json)["cards"]


def numbers(test):
    return [each["key"] for each in cards(test)]


def audited(data):
    with open_database(data, create=False) as database:
        return [(each.action, each.actor, each.reason) for each in AuditLog(database).read()]


@pytest.mark.parametrize("role", Role)
def test_everybody_sees_people(data, role):
    test = check_clean(page_test("people", data, role).run())
    assert numbers(test) == ["1", "2"]  # the door saw 1 last
    first = cards(test)[0]
    assert (first["title"], first["address"]) == ("Person 1", "journeys?id=1")
    assert first["picture"].startswith("/crop/")
    assert [line[0] for line in first["lines"]][1:] == ["2 cameras", "20 s in view"]
    may_review = Permission.CORRECT in ALLOWED[role]
    assert ("people_view" in [each.key for each in test.get("button_group")]) == may_review


@pytest.mark.parametrize("role", Role)
def test_an_empty_site(tmp_path, role):
    open_database(tmp_path / "data").close()
    test = check_clean(page_test("people", tmp_path / "data", role).run())
    assert "reid-pipeline run" in test.info[0].value


def test_a_viewer_of_one_camera_is_told_of_that_alone(data):
    test = check_clean(page_test("people", data, "viewer", cameras=["door"]).run())
    assert test.multiselect(key="people_cameras").options == ["door"]
    assert [each["lines"][1][0] for each in cards(test)] == ["door", "door"]
    assert [each["lines"][2][0] for each in cards(test)] == ["10 s in view", "10 s in view"]


def test_the_address_says_what_is_shown(data):
    test = check_clean(page_test("people", data, query={"camera": ["hall"], "when": "2025-11-20"}).run())
    assert numbers(test) == ["2", "1"]
    assert test.selectbox(key="people_when").value == "day"
    test.selectbox(key="people_order").select("dwell")
    check_clean(test.run())
    assert test.query_params["order"] == "dwell"
    test.selectbox(key="people_when").select("1h")
    check_clean(test.run())
    assert test.query_params["when"] == "1h"
    assert numbers(test) == ["1", "2"]


def test_nobody_then(data):
    test = check_clean(page_test("people", data, query={"when": "2025-11-19"}).run())
    assert test.info[0].value.startswith("Nobody was seen then")


@pytest.mark.parametrize("order", ["recent", "dwell", "cameras"])
def test_pages_follow_each_other(data, monkeypatch, order):
    monkeypatch.setattr(page_people, "_ON_A_PAGE", 1)
    test = check_clean(page_test("people", data, query={"order": order}).run())
    assert numbers(test) == ["1"]
    check_clean(test.button(key="people_further").click().run())
    assert numbers(test) == ["2"]
    check_clean(test.button(key="people_back").click().run())
    assert numbers(test) == ["1"]
    test.button(key="people_further").click().run()
    check_clean(test.multiselect(key="people_cameras").select("hall").run())  # begins anew
    assert numbers(test) == (["2"] if order == "recent" else ["1"])


def review(data, role="operator", **other):
    return check_clean(page_test("people", data, role, query={"view": "review"}, **other).run())


def answer(test, kind):
    """The button of an answer about the link that is shown."""
    return next(each for each in test.button if (each.key or "").startswith(f"people_{kind}_"))


def test_different_people_are_split(data):
    test = review(data)
    assert (test.subheader[0].value, test.caption[0].value) == ("Is this Person 2?", "4 to review")
    check_clean(answer(test, "different").click().run())
    assert ("split", "root", "seen in the review queue") in audited(data)
    with open_database(data, create=False) as database, database.session_scope() as session:
        rows = session.connection().exec_driver_sql("SELECT number, identity FROM tracklets WHERE identity > 2").all()
    assert rows == [(2, 3)]
    assert test.subheader[0].value == "Is this Person 1?"  # 2 has one sighting left: nothing to compare
    check_clean(test.button(key="people_undo_last").click().run())
    assert test.subheader[0].value == "Is this Person 2?"
    assert [each[0] for each in audited(data)][-1] == "undo"


def test_the_same_person_is_confirmed(data):
    test = review(data)
    test.text_input(key="people_reason").input("same coat")
    check_clean(answer(test, "same").click().run())
    assert audited(data)[-1] == ("confirm", "root", "same coat")
    assert (test.subheader[0].value, test.caption[0].value) == ("Is this Person 1?", "2 to review")
    check_clean(answer(test, "same").click().run())
    assert test.info[0].value.startswith("No link needs a look")


def test_what_nobody_is_sure_of_stays(data):
    test = review(data)
    for left in (3, 2, 1):
        check_clean(answer(test, "skip").click().run())
        assert test.caption[0].value == f"{left} to review"
    check_clean(answer(test, "skip").click().run())
    assert test.info[0].value == "That was the last one."
    check_clean(test.button(key="people_newest").click().run())
    assert test.caption[0].value == "4 to review"
    assert audited(data) == []


def test_who_may_not_decide_gets_no_queue(data):
    test = review(data, "viewer")
    assert numbers(test) == ["1", "2"]
    test = review(data, "operator", cameras=["hall"])
    assert test.info[0].value.startswith("No link needs a look")


def test_an_answer_is_about_what_was_shown(data):
    test = review(data)
    with open_database(data, create=False) as database:
        event = IdentityEvent(EventType.ASSIGN, 0, 2, camera="door", number=1, probability=0.6)
        with Writer(database, CropStore(data)) as writer:
            writer.put(Changes(identity_events=(event,)))
    check_clean(answer(test, "same").click().run())
    with open_database(data, create=False) as database:
        confirmed = [each for each in AuditLog(database).read() if each.action == "confirm"]
        history = Repository(database, CropStore(data)).identity_history(2)
    assert len(confirmed) == 1
    (entry,) = [each for each in history if each.type is EventType.CONFIRM]
    assert (entry.camera, entry.number) == ("door", 2)


def test_a_click_on_what_somebody_else_has_decided_does_nothing(data):
    test = review(data)
    with open_database(data, create=False) as database:
        Corrections(database, Access("olga", Role.OPERATOR)).merge(1, 2)
    check_clean(answer(test, "different").click().run())
    assert [each[0] for each in audited(data)] == ["merge"]
    assert test.info[0].value.startswith("No link needs a look")
