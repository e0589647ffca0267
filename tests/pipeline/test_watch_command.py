"""The group `watch` on a site that has run, and what the next run notices of who is watched for."""

from __future__ import annotations

import getpass

import cv2
import pytest

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.master_key import write_key
from tests.pipeline.identity_site import CommandSite
from tests.pipeline.run_site import RunSite
from tests.scene import LOW, PERSON_HEIGHT, PERSON_WIDTH, WALKS, Scene, render

CASE = ["--case", 1, "--reason", "report 12"]


@pytest.fixture(params=["in the clear"])
def runs(request, tmp_path, scene: Scene, capfd) -> RunSite:
    """The scene of which half was read; also on a site that is encrypted."""
    where = {}
    if request.param == "encrypted":
        write_key(tmp_path / "key")
        where = {"site": {"master_key": "../key"}}
    site = RunSite(tmp_path / "site", scene.settings | where)
    assert site.run("--max-frames", "40") == 0
    capfd.readouterr()
    return site


@pytest.fixture
def site(runs, capfd) -> CommandSite:
    site = CommandSite(runs.data_dir, capfd)
    assert site.call("case", "open", "theft", "--reason", "report 12")[0] == 0
    return site


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory, scene: Scene) -> RunSite:
    """The same with a case; tests change nothing."""
    site = RunSite(tmp_path_factory.mktemp("watched") / "site", scene.settings)
    assert site.run("--max-frames", "40") == 0
    assert run_command_line(["case", "open", "theft", "--reason", "a", "--data", str(site.data_dir)]) == 0
    return site


def picture_of_second(folder):
    """A photo of the hall that shows both of its people, and where the second is."""
    path = folder / "photo.png"
    cv2.imwrite(str(path), list(render(WALKS["hall"]))[29])
    left = WALKS["hall"][1].left(30)
    return path, f"{left},{LOW},{left + PERSON_WIDTH},{LOW + PERSON_HEIGHT}"


def test_from_the_proposal_to_the_alert_that_somebody_acknowledges(runs, site, capfd):
    [(identity,)] = runs.query(
        "SELECT identity FROM tracklets t JOIN cameras c ON c.id = camera_id WHERE name = 'hall' AND number = 1"
    )
    assert site.call("watch", "add", *CASE, "--identity", identity, "--label", "red coat") == (0, {"entry": 1})
    assert site.call("watch", "add", *CASE, "--identity", identity) == (0, {"entry": 2})  # nobody approves it
    assert site.call("watch", "approve", 1, "--actor", "pam") == (0, {"entry": 1})

    assert runs.run() == 0
    capfd.readouterr()
    code, told = site.call("watch", "alerts")
    assert code == 0
    alerts = {each["camera"]: each for each in told["alerts"]}
    assert alerts.keys() == {"hall", "door"}  # after frame 40 the hall has a tracklet of its own
    assert len(told["alerts"]) == 2
    lines = {each["camera"]: each for each in runs.events() if each["type"] == "alert"}
    for camera, found in alerts.items():
        line = lines[camera]
        assert (found["entry"], found["label"], found["identity"]) == (1, "red coat", identity)
        assert (line["tracklet"], line["watch"], line["time"]) == (found["tracklet"], 1, found["time"])
        assert line["probability"] == found["probability"] >= 0.9

    assert site.call("watch", "acknowledge", found["alert"], "--reason", "seen") == (0, {"alerts": [found["alert"]]})
    left = site.call("watch", "alerts", "--unacknowledged")[1]["alerts"]
    assert [each["alert"] for each in left] == [each["alert"] for each in alerts.values() if each is not found]
    assert "red coat" in site.text("watch", "alerts")
    assert "Acknowledged 1" in site.text("watch", "acknowledge", 1)


@pytest.mark.parametrize("runs", ["in the clear", "encrypted"], indirect=True)
def test_who_looks_like_a_picture_and_a_sighting(runs, site, tmp_path, capfd):
    """Person 2 of the hall is met at the door, where the others are not taken for them."""
    photo, box = picture_of_second(tmp_path)
    code, added = site.call("watch", "add", photo, "--box", box, "--sighting", "hall:2", *CASE, "--rate", 0.5)
    assert (code, added) == (0, {"entry": 1})
    [entry] = site.call("watch", "list")[1]["entries"]
    assert (entry["state"], list(entry["examples"].values()), entry["approved_by"]) == ("pending", [2], None)
    site.call("watch", "approve", 1, "--actor", "pam")

    assert runs.run("--again") == 0  # takes the sighting, whose example goes with it; the picture's stays
    capfd.readouterr()
    removed = [each for each in site.call("audit", "list")[1]["entries"] if each["action"] == "again"]
    assert {(each["actor"], each["subject"]["camera"]) for each in removed} == {
        (getpass.getuser(), "hall"),
        (getpass.getuser(), "door"),
    }
    [entry] = site.call("watch", "list")[1]["entries"]
    assert (entry["state"], list(entry["examples"].values())) == ("active", [1])
    alerts = site.call("watch", "alerts")[1]["alerts"]
    assert {each["camera"] for each in alerts} == {"hall", "door"}
    assert len({each["identity"] for each in alerts}) == 1
    lines = [(each["camera"], each["tracklet"]) for each in runs.events() if each["type"] == "alert"]
    assert sorted(lines) == sorted((each["camera"], each["tracklet"]) for each in alerts)

    sealed = [row[0] == 1 for row in runs.query("SELECT substr(vector, 1, 2) = CAST('R1' AS BLOB) FROM watch_examples")]
    assert sealed == ["site.master_key" in runs.summary()["settings"]]
    assert site.call("watch", "end", 1)[0] == 0
    assert runs.query("SELECT count(*) FROM data_keys WHERE kind = 'watch examples'") == [(0,)]
    assert "ended" in site.text("watch", "list")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", *CASE], "watch add: expected either --identity ID, or pictures and --sighting"),
        (["add", *CASE, "--identity", 1, "--sighting", "hall:1"], "watch add: expected either --identity ID"),
        (["add", "--case", 9, "--reason", "a", "--identity", 1], "case 9: expected the number of an open case"),
        (["add", *CASE, "--identity", 99], "identity 99 is not in the database"),
        (
            ["add", *CASE, "--identity", 1, "--rate", 0.7],
            "rate 0.7: expected a part of the alerts above 0 and up to 0.5",
        ),
        (
            ["add", *CASE, "--identity", 1, "--expires", "2020-01-01"],
            "expected an end in the future and within 30 days",
        ),
        (["add", *CASE, "--identity", 1, "--expires", "soon"], "--expires: soon: expected a time"),
        (["approve", 9], "entry 9: there is none"),
        (["end", 9], "entry 9: there is none"),
        (["acknowledge", 9], "alert 9: there is none"),
        (["acknowledge", "all"], "all: expected the number of an alert"),
    ],
)
def test_bad_input_is_one_line(unchanged, capfd, arguments, message):
    site = CommandSite(unchanged.data_dir, capfd)
    code, error = site.call("watch", *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def test_whoever_added_it_does_not_approve_it(site):
    site.call("watch", "add", *CASE, "--identity", 1)
    code, error = site.call("watch", "approve", 1)
    assert code == 2
    assert "expected a second person to approve it" in error
