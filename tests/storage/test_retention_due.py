import os
from dataclasses import fields

import pytest

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Role
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.retention_due import Due, RetentionDue
from reid_pipeline.storage.site_files import BACKUPS
from tests.storage.stored_people import DAY_US, fill, time_of

CLASSES = ("crops", "embeddings", "corpus", "tracks")


def limits(**before):
    """As a site has them: each class has a limit, long ago where none is given."""
    return Limits(**{each.name: before.get(each.name, 1) for each in fields(Limits)})


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_due_is_what_retention_removes(site, name):
    fill(site)
    counts = []
    for day in range(5):
        before = limits(**{name: time_of(1) + day * DAY_US})
        due = RetentionDue(site.database, MACHINE_ACCESS).read(before)
        removed = Retention(site.database).remove(before)
        assert (due[name].due, due[name].held) == (getattr(removed, name), 0)
        assert name == "tracks" or all(each.due == 0 for other, each in due.items() if other != name)
        counts.append(due[name])
    assert counts[:2] == [Due(time_of(1), 0), Due(time_of(1), 1)]
    assert [each.due for each in counts] == [0, 1, 2, 2, 1]


@pytest.mark.parametrize("name", ["crops", "embeddings", "tracks"])
def test_what_a_case_holds_is_told_apart(site, name):
    fill(site)
    cases = Cases(site.database, MACHINE_ACCESS)
    cases.hold(cases.open("theft", "report 12"), Hold(1))
    before = limits(**{name: time_of(6) + 1})
    due = RetentionDue(site.database, MACHINE_ACCESS).read(before)[name]
    assert due == Due(time_of(1), 6, 2)
    assert getattr(Retention(site.database).remove(before), name) == due.due - due.held


def test_nobody_counts_further_than_told(site):
    fill(site)
    before = limits(**{name: time_of(6) + 1 for name in CLASSES})
    due = RetentionDue(site.database, MACHINE_ACCESS, most=4).read(before)
    assert {name: due[name].due for name in CLASSES} == dict.fromkeys(CLASSES, 4)


def test_files_and_entries_of_the_log_count_too(site):
    AuditLog(site.database, lambda: 5).note("ada", Action.SEARCH, "", {})
    folder = site.data_dir / BACKUPS / "old"
    folder.mkdir(parents=True)
    (folder / "site.db").touch()
    for path in (folder / "site.db", folder):
        os.utime(path, ns=(7000, 7000))
    due = RetentionDue(site.database, MACHINE_ACCESS).read(limits(audit=6, backups=8))
    assert (due["audit"], due["backups"], due["reports"]) == (Due(5, 1), Due(7, 1), Due(None, 0))


def test_it_is_about_the_whole_site(site):
    with pytest.raises(NotAllowed):
        RetentionDue(site.database, Access("ada", Role.ADMIN, frozenset({"hall"})))
