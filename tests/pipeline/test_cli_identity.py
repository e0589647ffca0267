import getpass
import json
import subprocess
import sys

import pytest
import yaml

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.identity_log import BESIDE_A_RUN
from reid_pipeline.storage.repository import Repository
from tests.pipeline.identity_site import CommandSite, write_site


@pytest.fixture
def site(tmp_path, capfd):
    write_site(tmp_path / "data")
    return CommandSite(tmp_path / "data", capfd)


def listed(site, *options):
    code, answer = site.call("identity", "list", *options)
    assert code == 0
    return {each.pop("identity"): each for each in answer["identities"]}


def history(site, identity):
    with open_database(site.data_dir) as database:
        return Repository(database, CropStore(site.data_dir)).identity_history(identity)


def test_list_tells_where_and_when(site):
    assert listed(site) == {
        1: {
            "merged_into": None,
            "vacant": False,
            "cameras": ["door", "hall"],
            "tracklets": 2,
            "first_seen": "2025-11-20T12:00:00.000Z",
            "last_seen": "2025-11-20T12:01:50.000Z",
        },
        2: {
            "merged_into": None,
            "vacant": False,
            "cameras": ["door", "hall"],
            "tracklets": 2,
            "first_seen": "2025-11-20T12:00:20.000Z",
            "last_seen": "2025-11-20T12:00:50.000Z",
        },
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--camera", "hall"], {1: 1, 2: 1}),
        (["--until", "2025-11-20T12:00:20"], {1: 1}),
        (["--until", "2025-11-20T12:00:20.001"], {1: 1, 2: 1}),
        (["--since", "2025-11-20T12:00:50Z"], {1: 1, 2: 1}),
        (["--since", "2025-11-20T13:00:51+01:00"], {1: 1}),
        (["--since", "2025-11-20T12:00:15", "--until", "2025-11-20T12:01:00", "--camera", "door"], {2: 1}),
        (["--since", "2025-11-21"], {}),
    ],
)
def test_list_of_a_camera_and_a_time(site, options, expected):
    assert {identity: each["tracklets"] for identity, each in listed(site, *options).items()} == expected


def test_merge_split_and_undo(site):
    code, done = site.call("identity", "merge", 1, 2, "--actor", "anna", "--reason", "same coat")
    both = [{"identity": 2, "merged_into": 1}, {"identity": 1, "merged_into": None}]
    assert code == 0
    assert done == {"action": "merge", "log_id": 7, "identity": 2, "other": 1, "undone": None, "identities": both}
    assert (listed(site)[1]["tracklets"], listed(site)[2]["merged_into"]) == (4, 1)

    code, done = site.call("identity", "split", 2, "hall:1", "door:2")
    assert (code, done["identity"], done["other"]) == (0, 3, 1)
    assert {identity: each["tracklets"] for identity, each in listed(site).items()} == {1: 2, 2: 0, 3: 2}

    code, done = site.call("identity", "undo", 3)
    assert (code, done["undone"], done["identities"][0]) == (0, "split", {"identity": 3, "merged_into": 1})
    code, done = site.call("identity", "undo", 1)
    assert (code, done["undone"], done["identities"][0]) == (0, "merge", {"identity": 2, "merged_into": None})
    assert {identity: each["tracklets"] for identity, each in listed(site).items()} == {1: 2, 2: 2, 3: 0}
    merged, undone = history(site, 2)[-2:]
    assert (merged.actor, merged.evidence) == ("anna", {"reason": "same coat"})
    assert undone.actor == getpass.getuser()


def test_what_people_read(site):
    assert "Identity 2 is 1 now." in site.text("identity", "merge", 2, 1)
    lines = site.text("identity", "list").splitlines()
    assert any(line.split()[:4] == ["1", "door,", "hall", "4"] for line in lines)
    assert any("is 1 now" in line for line in lines)
    assert "the new identity 3" in site.text("identity", "split", 1, "hall:2")
    assert "Undone: split of identities 3 and 1." in site.text("identity", "undo", 1)


def test_the_site_may_be_named_by_its_configuration(site, tmp_path):
    config = tmp_path / "cameras.yaml"
    (tmp_path / "hall.mp4").touch()
    settings = {"site": {"timezone": "Asia/Tokyo"}, "cameras": {"hall": {"inputs": [{"path": "hall.mp4"}]}}}
    config.write_text(yaml.safe_dump(settings))
    for command in (
        ["merge", "1", "2", str(config)],
        ["split", "1", "hall:2", "door:2", str(config)],
        ["undo", "1", str(config)],
    ):
        assert run_command_line(["identity", *command]) == 0
    assert [record.type.value for record in history(site, 2)] == ["open", "assign", "assign", "merge"]
    site.capfd.readouterr()
    # Nine hours before: noon is 21:00 there, and only identity 1 was seen a minute later.
    assert run_command_line(["identity", "list", str(config), "--since", "2025-11-20T21:01:00", "--json"]) == 0
    assert [each["identity"] for each in json.loads(site.capfd.readouterr().out)["identities"]] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["merge", 1, 9], "identity 9: does not exist: expected one of `identity list`"),
        (["merge", 2, 2], "identities 2 and 2: are one already"),
        (["split", 1, "hall:2"], "hall:2: no tracklet of identity 1"),
        (["split", 1, "hall:1", "door:1"], "these are all its tracklets"),
        (["split", 1, "hall"], "hall: expected a tracklet as CAMERA:NUMBER"),
        (["undo", 1], "identity 1: no merge or split by an operator to undo"),
        (["undo", 1, "--machine"], "identity 1: no merge or split by the machine to undo"),
        (["merge", 1, 2, "--actor", "machine"], "actor 'machine': expected the name of an operator"),
        (["list", "--camera", "roof"], "--camera: roof: expected one of door, hall"),
        (["list", "--since", "noon"], "--since: noon: expected a time such as 2026-11-20"),
        (["list", "cameras.yaml"], "expected either a CAMERAS.YAML or --data DIR"),
    ],
)
def test_bad_input_is_one_line(site, arguments, message):
    code, error = site.call("identity", *arguments)
    assert code == 2
    assert error.startswith(f"error: {message}") or message in error
    assert error.count("\n") == 1
    assert listed(site).keys() == {1, 2}


def test_a_folder_without_a_site_is_one_line(tmp_path, capfd):
    assert run_command_line(["identity", "list", "--data", str(tmp_path)]) == 2
    assert "no site here" in capfd.readouterr().err
    assert run_command_line(["identity", "split", "1", "hall:1"]) == 2
    assert "expected either a CAMERAS.YAML or --data DIR" in capfd.readouterr().err


_RUN = """
import sys
from pathlib import Path
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.repository import Repository
with open_database(Path(sys.argv[1])) as database, database.lock_for_run():
    Repository(database, CropStore(database.data_dir)).begin_run({}, {}, 0)
    print("running", flush=True)
    sys.stdin.read()
"""


def test_corrections_are_made_beside_a_run(site):
    command = [sys.executable, "-c", _RUN, str(site.data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "running\n"
        assert site.call("identity", "merge", 1, 2)[0] == 0
        assert site.call("identity", "undo", 1)[0] == 0
        assert site.call("identity", "split", 1, "hall:1")[1]["identity"] == BESIDE_A_RUN + 1
        run.stdin.close()
    with open_database(site.data_dir) as database:
        assert Repository(database, CropStore(site.data_dir)).next_identity() == 3
