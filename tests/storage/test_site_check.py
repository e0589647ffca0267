import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.site_check import check_site, measure_site, mend_site
from tests.storage.stored_people import fill

ADA = Access("ada", Role.ADMIN)


@pytest.fixture
def stored(site):
    fill(site)
    return site


def findings(site):
    return {each.what: each.count for each in check_site(site.database)}


def test_a_whole_site_has_no_findings(stored):
    assert findings(stored) == {}


def test_what_is_left_over_is_found_and_mended(stored):
    first, *_ = sorted(stored.files())
    (stored.data_dir / first).unlink()
    (stored.data_dir / "crops" / "hall" / "2025-11-20" / "9_9.jpg").write_bytes(b"x")
    (stored.data_dir / "corpus" / "2025-11-20" / "99.jpegs").write_bytes(b"x")
    assert findings(stored) == {
        "crops whose picture is gone": 1,
        "pictures that no crop names": 1,
        "files of the corpus that no row names": 1,
    }

    mend_site(stored.database, ADA)

    assert findings(stored) == {}
    assert len(stored.files()) == 5
    assert stored.rows("SELECT count(*) FROM crops") == [(5,)]
    assert stored.rows("SELECT count(*) FROM embeddings") == [(6,)]
    (entry,) = AuditLog(stored.database).read()
    assert (entry.actor, entry.action, entry.subject) == ("ada", "mend", {"crops without file": 1, "pictures": 1})


def test_who_may_mend(stored):
    for role in set(Role) - {Role.PRIVACY_OFFICER, Role.ADMIN}:
        with pytest.raises(NotAllowed):
            mend_site(stored.database, Access("bo", role))
    assert list(AuditLog(stored.database).read()) == []


def test_an_erasure_that_was_broken_off_is_found_and_ended(stored, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Erasures, "_erase_rows", die)
    with pytest.raises(KeyboardInterrupt):
        Erasures(stored.database, ADA).erase(Target(identity=2), "x")
    monkeypatch.undo()
    assert findings(stored)["erasures that were broken off"] == 1

    mend_site(stored.database, ADA)

    assert findings(stored) == {}
    assert stored.rows("SELECT count(*) FROM tracklets") == [(4,)]


def test_lost_bytes_cannot_be_mended(stored):
    next((stored.data_dir / "corpus").rglob("*.jpegs")).write_bytes(b"")

    mend_site(stored.database, ADA)

    (found,) = check_site(stored.database)
    assert (found.what, found.mendable) == ("files of the corpus that have lost bytes", False)


def test_sizes(stored):
    sizes = measure_site(stored.database)

    assert (sizes.rows["tracklets"], sizes.rows["crops"], sizes.rows["audit_log"]) == (6, 6, 0)
    assert sizes.bytes["crops"] == sum((stored.data_dir / name).stat().st_size for name in stored.files())
