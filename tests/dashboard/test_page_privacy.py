from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from reid_pipeline.configs.settings import RetentionSettings
from reid_pipeline.dashboard.privacy_erase import sighting_keys
from reid_pipeline.dashboard.retention_table import retention_rows
from reid_pipeline.dashboard.time_inputs import to_us
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Role
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.retention_due import Due
from tests.dashboard.dialogs import dialog_test, told
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import NOON_US, write_site

ADMIN = Access("root", Role.ADMIN)
TABS = {
    "investigator": ["Retention", "Cases", "Access"],
    "privacy-officer": ["Retention", "Cases", "Erase", "Access", "Audit log"],
    "admin": ["Retention", "Cases", "Erase", "Access", "Audit log"],
}
PARTS = TABS["admin"]


@pytest.fixture
def site(tmp_path):
    write_site(tmp_path)
    return tmp_path


def part(site, name, role="admin", who="root"):
    return page_test("privacy", site, role, query={"privacy_part": name}, name=who)


def button(page, label):
    return next(each for each in page.button if each.label == label)


def entries(data_dir, action):
    with open_database(data_dir) as database:
        return [each for each in AuditLog(database).read() if each.action == action]


@pytest.mark.parametrize("name", PARTS)
def test_an_empty_site_shows_every_part(tmp_path, name):
    open_database(tmp_path).close()
    page = check_clean(part(tmp_path, name).run())
    assert [each.label for each in page.tabs] == PARTS


@pytest.mark.parametrize("role", TABS)
def test_each_role_is_offered_what_it_may_do(site, role):
    for name in TABS[role]:
        page = check_clean(part(site, name, role).run())
        assert [each.label for each in page.tabs] == TABS[role]
    removal = [each.key for each in check_clean(part(site, "Retention", role).run()).button]
    assert ("privacy_remove" in removal) == (role != "investigator")


def test_who_sees_some_cameras_sees_nothing_of_it(site):
    page = check_clean(page_test("privacy", site, "admin", ["hall"]).run())
    assert "whole site" in page.info[0].value
    assert not page.tabs


# Retention


def test_classes_in_words():
    hour = 3_600_000_000
    due = {"crops": Due(0, 0), "tracks": Due(0, 5, 5), "corpus": Due(0, 5, 1), "clips": Due(None, 0)}
    rows = {row.what: row for row in retention_rows(RetentionSettings(), due, 71 * hour)}
    assert rows["Pictures of people"].goes == "in 1 h"
    assert rows["Footage"].goes == ""
    rows = {row.what: row for row in retention_rows(RetentionSettings(), due, 900 * hour)}
    assert (rows["Where and when people were"].goes, rows["Crops to learn from"].goes) == ("held", "now")
    assert rows["Pictures of people"].kept == "3 days"


def test_what_is_due_goes_once_that_is_confirmed(site):
    page = check_clean(part(site, "Retention").run())
    assert list(page.dataframe[0].value["Due"])[:2] == ["4", "4"]
    said = told(
        dialog_test(("page_privacy", "confirm_removal"), site, role="privacy-officer").run().button[0].click().run()
    )
    assert "were removed" in said
    with open_database(site) as database:
        assert Overview(database, MACHINE_ACCESS).count() == 0
    assert entries(site, "retention")[0].actor == "root"
    refused = dialog_test(("page_privacy", "confirm_removal"), site, role="investigator").run().button[0].click().run()
    assert "may not" in refused.error[0].value


# Cases


def test_a_case_is_opened_holds_and_is_closed(site):
    page = part(site, "Cases", "investigator", "ines").run()
    page.text_input[0].input("Theft *bag*")
    page.text_input[1].input("report 12")
    page = check_clean(button(page, "Open case").click().run())
    assert any("Theft \\*bag\\*" in each.value for each in page.markdown)
    dialog = dialog_test(("privacy_cases", "ask_hold"), site, 1, role="investigator", name="ines").run()
    assert "Say who" in button(dialog, "Hold").click().run().error[0].value
    dialog.number_input[0].set_value(2)
    assert told(button(dialog, "Hold").click().run()) == "Case 1 holds it."
    with open_database(site) as database:
        (case,) = Cases(database, ADMIN).read()
    assert (case.title, case.opened_by, case.holds) == ("Theft *bag*", "ines", (Hold(2),))
    page = check_clean(part(site, "Cases").run())
    assert any("person 2" in each.value for each in page.markdown)
    told(button(dialog_test(("privacy_cases", "ask_close"), site, 1).run(), "Close case 1").click().run())
    page = check_clean(part(site, "Cases").run())
    assert "No case is open" in page.info[0].value
    assert list(page.dataframe[0].value["Held"]) == ["person 2"]


def test_a_camera_is_held_for_a_time(site):
    with open_database(site) as database:
        Cases(database, ADMIN).open("theft", "report 12")
    dialog = dialog_test(("privacy_cases", "ask_hold"), site, 1).run()
    dialog.segmented_control[0].set_value("A camera").run()
    dialog.selectbox[0].set_value("hall")
    dialog.datetime_input(key="privacy_hold_since").set_value(datetime(2025, 11, 20, 12, 0))
    told(button(dialog, "Hold").click().run())
    with open_database(site) as database:
        (case,) = Cases(database, ADMIN).read()
    assert case.holds == (Hold(None, "hall", NOON_US, None),)


def test_a_case_without_a_reason_is_refused(site):
    page = part(site, "Cases").run()
    page.text_input[0].input("Theft")
    page = button(page, "Open case").click().run()
    assert "reason" in page.error[0].value


# Erase


def preview(site, number=2):
    page = part(site, "Erase", "privacy-officer", "petra").run()
    page.number_input[0].set_value(number)
    return button(page, "Show what would go").click().run()


def confirm(page, reason, typed):
    page.text_input[0].input(reason)
    page.text_input[1].input(typed)
    return button(page, "Erase for good").click().run()


def test_a_person_is_erased_once_it_is_typed_and_the_report_is_shown(site):
    page = check_clean(preview(site))
    assert {each.label: each.value for each in page.metric}["Tracklets"] == "2"
    for reason, typed, said in (
        ("", "erase 2", "expected a reason"),
        ("asked for", "erase 3", "to confirm"),
        ("x", "", "Type"),
    ):
        assert said in confirm(page, reason, typed).error[0].value
    with open_database(site) as database:
        assert Overview(database, MACHINE_ACCESS).count() == 4
    page = check_clean(confirm(page, "asked for", "erase 2"))
    assert "Erasure 1 is done" in page.success[0].value
    report = json.loads(page.code[0].value)
    assert (report["tracklets"], report["actor"], report["reason"]) == (2, "petra", "asked for")
    assert len(report["signature"]) == 128
    with open_database(site) as database:
        assert Overview(database, MACHINE_ACCESS).count() == 2
    assert entries(site, "erase")[0].actor == "petra"


def test_while_a_run_goes_on_nothing_is_erased(site):
    page = preview(site)
    with open_database(site) as database, database.lock_for_run():
        page = confirm(page, "asked for", "erase 2")
        assert not page.exception
        assert "another run" in page.error[0].value
        assert Overview(database, MACHINE_ACCESS).count() == 4


def test_what_a_case_holds_cannot_be_erased(site):
    with open_database(site) as database:
        cases = Cases(database, ADMIN)
        cases.hold(cases.open("theft", "report 12"), Hold(2))
    page = preview(site)
    assert "2 of 2 tracklets are held by an open case: close it first" in page.warning[0].value
    assert "Erase for good" not in [each.label for each in page.button]


def test_an_erasure_that_was_broken_off_is_ended(site, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, open_database(site) as database:
        patch.setattr(CorpusStore, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            Erasures(database, ADMIN).erase(Target(2), "asked for")
    page = part(site, "Erase").run()
    assert "broken off" in page.warning[0].value
    page = check_clean(page.button(key="privacy_erase_end").click().run())
    assert "Erasure 1 is done" in page.success[0].value
    with open_database(site) as database:
        assert Overview(database, MACHINE_ACCESS).count() == 2


def test_nobody_and_nothing_are_said_in_one_line(site):
    assert "99" in preview(site, 99).error[0].value
    page = button(part(site, "Erase").run(), "Show what would go").click().run()
    assert "Say first" in page.error[0].value


def test_sightings_and_cameras_can_be_erased(site):
    page = part(site, "Erase").run()
    page.segmented_control[0].set_value("Sightings").run()
    page.text_input[0].input("hall:2 door:2")
    page = check_clean(button(page, "Show what would go").click().run())
    assert page.metric[0].value == "2"
    page.segmented_control[0].set_value("A camera").run()
    page.selectbox[0].set_value("hall")
    page.datetime_input(key="privacy_erase_since").set_value(datetime(2025, 11, 20, 12, 1))
    page = check_clean(button(page, "Show what would go").click().run())
    assert page.metric[0].value == "0"


def test_sightings_are_read():
    assert sighting_keys(" hall:12,door:3 ") == (("hall", 12), ("door", 3))
    assert sighting_keys("") == ()
    for wrong in ("hall", "hall:", ":3", "hall:x", "hall:-1"):
        with pytest.raises(InputError):
            sighting_keys(wrong)


# Access


def test_looking_somebody_up_is_accounted_for_once_and_offers_the_archive(site):
    page = part(site, "Access", "investigator", "ines").run()
    page.number_input[0].set_value(2)
    page.text_input[0].input("asked on 3 May")
    page = check_clean(button(page, "Look").click().run())
    check_clean(page.run())
    (entry,) = entries(site, "journey")
    assert (entry.actor, entry.reason, dict(entry.subject)) == ("ines", "asked on 3 May", {"identity": 2})
    assert len(page.get("download_button")) == 1


def test_somebody_unknown_is_said_in_one_line(site):
    page = part(site, "Access").run()
    page.number_input[0].set_value(99)
    page = button(page, "Look").click().run()
    assert "identity 99" in page.error[0].value


# Audit


def test_the_log_is_paged_and_filtered(site):
    with open_database(site) as database:
        log = AuditLog(database)
        for number in range(120):
            log.note("ada" if number % 2 else "ben", Action.SEARCH, "", {"identity": number, "cameras": ["a", "b"]})
    page = check_clean(part(site, "Audit log", "privacy-officer").run())
    assert list(page.dataframe[0].value["Entry"]) == list(range(120, 70, -1))
    assert page.dataframe[0].value["About"][0] == "cameras a and b, identity 119"
    page.button(key="privacy_audit_older").click().run()
    check_clean(page.button(key="privacy_audit_older").click().run())
    assert list(page.dataframe[0].value["Entry"]) == list(range(20, 0, -1))
    assert page.button(key="privacy_audit_older").disabled
    check_clean(page.button(key="privacy_audit_newer").click().run())
    assert page.dataframe[0].value["Entry"][0] == 70
    page.text_input(key="privacy_audit_who").input("ben")
    check_clean(page.run())
    assert set(page.dataframe[0].value["Who"]) == {"ben"}
    page.selectbox(key="privacy_audit_what").set_value(Action.MERGE)
    check_clean(page.run())
    assert not page.dataframe
    assert "no such entry" in page.caption[0].value


def test_a_check_tells_whether_the_log_is_whole(site):
    with open_database(site) as database:
        AuditLog(database).note("ada", Action.SEARCH, "why", {})
    page = check_clean(part(site, "Audit log").run().button(key="privacy_audit_verify").click().run())
    assert "whole" in page.success[0].value
    with open_database(site) as database, database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("UPDATE audit_log SET content = replace(content, 'why', 'not')")
    page = part(site, "Audit log").run().button(key="privacy_audit_verify").click().run()
    assert "its content was changed" in page.error[0].value


def test_times_of_the_clock():
    assert to_us(None, UTC) is None
    assert to_us(datetime(1970, 1, 1, 1, 0, 1), timezone(timedelta(hours=1))) == 1_000_000


def test_erased_pictures_are_gone_from_the_disk(site):
    confirm(preview(site), "asked for", "erase 2")
    with open_database(site) as database:
        left = [each.camera for each in Repository(database, CropStore(site)).journey(1).tracklets]
    assert left == ["hall", "door"]
    assert len(list((site / "crops").rglob("*.jpg"))) == 2
