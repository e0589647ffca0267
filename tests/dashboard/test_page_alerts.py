from __future__ import annotations

import time

import pytest

from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.records import Changes, NewAlert
from reid_pipeline.storage.watch_alerts import WatchAlerts
from reid_pipeline.storage.watch_lists import WatchLists, WatchState
from reid_pipeline.storage.writer import Writer
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import NOON_US, write_site

ADMIN = Access("root", Role.ADMIN)
IVO = Access("ivo", Role.INVESTIGATOR)
DAY_US = 86_400_000_000


@pytest.fixture
def site(tmp_path):
    """Identity 1 is watched for, and was seen at the door."""
    from reid_pipeline.storage.watch_lists import Proposal

    write_site(tmp_path)
    with open_database(tmp_path) as database:
        case = Cases(database, ADMIN).open("theft", "report 12")
        expires_us = time.time_ns() // 1000 + DAY_US
        entry = WatchLists(database, IVO).propose(Proposal(case, "report 12", expires_us, 0.02, "<b>bag</b>", 1))
        WatchLists(database, ADMIN).approve(entry)
        with Writer(database, CropStore(tmp_path)) as writer:
            writer.put(Changes(alerts=(NewAlert(entry, "door", 1, NOON_US, 0.98),)))
    return tmp_path


def test_an_alert_is_shown_and_acknowledged(site):
    page = check_clean(page_test("alerts", site, "operator", name="olga").run())
    assert any("about 1 in 50 such links is wrong" in each.value for each in page.caption)
    assert not any("<b>" in each.value for each in page.markdown)
    check_clean(page.button(key="alerts_ack_1").click().run())
    with open_database(site) as database:
        (alert,) = WatchAlerts(database, ADMIN).read()
    assert alert.acknowledged[1] == "olga"
    assert "No alert" in page.info[0].value


def test_alerts_of_other_cameras_are_not_shown(site):
    page = check_clean(page_test("alerts", site, "operator", ["hall"], name="olga").run())
    assert "No alert" in page.info[0].value


def test_a_proposal_waits_for_somebody_else(site):
    page = check_clean(page_test("alerts", site, "admin", name="root").run())
    page.number_input[0].set_value(2)
    page.text_input[1].input("report 13")
    proposed = next(each for each in page.button if each.label == "Propose")
    check_clean(proposed.click().run())
    with open_database(site) as database:
        newest = WatchLists(database, ADMIN).read()[-1]
    assert (newest.identity, newest.state, newest.added[1]) == (2, WatchState.PENDING, "root")
    assert page.button(key=f"alerts_approve_{newest.id}").disabled
    other = check_clean(page_test("alerts", site, "privacy-officer", name="pia").run())
    check_clean(other.button(key=f"alerts_approve_{newest.id}").click().run())
    with open_database(site) as database:
        assert WatchLists(database, ADMIN).read()[-1].state is WatchState.ACTIVE


@pytest.mark.parametrize("role", [role for role in Role if Permission.ACKNOWLEDGE in ALLOWED[role]])
def test_every_role_that_has_the_page_can_open_it(site, tmp_path_factory, role):
    check_clean(page_test("alerts", site, role.value).run())
    empty = tmp_path_factory.mktemp("empty")
    open_database(empty).close()
    check_clean(page_test("alerts", empty, role.value).run())
