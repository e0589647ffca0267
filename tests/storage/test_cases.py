import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.errors import CaseRefused
from reid_pipeline.storage.permissions import Access, Role
from tests.storage.stored_people import fill


@pytest.fixture
def stored_site(site):
    fill(site)
    return site


def test_a_case_is_opened_holds_and_is_closed(stored_site):
    cases = Cases(stored_site.database, Access("ada", Role.ADMIN), lambda: 7)

    number = cases.open("theft", "report 12")
    cases.hold(number, Hold(identity=1))
    cases.hold(number, Hold(camera="hall", since_us=1, until_us=2), "the till")
    cases.close(number)

    (case,) = cases.read()
    assert (case.title, case.reason, case.opened_by, case.opened_us, case.closed_us) == (
        "theft",
        "report 12",
        "ada",
        7,
        7,
    )
    assert case.holds == (Hold(1), Hold(None, "hall", 1, 2))
    log = [(each.actor, each.reason, dict(each.subject)) for each in AuditLog(stored_site.database).read()]
    assert log == [
        ("ada", "report 12", {"case": 1, "what": "open"}),
        ("ada", "", {"case": 1, "what": "hold", "identity": 1}),
        ("ada", "the till", {"case": 1, "what": "hold", "camera": "hall", "since_us": 1, "until_us": 2}),
        ("ada", "", {"case": 1, "what": "close"}),
    ]


@pytest.mark.parametrize(
    ("hold", "fault"),
    [(Hold(identity=99), "identity 99 is not"), (Hold(camera="attic"), "attic: expected the name of a camera")],
)
def test_what_is_not_there_cannot_be_held(stored_site, hold, fault):
    cases = Cases(stored_site.database, Access("ada", Role.ADMIN))
    number = cases.open("theft", "report 12")

    with pytest.raises(CaseRefused, match=fault):
        cases.hold(number, hold)

    assert cases.read()[0].holds == ()
    assert len(list(AuditLog(stored_site.database).read())) == 1


def test_a_case_needs_a_reason_and_holds_only_while_it_is_open(stored_site):
    cases = Cases(stored_site.database, Access("ada", Role.ADMIN))
    with pytest.raises(CaseRefused, match="a title and a reason"):
        cases.open("theft", " ")
    number = cases.open("theft", "report 12")
    cases.close(number)

    for act in (lambda: cases.hold(number, Hold(identity=1)), lambda: cases.close(number), lambda: cases.close(9)):
        with pytest.raises(CaseRefused, match="the number of an open case"):
            act()
