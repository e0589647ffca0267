"""`record`, `record cut` and the footage in exports and erasures, as people type them, on one small site."""

from __future__ import annotations

import getpass
import hashlib
import json
import signal
import subprocess
import sys

import pytest

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.permissions import Access, Role
from tests.pipeline.footage import NOON_US, Stream, frames_of
from tests.pipeline.identity_site import CommandSite, write_site
from tests.scene import write_settings

START = "2025-11-20T12:00:00Z"  # of the site's first tracklet


@pytest.fixture
def site(tmp_path, capfd):
    write_site(tmp_path / "data")
    return CommandSite(tmp_path / "data", capfd)


@pytest.fixture
def settings(make_clip, tmp_path):
    """Both cameras of the site show 25 seconds from the first tracklet on."""
    path = str(make_clip("hall.mp4", 250, gop=30))
    camera = {"inputs": [{"path": path}], "start": START}
    return write_settings(tmp_path, {"cameras": {"hall": camera, "door": camera}})


@pytest.fixture
def recorded(site, settings, capfd):
    assert run_command_line(["record", str(settings), "--camera", "hall"]) == 0
    capfd.readouterr()
    return site


def test_the_footage_of_a_site_is_kept(site, settings, capfd):
    assert run_command_line(["record", str(settings), "--json"]) == 0

    out, err = capfd.readouterr()
    found = json.loads(out)
    assert "hall: recording" in err
    assert list(found["cameras"]) == ["hall", "door"]
    assert (found["clips"], found["recovered"], found["removed"]) == (6, 0, 0)
    with open_database(site.data_dir) as database:
        stored = Clips(database).between("hall", None, None)
    assert stored[0].first_us == NOON_US
    assert found["cameras"]["hall"]["bytes"] == sum(each.bytes for each in stored)
    assert run_command_line(["record", "start", str(settings)]) == 0  # by its whole name, and once more
    assert "hall" in capfd.readouterr().out
    with open_database(site.data_dir) as database:
        assert Clips(database).between("hall", None, None) == stored


def test_a_file_without_a_start_begins_when_a_run_of_it_does(site, settings, tmp_path, capfd):
    text = settings.read_text().replace(START, "2025-11-20T13:00:00Z")
    settings.write_text(text)
    assert run_command_line(["record", str(settings)]) == 0
    settings.write_text(text.replace("2025-11-20T13:00:00Z", "2025-11-20T14:00:00Z"))

    assert run_command_line(["record", str(settings)]) == 0

    with open_database(site.data_dir) as database:
        assert Clips(database).between("hall", None, None)[0].first_us == NOON_US + 3_600_000_000
        assert Clips(database).between("hall", NOON_US + 2 * 3_600_000_000, None) == ()


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"privacy": [{"points": [[0, 0], [1, 0], [1, 1]]}]}, "cameras.hall.privacy: cannot be recorded: footage is"),
        ({"pipeline": "videotestsrc", "inputs": []}, "cameras.hall: a GStreamer pipeline cannot be recorded"),
        ({"inputs": [{"path": "pictures"}]}, "cameras.hall: a folder of images cannot be recorded"),
        ({"inputs": [{"path": "none.mp4"}]}, "hall: no such file"),
    ],
)
def test_a_camera_that_cannot_be_recorded_is_one_line(tmp_path, capfd, camera, message):
    (tmp_path / "pictures").mkdir()
    path = write_settings(tmp_path, {"cameras": {"hall": {"inputs": [{"path": "a.mp4"}]} | camera}})

    assert run_command_line(["record", str(path)]) == 2

    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data" / "clips").exists()


def test_other_cameras_can_be_chosen(settings, capfd):
    assert run_command_line(["record", str(settings), "--camera", "attic"]) == 2
    assert "--camera: attic: expected one of hall, door" in capfd.readouterr().err
    assert run_command_line(["record", str(settings), "--camera", "door", "--json"]) == 0
    assert list(json.loads(capfd.readouterr().out)["cameras"]) == ["door"]


def test_a_file_that_breaks_off_is_partly_done(settings, tmp_path):
    path = tmp_path / "hall.mp4"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 20_000] + content[content.rindex(b"moov") - 4 :])
    assert run_command_line(["record", str(settings), "--camera", "hall"]) in {2, 3}


def test_a_stream_is_recorded_until_it_is_stopped_and_what_is_old_goes(site, make_clip, tmp_path, settings):
    assert run_command_line(["record", str(settings), "--camera", "door"]) == 0  # of 2025
    half = next(site.data_dir.glob("clips/door/*/*.mp4"))
    half.with_name("1763640000000001.part").write_bytes(half.read_bytes()[:-5])  # as one that was killed leaves it
    stream = Stream(make_clip("a.mp4", 150, gop=30))
    live = {"cameras": {"hall": {"inputs": [{"path": stream.url}]}}}
    command = [sys.executable, "-m", "reid_pipeline.pipeline.cli", "record", "start", "--json"]
    with subprocess.Popen(
        [*command, str(write_settings(tmp_path, live))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert stream.sent.acquire(timeout=30)
        while "recording" not in child.stderr.readline():
            pass
        assert run_command_line(["record", str(tmp_path / "cameras.yaml")]) == 2  # one is enough
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=30)
    stream.close()

    found = json.loads(out)
    assert (child.returncode, found["recovered"], found["removed"]) == (0, 1, 4)
    with open_database(site.data_dir) as database:
        assert Clips(database).between("door", None, None) == ()
        assert len(Clips(database).between("hall", None, None)) == found["clips"]
        (entry,) = AuditLog(database).read()
    assert (entry.actor, entry.action, entry.subject) == ("record", "retention", {"clips": 4})


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_a_stretch_is_cut_out_with_its_digests(recorded, tmp_path):
    span = ("--since", "2025-11-20T12:00:12", "--until", "2025-11-20T12:00:15Z")

    code, answer = recorded.call("record", "cut", "--camera", "hall", *span, "--out", tmp_path / "out", "--reason", "x")

    assert code == 0
    (clip,) = answer["clips"]
    file = tmp_path / "out" / clip["file"]
    manifest = manifest_of(tmp_path / "out")
    assert manifest["files"] == {clip["file"]: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert manifest["clips"] == answer["clips"]
    first_us = NOON_US + round(float(clip["first"][17:-1]) * 1e6)
    assert dict(frames_of(file, first_us))[NOON_US + 13_000_000] == 131
    with open_database(recorded.data_dir) as database:
        (entry,) = AuditLog(database).read()
    assert (entry.action, entry.reason, entry.actor) == ("export", "x", getpass.getuser())
    assert entry.subject["clips"] == [["hall", NOON_US + 12_000_000, NOON_US + 15_000_000]]


def test_a_sighting_and_a_person_are_cut_out(recorded, tmp_path):
    code, answer = recorded.call("record", "cut", "--sighting", "hall:2", "--out", tmp_path / "sighting")
    assert (code, [each["file"].rsplit("-", 1)[0] for each in answer["clips"]]) == (0, ["hall-2"])
    code, answer = recorded.call("record", "cut", "--identity", 1, "--out", tmp_path / "identity")
    assert (code, [each["file"].rsplit("-", 1)[0] for each in answer["clips"]]) == (0, ["hall-1"])
    assert "hall-1" in recorded.text("record", "cut", "--identity", 1, "--out", tmp_path / "for-people")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected one of --camera NAME, --sighting"),
        (("--camera", "hall"), "expected --since and --until with --camera"),
        (("--identity", 1, "--since", "2025-11-20"), "expected --since and --until with --camera"),
        (("--camera", "attic", "--since", "2025-11-20", "--until", "2025-11-21"), "expected one of door, hall"),
        (("--camera", "door", "--since", "2025-11-20", "--until", "2025-11-21"), "there is no footage of that time"),
        (("--sighting", "hall:9"), "hall:9: there is no such tracklet"),
        (("--identity", 9), "identity 9: does not exist"),
    ],
)
def test_what_cannot_be_cut_is_one_line(recorded, tmp_path, words, message):
    code, error = recorded.call("record", "cut", *words, "--out", tmp_path / "out")

    assert (code, error.count("\n")) == (2, 1)
    assert message in error
    assert not (tmp_path / "out").exists()


def test_only_those_who_may_export_cut_and_only_from_their_cameras(recorded, tmp_path, monkeypatch):
    recorded.call("user", "add", getpass.getuser(), "--role", "admin")
    recorded.call("user", "add", "eve", "--role", "operator")
    recorded.call("user", "add", "ida", "--role", "investigator", "--camera", "door")
    for name, message in (("eve", "may not export"), ("ida", "there is no such tracklet")):
        monkeypatch.setattr("reid_pipeline.pipeline.site_data.current_user", lambda name=name: name)
        code, error = recorded.call("record", "cut", "--sighting", "hall:1", "--out", tmp_path / "out")
        assert (code, message in error) == (2, True), error
    assert not (tmp_path / "out").exists()


def test_a_journey_is_exported_with_its_footage(recorded, tmp_path):
    code, answer = recorded.call("journey", 1, "--export", tmp_path / "out")

    assert code == 0
    (name,) = (each for each in answer["files"] if each.startswith("clips/"))
    file = tmp_path / "out" / name
    assert answer["files"][name] == hashlib.sha256(file.read_bytes()).hexdigest()
    exported = json.loads((tmp_path / "out" / "journey.json").read_text())
    assert [[clip["file"] for clip in each["clips"]] for each in exported["tracklets"]] == [[name], []]
    page = (tmp_path / "out" / "journey.html").read_text()
    assert f'src="{name}"></video>' in page
    assert "media-src 'self' file:" in page
    assert 101 in [number for _, number in frames_of(file)]

    assert recorded.call("journey", 1, "--export", tmp_path / "without", "--no-clips")[0] == 0
    assert not (tmp_path / "without" / "clips").exists()
    assert "media-src" not in (tmp_path / "without" / "journey.html").read_text()


def test_exported_footage_of_somebody_goes_when_another_one_in_it_is_erased(recorded, tmp_path):
    recorded.call("journey", 1, "--export", tmp_path / "journey")
    recorded.call("record", "cut", "--sighting", "hall:1", "--out", tmp_path / "cut")
    with open_database(recorded.data_dir) as database:
        Erasures(database, Access("ada", Role.ADMIN)).erase(Target(tracklets=(("hall", 1),)), "x")
        left = Clips(database).between("hall", None, None)

    assert [each.first_us > NOON_US + 12_000_000 for each in left] == [True] * len(left)
    assert [path.name for path in tmp_path.glob("journey/**/*.*")] == []
    assert list((tmp_path / "cut").iterdir()) == []


def test_nobody_who_was_erased_comes_back_by_recording_again(site, settings, make_clip, capfd):
    from reid_pipeline.pipeline.sources import fingerprint
    from reid_pipeline.storage.crop_store import CropStore
    from reid_pipeline.storage.records import SourceSpec
    from reid_pipeline.storage.repository import Repository

    with open_database(site.data_dir) as database:  # as if the file had been what the run read
        path = settings.parent / "hall.mp4"
        with database.session_scope(write=True) as session:
            statement = f"UPDATE sources SET fingerprint = '{fingerprint(str(path))}'"
            session.connection().exec_driver_sql(statement)
        record = SourceSpec("hall", str(path), fingerprint(str(path)), live=False, start_us=5)
        assert Repository(database, CropStore(site.data_dir)).open_source(record).start_us == NOON_US
        Erasures(database, Access("ada", Role.ADMIN)).erase(Target(identity=1), "x")

    assert run_command_line(["record", str(settings), "--camera", "hall"]) == 2
    assert "shows somebody who was erased" in capfd.readouterr().err


def test_retention_takes_old_footage_and_access_gives_none(recorded, tmp_path):
    assert recorded.call("access", 1, "--export", tmp_path / "for-her")[0] == 0
    assert not (tmp_path / "for-her" / "clips").exists()

    assert recorded.call("retention")[1]["clips"] == 3
    assert list(recorded.data_dir.glob("clips/*/*/*")) == []
