import json

import pytest
from sqlalchemy import select

from reid_pipeline.storage import erasure as erasure_module
from reid_pipeline.storage.audit_log import Action, AuditLog, canonical
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import ErasureRefused, UnknownRecord
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.schema_governance import ErasedContent, Erasure
from reid_pipeline.storage.signing import verifies
from reid_pipeline.storage.vector_index_sync import SiteIndex
from tests.storage.stored_people import PEOPLE, fill, secret, time_of, traces

HERS = (2, 2 + PEOPLE)  # tracklets of identity 2
OTHERS = tuple(number for number in range(1, 2 * PEOPLE + 1) if number not in HERS)


@pytest.fixture
def stored(site):
    fill(site)
    write_files(site.data_dir)
    return site


def write_files(data_dir):
    events = [{"time": "x", "camera": "hall", "tracklet": number, "identity": None} for number in range(1, 7)]
    events += [{"time": "x", "camera": "door", "tracklet": 2}, {"camera": "hall", "identity": 2, "other": None}]
    (data_dir / "events.ndjson").write_text("".join(json.dumps(each) + "\n" for each in events))
    (data_dir / "tracks").mkdir()
    lines = [f"{number},{number},1,2,3,4,0.9,-1,-1,-1\n" for number in range(1, 7)]
    (data_dir / "tracks" / "hall.txt").write_text("".join(lines))
    (data_dir / "tracks" / "door.txt").write_text("".join(lines))
    together = [f"hall,{number},{(number - 1) % PEOPLE + 1},1,2,3,4,0.9\n" for number in range(1, 7)]
    (data_dir / "tracks" / "mtmc.txt").write_text("".join(together))
    for name in ("videos/hall.mp4", "videos/door.mp4", "learning/a/report.html", "learning/a/report.json", "backups/b"):
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (data_dir / name).write_text("x")


def erase(site, **target):
    return Erasures(site.database, Access("ada", Role.ADMIN)).erase(Target(**target), "asked for it")


def test_no_byte_of_a_person_is_left_and_nobody_else_is_gone(stored):
    erase(stored, identity=2)

    assert [number for number in range(1, 7) if traces(stored, number)] == list(OTHERS)
    for table in ("tracklets", "segments", "crops", "embeddings", "corpus_items"):
        assert stored.rows(f"SELECT count(*) FROM {table}") == [(len(OTHERS),)]
    assert stored.rows("SELECT id FROM identities WHERE vacant") == [(2,)]


def test_files_lose_the_lines_of_the_person(stored):
    erase(stored, identity=2)

    data_dir = stored.data_dir
    events = [json.loads(line) for line in (data_dir / "events.ndjson").read_text().splitlines()]
    assert [(each["camera"], each.get("tracklet")) for each in events] == [
        *(("hall", number) for number in OTHERS),
        ("door", 2),
    ]
    numbers = [int(line.split(",")[1]) for line in (data_dir / "tracks" / "hall.txt").read_text().splitlines()]
    assert numbers == list(OTHERS)
    assert len((data_dir / "tracks" / "door.txt").read_text().splitlines()) == 6
    frames = [int(line.split(",")[1]) for line in (data_dir / "tracks" / "mtmc.txt").read_text().splitlines()]
    assert frames == list(OTHERS)
    left = {path.relative_to(data_dir).as_posix() for path in data_dir.glob("[vlb]*/**/*") if path.is_file()}
    assert left == {"videos/door.mp4", "learning/a/report.json"}


def test_the_preview_counts_what_then_goes(stored):
    found = Erasures(stored.database, Access("ada", Role.ADMIN)).preview(Target(identity=2))

    assert found.tracklets == (("hall", 2), ("hall", 5))
    assert (found.identities, found.emptied, found.crops, found.embeddings, found.corpus) == ((2,), (2,), 2, 2, 2)
    report = erase(stored, identity=2).report
    assert (report["tracklets"], report["crops"], report["embeddings"], report["corpus_crops"]) == (2, 2, 2, 2)


def test_single_tracklets_and_what_a_camera_saw_at_a_time(stored):
    erase(stored, tracklets=(("hall", 1),))
    assert stored.rows("SELECT number FROM tracklets") == [(2,), (3,), (4,), (5,), (6,)]
    assert stored.rows("SELECT vacant FROM identities WHERE id = 1") == [(0,)]

    erase(stored, camera="hall", since_us=time_of(2), until_us=time_of(3))
    assert stored.rows("SELECT number FROM tracklets") == [(3,), (5,), (6,)]  # 4 was seen on the day of 2
    assert [number for number in range(1, 7) if traces(stored, number)] == [3, 5, 6]


def test_the_report_is_signed_and_says_nothing_of_looks(stored):
    done = erase(stored, identity=2)

    assert verifies(done.public_key, bytes.fromhex(done.signature), canonical(done.report))
    assert (done.report["actor"], done.report["reason"], done.report["identities"]) == ("ada", "asked for it", [2])
    assert Erasures(stored.database, Access("bob", Role.ADMIN)).read() == (done,)
    with stored.database.session_scope() as session:
        assert session.scalars(select(Erasure.plan)).one() == {}


def test_logs_keep_their_order_and_a_tombstone(stored):
    audit = AuditLog(stored.database)
    audit.note("eve", Action.SEARCH, "the woman in the red coat", {"identity": 2})
    audit.note("eve", Action.SEARCH, "somebody else", {"identity": 22})

    number = erase(stored, identity=2).id

    assert audit.verify().faults == ()
    assert [(each.reason, each.erasure) for each in audit.read()] == [
        ("", number),
        ("somebody else", None),
        ("asked for it", None),
    ]
    evidence = [dict(each.evidence) for each in stored.repository.identity_history(2)]
    assert evidence == [{"erasure": number}] * 3
    assert Erasures(stored.database, Access("x", Role.ADMIN)).read()[0].report["audit_entries"] == [
        {"id": 1, "actor": "eve", "action": "search"}
    ]


def test_exports_that_are_still_there_go(stored, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("journey.html", "mine.txt"):
        (folder / name).write_text("x")
    (folder / "manifest.json").write_text('{"files": {"journey.html": "0", "../site.db": "0"}}')
    AuditLog(stored.database).note("eve", Action.EXPORT, "", {"identity": 2, "folder": str(folder)})

    erase(stored, identity=2)

    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_what_a_case_holds_is_not_erased(stored):
    cases = Cases(stored.database, Access("ada", Role.ADMIN))
    cases.hold(cases.open("theft", "report 12"), Hold(identity=2))

    with pytest.raises(ErasureRefused, match="2 of 2 tracklets are held by an open case: close it first"):
        erase(stored, identity=2)

    assert all(traces(stored, number) for number in HERS)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ({"identity": 9}, UnknownRecord),
        ({"camera": "attic"}, ErasureRefused),
        ({"tracklets": (("hall", 99),)}, ErasureRefused),
    ],
)
def test_nothing_cannot_be_erased(stored, target, error):
    with pytest.raises(error):
        erase(stored, **target)

    assert stored.rows("SELECT count(*) FROM erasures") == [(0,)]


def test_an_erasure_without_a_reason_is_refused(stored):
    with pytest.raises(ErasureRefused, match="expected a reason"):
        Erasures(stored.database, Access("ada", Role.ADMIN)).erase(Target(identity=2), " ")

    assert all(traces(stored, number) for number in HERS)


def test_imported_crops_do_not_come_back(site):
    store = CorpusStore(site.database)
    origin = store.open_origin("hall", "a folder", 0).id
    one = ImportedTracklet(1, 5, 6, (CorpusCrop(5, secret(1), 4, 8, 1.0, digest=77),))
    store.add(origin, [one])

    erase(site, camera="hall", since_us=0, until_us=10)

    assert store.stats().crops == 0
    with site.database.session_scope() as session:
        assert session.scalars(select(ErasedContent.digest)).all() == [77]
    assert store.add(origin, [one]).crops == 0


def test_a_recording_that_shows_them_is_not_read_again(stored):
    erase(stored, identity=2)

    with pytest.raises(ErasureRefused, match="shows somebody who was erased"):
        stored.source(again=True)

    assert stored.source().source_id == 1


@pytest.mark.parametrize("step", ["_erase_corpus", "_erase_from_logs", "_erase_rows", "erase_from_files", "_finish"])
@pytest.mark.parametrize("late", [False, True])
def test_an_erasure_that_was_broken_off_is_ended(stored, monkeypatch, step, late):
    AuditLog(stored.database).note("eve", Action.SEARCH, "why", {"identity": 2})
    home = erasure_module if step == "erase_from_files" else Erasures
    usual = getattr(home, step)

    def die(*args):
        if late:
            usual(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(home, step, die)
    with pytest.raises(KeyboardInterrupt):
        erase(stored, identity=2)
    monkeypatch.undo()

    ended = Erasures(stored.database, Access("cron", Role.ADMIN)).recover()

    assert len(ended) == (0 if late and step == "_finish" else 1)
    assert Erasures(stored.database, Access("cron", Role.ADMIN)).recover() == []
    assert [number for number in range(1, 7) if traces(stored, number)] == list(OTHERS)
    (report,) = (each.report for each in Erasures(stored.database, Access("x", Role.ADMIN)).read())
    assert (report["actor"], report["crops"], len(report["audit_entries"])) == ("ada", 2, 1)
    assert AuditLog(stored.database).verify().faults == ()


def test_the_vector_index_loses_them_too(stored):
    index = SiteIndex(stored.database, "m1")
    index.synchronise()
    index.save()
    assert "newest" in " ".join(traces(stored, 2))

    erase(stored, identity=2)

    assert [number for number in range(1, 7) if traces(stored, number)] == list(OTHERS)
    assert len(SiteIndex(stored.database, "m1")) == len(OTHERS)
