from __future__ import annotations

import pytest

from reid_pipeline.dashboard.search_state import SearchState, parse_key
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Permission, Role
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import write_site

MAY_SEARCH = ("operator", "investigator", "admin")


def searches(data_dir):
    with open_database(data_dir) as database:
        return [(each.reason, each.subject) for each in AuditLog(database).read() if each.action == "search"]


def test_with_nobody_to_search_for_it_says_what_to_do(tmp_path):
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path).run())
    assert "Drop a picture" in page.info[0].value
    assert searches(tmp_path) == []


@pytest.mark.parametrize("role", MAY_SEARCH)
def test_a_sighting_of_the_address_is_searched_for_and_noted_once(tmp_path, role):
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path, role, query={"sighting": "hall:1"}).run())
    assert any("hall:1" in each.value for each in page.caption)
    assert any("of 3 sightings compared" in each.value for each in page.caption)
    check_clean(page.run())
    assert searches(tmp_path) == [("", {"sightings": ["hall:1"]})]
    page.text_input(key="search_reason").input("theft, report 12")
    page.multiselect(key="search_cameras").select("door")
    check_clean(page.run())
    assert any("of 2 sightings compared" in each.value for each in page.caption)
    assert searches(tmp_path)[1] == ("theft, report 12", {"sightings": ["hall:1"]})


def test_who_may_not_search_is_told_so_and_finds_nothing(tmp_path):
    write_site(tmp_path)
    page = page_test("search", tmp_path, "viewer", query={"sighting": "hall:1"}).run()
    assert not page.exception
    assert Permission.SEARCH in page.error[0].value
    assert searches(tmp_path) == []


def test_only_the_cameras_of_who_searches_are_searched(tmp_path):
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path, "operator", ["hall"], {"sighting": "hall:1"}).run())
    assert page.multiselect(key="search_cameras").options == ["hall"]
    assert any("of 1 sightings compared" in each.value for each in page.caption)
    refused = page_test("search", tmp_path, "operator", ["hall"], {"sighting": "door:1"}).run()
    assert refused.error
    assert searches(tmp_path) == [("", {"sightings": ["hall:1"]})]


def test_what_was_accepted_becomes_one_person(tmp_path):
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path, "operator", query={"sighting": "hall:1"}).run())
    state: SearchState = page.session_state["search_state"]
    state.judge("hall:2", accept=True)
    check_clean(page.run())
    check_clean(page.button(key="search_join").click().run())
    with open_database(tmp_path) as database:
        found = Overview(database, MACHINE_ACCESS).identities_of([("hall", 1), ("hall", 2), ("door", 2)])
    assert found == {("hall", 1): 1, ("hall", 2): 1, ("door", 2): 2}


def test_a_rejected_hit_is_not_shown_again_and_a_new_search_begins_with_all(tmp_path):
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path, query={"sighting": "hall:1"}).run())
    page.session_state["search_state"].judge("door:2", accept=False)
    check_clean(page.run())
    hits = page.session_state["search_state"].found[1].hits
    assert ("door", 2) not in [(hit.tracklet.camera, hit.tracklet.number) for hit in hits]
    check_clean(page.button(key="search_clear").click().run())
    assert "Drop a picture" in page.info[0].value


@pytest.mark.parametrize("text", ["", "hall", "hall:", ":3", "hall:x", "hall:-1", "hall:99999999999999999999"])
def test_an_address_of_nonsense_names_nobody(tmp_path, text):
    assert parse_key(text) is None
    write_site(tmp_path)
    page = check_clean(page_test("search", tmp_path, query={"sighting": text, "identity": text}).run())
    assert "Drop a picture" in page.info[0].value


def test_an_empty_site_has_nothing_to_search(tmp_path):
    open_database(tmp_path).close()
    check_clean(page_test("search", tmp_path).run())
    assert not page_test("search", tmp_path, query={"identity": "3"}).run().exception


def test_every_judgement_counts_once():
    state = SearchState()
    state.judge("hall:1", accept=True)
    state.judge("hall:1", accept=False)
    state.judge("nonsense", accept=True)
    assert (state.accepted, state.rejected) == ([("hall", 1)], [])
    assert set(Role) > {Role.VIEWER}
