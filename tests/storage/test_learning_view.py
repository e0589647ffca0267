import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.errors import ModelError, NotAllowed
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRuns, LearningStart, LearningStatus
from reid_pipeline.storage.learning_view import CorpusSize, LearningView
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role
from reid_pipeline.storage.promotions import PromotionLog
from reid_pipeline.storage.site_files import REPORTS
from tests.storage.stored_people import PEOPLE, fill, secret

ADMIN = Access("ada", Role.ADMIN)
LINE = (
    '{"time": "2026-01-01T00:00:00.000Z", "actor": "night", "action": "promote", "base": "b", "name": "%s", '
    '"hash": "%s", "lineage": ["b"], "previous": "b", "reason": "better"}\n'
)


@pytest.fixture
def promoted(site):
    """Two promotions."""
    path = PromotionLog(site.data_dir).path
    path.parent.mkdir(parents=True)
    path.write_text(LINE % ("one", "h1") + LINE % ("two", "h2"), encoding="utf-8")
    return LearningView(site.database, ADMIN)


def test_the_size_of_the_corpus(site):
    view = LearningView(site.database, ADMIN)
    assert view.size() == CorpusSize(0, 0, 0)
    fill(site)
    stored = sum(len(secret(number)) for number in range(1, 2 * PEOPLE + 1))
    assert view.size() == CorpusSize(2 * PEOPLE, 2 * PEOPLE, stored)
    assert view.stats().crops == 2 * PEOPLE


def test_runs_come_newest_first(site):
    runs = LearningRuns(site.database)
    numbers = [runs.begin(LearningStart(LearningKind.NIGHTLY, None, 0, {}, "1")) for _ in range(3)]
    runs.finish(numbers[0], LearningEnd(LearningStatus.DONE, "m", True))
    assert [each.id for each in LearningView(site.database, ADMIN).runs(2)] == numbers[:0:-1]


def test_a_rollback_is_one_step_and_accounted_for(site, promoted):
    assert promoted.roll_back("b", "worse at the door").name == "two"
    assert [each.name for each in promoted.promoted("b")] == ["one"]
    entry = list(AuditLog(site.database).read())[-1]
    assert (entry.actor, entry.action, entry.reason) == ("ada", "model", "worse at the door")
    assert dict(entry.subject) == {"what": "rollback", "model": "two", "hash": "h2", "serving": "h1"}
    assert PromotionLog(site.data_dir).read()[-1].actor == "ada"
    promoted.roll_back("b", "")
    with pytest.raises(ModelError):
        promoted.roll_back("b", "")
    assert sum(each.action == "model" for each in AuditLog(site.database).read()) == 2


def test_who_may_roll_back(site, promoted):
    for role in Role:
        if Permission.KEEP not in ALLOWED[role]:
            with pytest.raises(NotAllowed):
                LearningView(site.database, Access("x", role)).roll_back("b", "")
    assert len(promoted.promoted("b")) == 2
    for role in (Role.PRIVACY_OFFICER, Role.ADMIN):
        LearningView(site.database, Access("x", role)).roll_back("b", "")
    assert promoted.promoted("b") == ()


def test_reports_are_found_by_the_model_they_are_on(site):
    for name in ("enc-20260101-020000", "enc-20260102-020000", "unfinished"):
        (site.data_dir / REPORTS / name).mkdir(parents=True)
        if name != "unfinished":
            (site.data_dir / REPORTS / name / "report.html").write_text(name, encoding="utf-8")
    view = LearningView(site.database, ADMIN)
    assert view.report_of("enc-20260102-020000-75") == "enc-20260102-020000"
    assert view.read_report("enc-20260102-020000") == b"enc-20260102-020000"
    assert view.report_of("enc-2026010") is None
    assert view.report_of("unfinished") is None
    assert view.report_of(None) is None


def test_nothing_else_is_read_as_a_report(site):
    (site.data_dir / REPORTS).mkdir()
    (site.data_dir / "report.html").write_text("not a report", encoding="utf-8")
    for name in ("gone", "..", "../learning", ".", "", "/etc"):
        assert LearningView(site.database, ADMIN).read_report(name) is None


def test_it_is_about_the_whole_site(site):
    with pytest.raises(NotAllowed):
        LearningView(site.database, Access("ada", Role.ADMIN, frozenset({"hall"})))
