from __future__ import annotations

import json

import pytest

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.backup import back_up, restore
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.clips import LONGEST_US, ClipFiles, Clips
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import ClipError, ErasureRefused, NotAllowed, SiteBusy, UnknownRecord
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.site_check import check_site, measure_site, mend_site
from tests.storage.conftest import NOON_US, SECOND_US
from tests.storage.stored_people import DAY_US, fill, time_of

ADA = Access("ada", Role.ADMIN)


def keep(site, first_us, seconds=10, camera="hall", content=b"footage"):
    """Stores a clip."""
    clips = Clips(site.database)
    part = clips.files.begin(camera, first_us)
    part.write(content)
    return clips.store(part, first_us, first_us + seconds * SECOND_US)


def kept(site):
    return [path for (path,) in site.rows("SELECT path FROM clips ORDER BY path")]


def there(site):
    return ClipFiles(site.data_dir).paths()


def test_a_clip_lies_under_its_camera_and_utc_day(site):
    clip = keep(site, NOON_US, content=b"abc")

    assert clip.path == f"clips/hall/2025-11-20/{NOON_US}.mp4"
    assert (site.data_dir / clip.path).read_bytes() == b"abc"
    assert Clips(site.database).between("hall", None, None) == (clip,)
    assert (clip.camera, clip.last_us, clip.bytes) == ("hall", NOON_US + 10 * SECOND_US, 3)
    with Clips(site.database).open(clip) as file:
        assert file.read() == b"abc"


def test_it_is_unfinished_until_it_is_stored(site):
    files = ClipFiles(site.data_dir)
    part = files.begin("hall", NOON_US)
    part.write(b"a")
    assert (files.paths(), files.parts(), files.parts(["door"])) == ([], [f"clips/hall/2025-11-20/{NOON_US}.part"], [])
    assert part.path.read_bytes() == b"a"  # before it is closed: a killed process loses nothing

    Clips(site.database).store(part, NOON_US - 1, NOON_US + 5)  # now its time is known better
    assert (files.paths(), files.parts()) == ([f"clips/hall/2025-11-20/{NOON_US - 1}.mp4"], [])


def test_clips_of_a_time_are_those_with_a_picture_in_it(site):
    times = [NOON_US + 10 * SECOND_US * index for index in range(4)]
    for time_us in times:
        keep(site, time_us, seconds=9)
    keep(site, times[0], camera="door")
    keep(site, times[0] - LONGEST_US, seconds=LONGEST_US // SECOND_US)
    clips = Clips(site.database)

    def found(since_s, until_s):
        since, until = (None if each is None else NOON_US + round(each * SECOND_US) for each in (since_s, until_s))
        return [(each.first_us - NOON_US) // SECOND_US for each in clips.between("hall", since, until)]

    assert found(None, None) == [-3600, 0, 10, 20, 30]
    assert found(12, 25) == [10, 20]
    assert found(9, 10) == [0]  # the last picture counts, what begins at the end does not
    assert found(9.5, 10) == []
    assert found(None, 0.000001) == [-3600, 0]
    assert found(30, None) == [30]
    assert clips.between("attic", None, None) == ()


def test_one_of_the_same_first_picture_is_replaced(site):
    keep(site, NOON_US, seconds=3, content=b"short")
    clip = keep(site, NOON_US, seconds=10, content=b"whole clip")

    assert Clips(site.database).between("hall", None, None) == (clip,)
    assert there(site) == [clip.path]


def test_nobody_sees_another_camera(site):
    hall, door = keep(site, NOON_US), keep(site, NOON_US, camera="door")
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1),), boxes=(site.box_run(1, [1, 3]),)))
    clips = Clips(site.database, Access("eve", Role.VIEWER, frozenset({"door"})))

    assert clips.between("hall", None, None) == ()
    assert clips.between("door", None, None) == (door,)
    with pytest.raises(NotAllowed, match="eve may not see hall"):
        clips.open(hall)
    with pytest.raises(UnknownRecord):
        clips.span_of("hall", 1)
    assert Clips(site.database).span_of("hall", 1) == (NOON_US, NOON_US + 2 * SECOND_US)
    with pytest.raises(UnknownRecord, match="hall:2"):
        Clips(site.database).span_of("hall", 2)


@pytest.mark.parametrize("camera", ["", "..", "../x", "a/b", ".hidden", "a\n", "ä", "a" * 101])
def test_a_camera_that_is_no_folder_name_is_refused(tmp_path, camera):
    with pytest.raises(ClipError, match="expected letters"):
        ClipFiles(tmp_path).begin(camera, NOON_US)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "site.db",
        "/etc/passwd",
        "clips/../site.db",
        "clips/../2025-11-20/1.mp4",
        "clips/hall/2025-11-20/../../../site.db",
        "clips/hall/2025-11-20/1.mp4\n",
        "clips/hall/2025-11-20/-1.mp4",
        "crops/hall/2025-11-20/1.mp4",
    ],
)
def test_only_paths_of_clips_are_read_or_deleted(tmp_path, path):
    (tmp_path / "site.db").write_bytes(b"secret")
    files = ClipFiles(tmp_path)
    with pytest.raises(ClipError, match="expected clips/"):
        files.open(path)
    with pytest.raises(ClipError, match="expected clips/"):
        files.delete([path])
    assert (tmp_path / "site.db").exists()


def test_a_clip_that_is_gone_says_so(site):
    clip = keep(site, NOON_US)
    Clips(site.database).files.delete([clip.path, clip.path])
    with pytest.raises(ClipError, match="the clip is gone"):
        Clips(site.database).open(clip)


def test_a_file_that_a_recorder_left_without_a_row_gets_one(site):
    keep(site, NOON_US)
    files = ClipFiles(site.data_dir)
    part = files.begin("door", NOON_US)
    part.write(b"12")
    path, _ = files.finish(part, NOON_US)
    clips = Clips(site.database)
    assert clips.without_row() == [path]

    adopted = clips.adopt(path, NOON_US + 7)

    assert clips.without_row() == []
    assert clips.between("door", None, None) == (adopted,)
    assert (adopted.first_us, adopted.last_us, adopted.bytes) == (NOON_US, NOON_US + 7, 2)


def test_only_one_records(site):
    with site.database.lock_for_recording(), open_database(site.data_dir) as again:
        with again.lock_for_run(), again.lock_for_learning():
            pass
        with pytest.raises(SiteBusy, match="footage is being recorded here"), again.lock_for_recording():
            pass


def test_footage_goes_by_its_last_picture(site):
    old, young = keep(site, NOON_US), keep(site, NOON_US + 20 * SECOND_US)

    removed = Retention(site.database).remove(Limits(clips=NOON_US + 10 * SECOND_US))
    assert removed.clips == 0
    removed = Retention(site.database).remove(Limits(clips=NOON_US + 10 * SECOND_US + 1))

    assert removed.clips == 1
    assert kept(site) == there(site) == [young.path]
    assert old.path not in kept(site)


def test_a_case_holds_the_footage_of_its_people_and_cameras(site):
    fill(site)
    shows_her = keep(site, time_of(2) - 5 * SECOND_US)
    shows_him = keep(site, time_of(1) - 5 * SECOND_US)
    another_camera = keep(site, time_of(2) - 5 * SECOND_US, camera="door")
    cases = Cases(site.database, ADA)
    hers, door = cases.open("theft", "report 12"), cases.open("fire", "report 13")
    cases.hold(hers, Hold(identity=2))
    cases.hold(door, Hold(camera="door", since_us=time_of(2), until_us=time_of(2) + 1))
    limits = Limits(clips=time_of(6) + DAY_US)

    assert Retention(site.database).remove(limits).clips == 1
    assert kept(site) == there(site) == sorted([shows_her.path, another_camera.path])
    assert shows_him.path not in kept(site)

    cases.close(hers)
    cases.close(door)
    assert Retention(site.database).remove(limits).clips == 2
    assert there(site) == []


def test_an_erasure_takes_all_footage_that_shows_them(site):
    fill(site)
    first = keep(site, time_of(2) - 11 * SECOND_US)  # ends a second before she was found
    second = keep(site, time_of(5), seconds=0)
    before = keep(site, time_of(2) - 14 * SECOND_US)
    elsewhere = keep(site, time_of(2), camera="door")
    half = ClipFiles(site.data_dir).begin("hall", NOON_US)
    half.write(b"footage")
    other_half = ClipFiles(site.data_dir).begin("door", NOON_US)
    other_half.write(b"footage")

    assert Erasures(site.database, ADA).preview(Target(identity=2)).clips == 2
    report = Erasures(site.database, ADA).erase(Target(identity=2), "asked for it").report

    assert report["clips"] == 2
    assert kept(site) == there(site) == sorted([elsewhere.path, before.path])
    assert not {first.path, second.path} & set(kept(site))
    assert ClipFiles(site.data_dir).parts() == [f"clips/door/2025-11-20/{NOON_US}.part"]
    half.close()
    other_half.close()


def test_footage_of_a_camera_and_time_goes_though_nobody_was_found_in_it(site):
    keep(site, NOON_US)
    rest = keep(site, NOON_US + 30 * SECOND_US)

    Erasures(site.database, ADA).erase(
        Target(camera="hall", since_us=NOON_US + SECOND_US, until_us=NOON_US + 2 * SECOND_US), "x"
    )

    assert kept(site) == there(site) == [rest.path]
    with pytest.raises(ErasureRefused, match="there is nothing"):
        Erasures(site.database, ADA).erase(Target(camera="hall", until_us=NOON_US), "x")


def test_footage_that_a_case_holds_is_not_erased(site):
    fill(site)
    keep(site, time_of(2))
    cases = Cases(site.database, ADA)
    cases.hold(cases.open("fire", "report 13"), Hold(camera="hall", since_us=time_of(2) + 1, until_us=time_of(2) + 2))

    with pytest.raises(ErasureRefused, match="1 of 1 clips that show them are held"):
        Erasures(site.database, ADA).erase(Target(identity=2), "x")
    assert len(there(site)) == 1


@pytest.mark.parametrize("late", [False, True])
def test_an_erasure_that_was_broken_off_takes_the_footage_too(site, monkeypatch, late):
    from reid_pipeline.storage import erasure

    fill(site)
    keep(site, time_of(2))
    usual = erasure.erase_clips

    def die(*args):
        if late:
            usual(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(erasure, "erase_clips", die)
    with pytest.raises(KeyboardInterrupt):
        Erasures(site.database, ADA).erase(Target(identity=2), "x")
    monkeypatch.undo()

    assert len(Erasures(site.database, ADA).recover()) == 1
    assert kept(site) == there(site) == []


@pytest.mark.parametrize(("camera", "goes"), [("hall", True), ("door", False)])
def test_exported_footage_goes_by_camera_and_time(site, tmp_path, camera, goes):
    fill(site)
    folder = tmp_path / "export"
    (folder / "clips").mkdir(parents=True)
    for name in ("a.mp4", "clips/b.mp4", "mine.txt"):
        (folder / name).write_text("x")
    names = {"a.mp4": "0", "clips/b.mp4": "0", "../site.db": "0", "clips/../mine.txt": "0"}
    (folder / "manifest.json").write_text(json.dumps({"files": names}))
    spans = [[camera, time_of(2) - 10, time_of(2) + 10]]
    AuditLog(site.database).note("eve", Action.EXPORT, "", {"clips": spans, "folder": str(folder), "identity": 1})

    Erasures(site.database, ADA).erase(Target(tracklets=(("hall", 2),)), "x")

    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == (["mine.txt"] if goes else ["a.mp4", "clips/b.mp4", "manifest.json", "mine.txt"])


def test_what_is_left_over_is_found_and_mended(site):
    gone, whole = keep(site, NOON_US), keep(site, NOON_US + 20 * SECOND_US)
    (site.data_dir / gone.path).unlink()
    (site.data_dir / whole.path).with_name("5.mp4").write_bytes(b"x")
    (site.data_dir / whole.path).with_name("6.part").write_bytes(b"x")
    assert {each.what: each.count for each in check_site(site.database)} == {
        "clips whose footage is gone": 1,
        "footage that no clip names": 1,
    }

    mend_site(site.database, ADA)

    assert check_site(site.database) == ()
    assert kept(site) == [whole.path]
    assert [path.name for path in (site.data_dir / "clips").rglob("*") if path.is_file()] == [f"{whole.first_us}.mp4"]


def test_sizes_count_the_footage(site):
    keep(site, NOON_US, content=b"12345")

    sizes = measure_site(site.database)

    assert (sizes.rows["clips"], sizes.bytes["clips"]) == (1, 5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_has_no_footage_and_names_none(site, tmp_path):
    keep(site, NOON_US)
    AuditLog(site.database)

    restore(back_up(site.data_dir, tmp_path / "backup").folder, tmp_path / "again")

    with open_database(tmp_path / "again", create=False) as database:
        assert check_site(database) == ()
        assert Clips(database).between("hall", None, None) == ()
    assert not (tmp_path / "again" / "clips").exists()
