"""`retention`, `case`, `erase` and `audit` as people type them, on one small site."""

import getpass
import io
import json
import sqlite3
from contextlib import closing

import pytest

from reid_pipeline.pipeline.cli import run_command_line
from tests.pipeline.identity_site import CommandSite, write_site


@pytest.fixture
def site(tmp_path, capfd):
    write_site(tmp_path / "data")
    return CommandSite(tmp_path / "data", capfd)


def call(site, *words):
    code, answer = site.call(*words)
    assert code == 0
    return answer


def test_everything_old_goes_but_what_a_case_holds(site):
    case = call(site, "case", "open", "theft", "--reason", "report 12")["case"]
    call(site, "case", "hold", str(case), "--identity", "2")

    assert call(site, "retention")["tracks"] == 2

    assert [each["identity"] for each in call(site, "identity", "list")["identities"] if not each["vacant"]] == [2]
    (found,) = call(site, "case", "list")["cases"]
    assert (found["title"], found["holds"][0]["identity"], found["closed"]) == ("theft", 2, None)
    call(site, "case", "close", str(case))
    assert call(site, "retention")["tracks"] == 2


def test_somebody_is_erased_and_the_report_is_written(site, tmp_path):
    words = ("--identity", "2", "--reason", "asked for it", "--yes", "--report", str(tmp_path / "report.json"))

    done = call(site, "erase", *words)

    assert (done["identities"], done["tracklets"]) == ([2], 2)
    assert json.loads((tmp_path / "report.json").read_text()) == done
    assert next(each for each in call(site, "identity", "list")["identities"] if each["identity"] == 2)["vacant"]


def test_nobody_is_erased_without_a_yes(site, monkeypatch, capfd):
    words = ["erase", "--identity", "2", "--reason", "x", "--data", str(site.data_dir)]
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    assert run_command_line(words) == 1

    out, err = capfd.readouterr()
    assert "Of person 2. Videos of their cameras" in out
    rows = [line.split() for line in out.splitlines() if line.strip()]
    assert [row[:2] for row in rows if row[0] in ("Tracklets", "Vectors")] == [["Tracklets", "2"], ["Vectors", "2"]]
    assert "Nothing was erased" in err
    assert run_command_line([*words, "--json"]) == 2
    assert call(site, "erase", "--identity", "2", "--reason", "x", "--yes")["tracklets"] == 2


def test_what_cannot_be_erased_is_said_before_anybody_is_asked(site, monkeypatch, capfd):
    monkeypatch.setattr("typer.confirm", lambda *_, **__: pytest.fail("was asked"))
    case = call(site, "case", "open", "theft", "--reason", "report 12")["case"]
    call(site, "case", "hold", str(case), "--identity", "2")
    words = ["erase", "--identity", "2", "--data", str(site.data_dir)]

    assert run_command_line([*words, "--reason", "x"]) == 2
    assert "2 of 2 tracklets are held by an open case: close it first" in capfd.readouterr().err
    assert run_command_line([*words, "--reason", " ", "--yes"]) == 2
    assert "expected a reason: an erasure has to be accounted for" in capfd.readouterr().err


def test_one_target_is_wanted(site, capfd):
    assert run_command_line(["erase", "--reason", "x", "--data", str(site.data_dir)]) == 2
    assert "expected one of --identity" in capfd.readouterr().err


def test_all_of_it_is_in_the_audit_log(site, tmp_path):
    call(site, "journey", "1", "--actor", "eve", "--reason", "lost child")
    call(site, "journey", "2", "--export", str(tmp_path / "export"))
    call(site, "search", "--identity", "1")
    call(site, "identity", "merge", "1", "2")
    call(site, "identity", "undo", "1")

    entries = call(site, "audit", "list")["entries"]

    assert [each["action"] for each in entries] == ["journey", "export", "search", "merge", "undo"]
    assert (entries[0]["actor"], entries[0]["reason"], entries[0]["subject"]) == ("eve", "lost child", {"identity": 1})
    assert entries[1]["subject"] == {"identity": 2, "folder": str(tmp_path / "export")}


def test_a_log_that_was_changed_is_found(site):
    call(site, "journey", "1", "--reason", "lost child")
    check = call(site, "audit", "verify")
    assert (check["whole"], check["entries"]) == (True, 1)
    call(site, "audit", "verify", "--expect", check["digest"])

    code, found = site.call("audit", "verify", "--expect", "00")
    assert (code, found["whole"]) == (1, False)
    with closing(sqlite3.connect(site.data_dir / "site.db")) as connection, connection:
        connection.execute("UPDATE audit_log SET content = replace(content, 'child', 'key')")
    code, found = site.call("audit", "verify")
    assert code == 1
    assert found["faults"] == ["entry 1: its content was changed"]


def test_users_may_do_what_their_role_says(site, monkeypatch):
    me = getpass.getuser()
    call(site, "user", "add", me, "--role", "admin")
    call(site, "user", "add", "ada", "--role", "viewer", "--camera", "hall")
    listed = {each["name"]: each["role"] for each in call(site, "user", "list")["users"]}
    assert listed == {me: "admin", "ada": "viewer"}

    monkeypatch.setattr("reid_pipeline.pipeline.site_data.current_user", lambda: "ada")
    assert [each["camera"] for each in call(site, "journey", "1")["tracklets"]] == ["hall"]
    for words in (
        ("search", "--identity", "1"),
        ("journey", "1", "--actor", me),
        ("identity", "merge", "1", "2"),
        ("erase", "--identity", "1", "--reason", "x", "--yes"),
        ("retention",),
        ("audit", "list"),
        ("user", "list"),
        ("db", "check"),
        ("case", "open", "x", "--reason", "x"),
        ("corpus", "stats"),
    ):
        assert run_command_line([*words, "--data", str(site.data_dir), "--json"]) == 2, words
    monkeypatch.setattr("reid_pipeline.pipeline.site_data.current_user", lambda: "eve")
    assert run_command_line(["journey", "1", "--data", str(site.data_dir)]) == 2


def test_a_role_that_is_none_is_named(site, capfd):
    assert run_command_line(["user", "add", "ada", "--role", "king", "--data", str(site.data_dir)]) == 2
    assert "--role: king: expected one of viewer, operator" in capfd.readouterr().err


def test_a_password_is_read_and_a_user_is_disabled(site, monkeypatch):
    me = getpass.getuser()
    call(site, "user", "add", me, "--role", "admin")
    call(site, "user", "add", "ada", "--role", "viewer")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    call(site, "user", "password", "ada")
    call(site, "user", "disable", "ada")

    (found,) = (each for each in call(site, "user", "list")["users"] if each["name"] == "ada")
    assert (found["has_password"], found["disabled"]) == (True, True)
