from itertools import count, product

import pytest

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.audit_reading import AuditFilter, AuditReader
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission, Role

OFFICER = Access("petra", Role.PRIVACY_OFFICER)
ACTORS = ("ada", "Ada", 'a "b', "ä%_")
ACTIONS = (Action.SEARCH, Action.MERGE, Action.EXPORT)
ENTRIES = 24


@pytest.fixture
def database(tmp_path, database_url):
    """24 entries; the wall clock goes back once, and some entries have one time."""
    with open_database(tmp_path, database_url) as database:
        ticks = count()
        log = AuditLog(database, lambda: next(ticks) % 15)
        for number in range(ENTRIES):
            subject = {"actor": "ada", "action": "search", "identity": number}
            log.note(ACTORS[number % 4], ACTIONS[number % 3], '"actor":"Ada"', subject)
        yield database


def expected(database, wanted):
    """All that fit, newest first, found slowly."""
    fits = [
        each
        for each in AuditLog(database).read(wanted.since_us, wanted.until_us)
        if wanted.actor in (None, each.actor) and wanted.action in (None, each.action)
    ]
    return [each.id for each in sorted(fits, key=lambda each: (each.at_us, each.id), reverse=True)]


def walk(reader, wanted, limit):
    """All pages of a filter."""
    pages = [reader.newest(limit, wanted)]
    while pages[-1].older is not None:
        pages.append(reader.newest(limit, wanted, pages[-1].older))
    return pages


def test_pages_hold_every_fitting_entry_once_newest_first(database):
    wanted = (
        AuditFilter(),
        *(AuditFilter(actor=actor) for actor in ACTORS),
        AuditFilter(action=Action.MERGE),
        AuditFilter("Ada", Action.EXPORT),
        AuditFilter(since_us=5, until_us=12),
        AuditFilter(actor="nobody"),
    )
    for each, looked_at in product(wanted, (3, 7, 1000)):
        pages = walk(AuditReader(database, OFFICER, looked_at), each, 4)
        assert [entry.id for page in pages for entry in page.entries] == expected(database, each)
        assert all(len(page.entries) <= 4 for page in pages)


def test_a_page_looks_at_no_more_than_it_is_told(database):
    page = AuditReader(database, OFFICER, 7).newest(4, AuditFilter(actor="nobody"))
    newest = expected(database, AuditFilter())
    assert page.entries == ()
    assert page.older[1] == newest[6]


def test_what_is_taken_along_is_accounted_for_first(database):
    found = AuditReader(database, OFFICER, 7).export(1000, AuditFilter("Ada"))
    assert [each.id for each in found] == expected(database, AuditFilter("Ada"))
    last = list(AuditLog(database).read())[-1]
    assert (last.id, last.actor, last.action, dict(last.subject)) == (
        ENTRIES + 1,
        "petra",
        "export",
        {"what": "audit log", "actor": "Ada"},
    )
    assert len(AuditReader(database, OFFICER, 7).export(5)) == 5


def test_only_those_may_read_who_see_everything_and_are_allowed(database):
    for role in Role:
        if Permission.AUDIT in ALLOWED[role]:
            AuditReader(database, Access("x", role))
            with pytest.raises(NotAllowed):
                AuditReader(database, Access("x", role, frozenset({"hall"})))
        else:
            with pytest.raises(NotAllowed):
                AuditReader(database, Access("x", role))
