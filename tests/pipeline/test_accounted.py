"""Whatever somebody does with people's data leaves an entry: who, why, what. A new command has to be sorted in here."""

from __future__ import annotations

import getpass
import io

import cv2
import numpy as np
import pytest
import typer

from reid_pipeline.pipeline.cli import ADDED, COMMANDS
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import Role
from tests.pipeline.identity_site import CommandSite, write_site
from tests.storage.model_folders import make_model

ME = getpass.getuser()
ACTS = (
    (["journey", 1, "--reason", "lost child"], "journey"),
    (["journey", 2, "--export", "@/journey", "--reason", "lost child"], "export"),
    (["search", "--identity", 1, "--reason", "lost child"], "search"),
    (["identity", "merge", 1, 2, "--reason", "same coat"], "merge"),
    (["identity", "undo", 1, "--reason", "other shoes"], "undo"),
    (["identity", "split", 1, "hall:1", "--reason", "other shoes"], "split"),
    (["case", "open", "theft", "--reason", "report 12"], "case"),
    (["case", "hold", 1, "--identity", 1, "--reason", "report 12"], "case"),
    (["watch", "add", "--identity", 1, "--case", 1, "--reason", "report 12"], "watch"),
    (["watch", "approve", 1, "--actor", "pam", "--reason", "agreed"], "watch"),
    (["watch", "end", 1, "--reason", "found"], "watch"),
    (["case", "close", 1, "--reason", "found"], "case"),
    (["access", 1, "--export", "@/access", "--reason", "asked"], "access"),
    (["corpus", "import", "@/crops", "--reason", "more to learn from"], "import"),
    (["corpus", "export", "@/corpus", "--reason", "for a colleague"], "export"),
    (["replay", "--out", "@/replay"], "export"),
    (["model", "promote", "night-1", "--reason", "better at dusk"], "model"),
    (["model", "rollback", "--reason", "worse at noon"], "model"),
    (["db", "backup", "--to", "@/backup"], "backup"),
    (["db", "check", "--mend"], "mend"),
    (["erase", "--identity", 2, "--reason", "asked for it", "--yes"], "erase"),
    (["retention"], "retention"),
    (["user", "add", ME, "--role", "admin"], "user"),
    (["user", "add", "ada", "--role", "viewer"], "user"),
    (["user", "password", "ada"], "user"),
    (["user", "disable", "ada"], "user"),
)
ELSEWHERE = {
    "db restore": "test_a_restored_site_knows_who_restored_it",
    "record cut": "test_cli_record.py: needs footage",
    "run": "test_corpus_run.py, tests/storage/test_removal.py: where --again removes something",
    "watch acknowledge": "test_watch_command.py, tests/storage/test_watch_lists.py: needs an alert",
    "dashboard": "tests/dashboard: log-ins, and what is done on the pages",
}
NOTHING = {
    **dict.fromkeys(("init", "validate", "doctor", "demo", "simulate", "bench pipeline"), "about no site"),
    **dict.fromkeys(("bench association", "bench search", "bench learning"), "about no site"),
    **dict.fromkeys(("eval detect", "eval reid", "eval mot", "eval mtmc", "train", "db key"), "about no site"),
    **dict.fromkeys(("identity list", "case list", "watch list", "watch alerts", "user list"), "lists what there is"),
    **dict.fromkeys(("audit list", "audit verify", "corpus stats", "db stats", "model list"), "lists what there is"),
    **dict.fromkeys(("model card", "model pull", "model import", "model export"), "about models, not about people"),
    **dict.fromkeys(("db migrate",), "as every command does that opens a site"),
    **dict.fromkeys(("record start",), "whoever starts it has the folder; what it removes is accounted for"),
    **dict.fromkeys(("adapt", "nightly", "pretrain"), "in the table of learning runs, and in promotions.ndjson"),
}


@pytest.fixture
def site(tmp_path, capfd, monkeypatch):
    write_site(tmp_path / "data")
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    make_model(tmp_path / "data" / "models" / "night-1", parent="m1")
    (tmp_path / "crops").mkdir()
    cv2.imwrite(str(tmp_path / "crops" / "1.png"), np.full((64, 32, 3), 90, np.uint8))
    return CommandSite(tmp_path / "data", capfd)


def entries(data_dir):
    with open_database(data_dir) as database:
        return list(AuditLog(database).read())


def all_commands():
    for name, command in COMMANDS.items():
        target = command.load()
        if isinstance(target, typer.Typer):
            own = (each.name or each.callback.__name__ for each in target.registered_commands)
            yield from (f"{name} {each}" for each in {*own, *ADDED.get(name, {})})
        else:
            yield name


def test_every_command_is_accounted_for_or_has_nothing_to_account_for():
    known = set(all_commands())
    typed = [" ".join(map(str, words)) + " " for words, _ in ACTS]
    done = {each for each in known if any(words.startswith(f"{each} ") for words in typed)}
    assert sorted([*done, *ELSEWHERE, *NOTHING]) == sorted(known)


def test_who_did_what_when_and_why(site, tmp_path):
    noted = []
    for words, action in ACTS:
        code, answer = site.call(*(str(word).replace("@", str(tmp_path)) for word in words))
        assert code == 0, answer
        last = [each for each in entries(site.data_dir) if each.erasure is None][-1]
        reason = words[words.index("--reason") + 1] if "--reason" in words else last.reason
        actor = words[words.index("--actor") + 1] if "--actor" in words else ME
        assert (last.action, last.actor, last.reason) == (action, actor, reason), words
        assert last.id not in noted
        noted.append(last.id)
    assert site.call("audit", "verify")[1]["whole"]


def test_what_an_entry_says(site, tmp_path):
    for words in (
        ["corpus", "import", tmp_path / "crops", "--camera", "c1"],
        ["corpus", "export", tmp_path / "out", "--since", "2020-01-01"],
        ["model", "promote", "night-1"],
        ["model", "rollback"],
    ):
        assert site.call(*words)[0] == 0
    imported, exported, promoted, undone = (dict(each.subject) for each in entries(site.data_dir))
    assert imported == {"what": "corpus", "folder": str(tmp_path / "crops"), "camera": "c1"}
    assert exported == {"what": "corpus", "folder": str(tmp_path / "out"), "since_us": 1_577_836_800_000_000}
    model = {"model": "night-1", "hash": promoted["hash"]}
    assert promoted == {"what": "promote", **model, "serving": promoted["hash"]}
    assert undone == {"what": "rollback", **model, "serving": "m1"}


def test_a_restored_site_knows_who_restored_it(site, tmp_path):
    assert site.call("db", "backup", "--to", tmp_path / "backup")[0] == 0
    assert CommandSite(tmp_path / "again", site.capfd).call("db", "restore", tmp_path / "backup")[0] == 0
    assert [each.action for each in entries(tmp_path / "again")] == ["backup", "restore"]


@pytest.mark.parametrize("role", set(Role) - {Role.ADMIN, Role.PRIVACY_OFFICER})
def test_who_may_not_decides_nothing(site, tmp_path, monkeypatch, role):
    assert site.call("model", "promote", "night-1")[0] == 0
    assert site.call("user", "add", ME, "--role", "admin")[0] == 0
    assert site.call("user", "add", "ada", "--role", role)[0] == 0
    before = entries(site.data_dir)
    monkeypatch.setattr("reid_pipeline.pipeline.site_data.current_user", lambda: "ada")
    wanted = [["model", "promote", "night-1"], ["model", "rollback"], ["corpus", "import", tmp_path / "crops"]]
    wanted += [["db", "check", "--mend"]]
    wanted += [["corpus", "export", tmp_path / "out"], ["replay", "--out", tmp_path / "out"]] * (
        role is not Role.INVESTIGATOR
    )
    for words in wanted:
        code, error = site.call(*words)
        assert code == 2, words
        assert "ada" in error or words[:2] == ["model", "promote"]
    assert entries(site.data_dir) == before
    assert (site.data_dir / "models" / "promotions.ndjson").read_text().count("\n") == 1


def test_a_folder_that_is_no_site_does_not_become_one_for_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    make_model(tmp_path / "home" / "models" / "colours")
    for words in (["model", "rollback"], ["model", "promote", "colours"]):
        assert CommandSite(tmp_path / "data", capfd).call(*words)[0] == 2
    assert not (tmp_path / "data").exists()
