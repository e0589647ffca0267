"""A site whose database is PostgreSQL, from its cameras.yaml to what operators do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.identity_site import CommandSite
from tests.pipeline.run_site import RunSite
from tests.scene import Scene

pytestmark = pytest.mark.postgresql


@pytest.fixture
def url(postgresql):
    url = postgresql.create(empty=True)
    yield url
    postgresql.drop(url)


def settings_of(scene: Scene) -> dict:
    """Those of the scene, with a time of their own."""
    start = {"start": "2026-11-20T08:00:00Z"}
    return {**scene.settings, "cameras": {name: each | start for name, each in scene.settings["cameras"].items()}}


def test_a_run_and_what_people_ask_of_it(tmp_path: Path, scene: Scene, postgresql, url, capfd):
    settings = settings_of(scene)
    site = RunSite(tmp_path / "server", {**settings, "site": {"database": url}})
    plain = RunSite(tmp_path / "file", settings)
    assert (site.run(), plain.run()) == (0, 0)
    for name in ("hall.txt", "door.txt", "mtmc.txt"):
        assert site.read(f"tracks/{name}") == plain.read(f"tracks/{name}")
    assert not (site.data_dir / "site.db").exists()
    (vectors,) = postgresql.execute("SELECT count(*) FROM embeddings", url)
    assert vectors == plain.query("SELECT count(*) FROM embeddings")[0]
    assert site.run() == 0  # to its end already
    assert site.summary()["frames_read"] == 0
    capfd.readouterr()

    commands, others = CommandSite(site.data_dir, capfd), CommandSite(plain.data_dir, capfd)
    for asked in (("journey", 1), ("search", "--identity", 2), ("identity", "list"), ("corpus", "stats")):
        answers = [each.call(*asked) for each in (commands, others)]
        assert answers[0][0] == 0
        assert answers[0] == answers[1]
    assert commands.call("identity", "merge", 1, 3, "--actor", "anna")[0] == 0
    assert commands.call("journey", 3)[1]["identity"] == 1
    assert commands.call("identity", "undo", 1, "--actor", "anna")[0] == 0
    assert commands.call("journey", 3)[1]["identity"] == 3
