from __future__ import annotations

import pytest

from reid_pipeline.dashboard.signed_links import Link
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.corpus_records import CollectedCrop, CorpusCrop
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRuns, LearningStart, LearningStatus
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.promotions import PromotionLog
from reid_pipeline.storage.records import Changes
from reid_pipeline.storage.site_files import REPORTS
from reid_pipeline.storage.users import Users
from reid_pipeline.storage.writer import Writer
from tests.dashboard.dialogs import dialog_test, told
from tests.dashboard.pages import check_clean, page_test
from tests.dashboard.served import logged_in, served
from tests.pipeline.identity_site import NOON_US, write_site

NIGHT = "enc-20260102-020000"
FIGURES = {
    "before": {"retrieval": 0.694, "round_trip": 0.2, "true_positive_rate": None},
    "after": {"retrieval": 0.734, "round_trip": 0.21, "true_positive_rate": 0.5},
}
LINE = (
    '{"time": "2026-01-02T02:30:00.000Z", "actor": "night", "action": "promote", "base": "m1", "name": "enc-x", '
    '"hash": "h1", "lineage": ["m1"], "previous": "m1", "reason": "<i>better"}\n'
)


@pytest.fixture
def site(tmp_path):
    """Two nights, the second promoted; its report; one crop to learn from."""
    write_site(tmp_path)
    with open_database(tmp_path) as database:
        runs = LearningRuns(database)
        start = LearningStart(LearningKind.NIGHTLY, "m1", 0, {}, "1")
        runs.finish(runs.begin(start), LearningEnd(LearningStatus.FAILED, None, False, "OSError: disk full"))
        end = LearningEnd(LearningStatus.DONE, f"{NIGHT}-75", True, "<i>better", FIGURES)
        runs.finish(runs.begin(start), end)
        runs.begin(start)
        with Writer(database, CropStore(tmp_path)) as writer:
            crop = CorpusCrop(NOON_US, b"\xff\xd8crop", 64, 128, 0.5)
            writer.put(Changes(corpus=(CollectedCrop("hall", 1, crop),)))
    (tmp_path / REPORTS / NIGHT).mkdir(parents=True)
    (tmp_path / REPORTS / NIGHT / "report.html").write_text("<h1>who is who</h1>", encoding="utf-8")
    log = PromotionLog(tmp_path).path
    log.parent.mkdir(parents=True)
    log.write_text(LINE, encoding="utf-8")
    return tmp_path


def test_an_empty_site_says_how_to_begin(tmp_path):
    open_database(tmp_path).close()
    page = check_clean(page_test("learning", tmp_path).run())
    assert "nightly" in page.info[1].value
    assert "configured encoder serves" in page.markdown[0].value
    assert not page.button


@pytest.mark.parametrize("role", Role)
def test_nights_and_what_serves_are_shown_to_each_role(site, role):
    page = check_clean(page_test("learning", site, role.value).run())
    words = [each.value for each in page.markdown]
    assert "enc\\-x serves" in words[0]
    assert any("OSError" in each and "failed" in each for each in words)
    assert any("learning since" in each for each in words)
    assert not any("<i>" in each for each in words)
    assert {each.label: each.value for each in page.metric}["Crops"] == "1"
    assert [each.key for each in page.button] == (["learning_roll_back"] if Permission.KEEP in ALLOWED[role] else [])


def test_who_sees_some_cameras_sees_nothing_of_it(site):
    page = check_clean(page_test("learning", site, "admin", ["hall"]).run())
    assert "all cameras" in page.info[0].value
    assert not page.metric


def test_the_corpus_in_detail_and_nights_of_one_kind(site):
    page = page_test("learning", site).run()
    check_clean(page.toggle(key="learning_corpus").set_value(True).run())
    page.pills(key="learning_kinds").set_value([LearningKind.PRETRAIN])
    check_clean(page.run())
    assert not any("OSError" in each.value for each in page.markdown)


def test_a_promotion_is_taken_back_with_a_reason(site):
    dialog = dialog_test(("page_learning", "confirm_rollback"), site, role="privacy-officer", name="petra").run()
    assert "Say why" in dialog.button[0].click().run().error[0].value
    dialog.text_input[0].input("worse at the door")
    assert told(dialog.button[0].click().run()) == "enc-x was taken back."
    assert PromotionLog(site).serving("m1") == "m1"
    with open_database(site) as database:
        entry = list(AuditLog(database).read())[-1]
    assert (entry.actor, entry.action, entry.reason) == ("petra", "model", "worse at the door")


def test_who_may_not_roll_back_is_refused(site):
    dialog = dialog_test(("page_learning", "confirm_rollback"), site, role="operator").run()
    dialog.text_input[0].input("because")
    assert "may not" in dialog.button[0].click().run().error[0].value
    assert PromotionLog(site).serving("m1") == "h1"


def test_a_report_is_shown_where_it_is_wanted(site):
    page = page_test("learning", site).run()
    (toggle,) = [each for each in page.toggle if each.label == "Report"]
    page = check_clean(toggle.set_value(True).run())
    assert page.get("iframe")[0].proto.src.startswith("/report/")


def test_reports_are_served_to_those_who_see_all_cameras_alone(site):
    with served(site) as whole:

        def address(name, value=NIGHT, kind="report"):
            return f"/report/{whole.links.make(Link(name, kind, (), value))}"

        answer = logged_in(whole, "root").get(address("root"))
        assert (answer.status_code, answer.text) == (200, "<h1>who is who</h1>")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert logged_in(whole, "ada").get(address("ada")).status_code == 403
        for wrong in (address("root", kind="crop"), "/report/x.y"):
            assert logged_in(whole, "root").get(wrong).status_code == 403
        assert logged_in(whole, "root").get(address("root", "..")).status_code == 404
        Users(whole.site.database, Access("root", Role.ADMIN)).add("bob", Role.ADMIN)
        link = address("root")
        Users(whole.site.database, Access("root", Role.ADMIN)).add("root", Role.ADMIN, ["hall"])
        assert logged_in(whole, "root").get(link).status_code == 403
