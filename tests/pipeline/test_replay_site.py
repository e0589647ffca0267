"""The tracklets of a recorded site with other settings."""

from __future__ import annotations

import json
import shutil
from itertools import combinations

import numpy as np
import pytest

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.mot_format import read_mtmc
from reid_pipeline.pipeline.replay_site import compare, replay_site
from reid_pipeline.storage.database import open_database
from tests.pipeline.run_site import RunSite
from tests.scene import Scene


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> RunSite:
    """The scene after one run, where the second camera was recorded two hours later; tests only read it."""
    starts = {"hall": "2026-11-20T08:00:00Z", "door": "2026-11-20T10:00:00Z"}
    cameras = {name: {**camera, "start": starts[name]} for name, camera in scene.settings["cameras"].items()}
    site = RunSite(tmp_path_factory.mktemp("recorded"), {**scene.settings, "cameras": cameras})
    assert site.run() == 0
    return site


def tables_of(site: RunSite) -> list[list[tuple]]:
    names = site.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [site.query(f"SELECT * FROM {name}") for (name,) in names]


def test_the_same_settings_find_the_same_people(site, capsys):
    before = tables_of(site)
    assert run_command_line(["replay", "--data", str(site.data_dir), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert tables_of(site) == before
    assert printed["tracklets"] == site.summary()["tracklets"]
    assert printed["identities"] == printed["identities_before"] == site.summary()["identities"]
    assert printed["pairs_changed"] == 0
    assert printed["pair_precision"] == printed["pair_recall"] == 1


def test_a_short_memory_forgets_people(site):
    result = replay_site(site.data_dir, AssociationSettings.model_validate({"memory": "1h"}))
    assert result.as_dict()["identities"] > result.as_dict()["identities_before"]
    assert result.agreement.recall < 1
    assert result.agreement.precision == 1


def test_tracks_are_written_with_the_new_identities(site, tmp_path):
    result = replay_site(site.data_dir, AssociationSettings.model_validate({"memory": "1h"}), out=tmp_path)
    found, recorded = read_mtmc(tmp_path / "tracks" / "mtmc.txt"), site.mtmc()
    assert set(found.keys.ids.tolist()) == set(result.replayed.identities.values())

    def places(tracks):
        keys = tracks.keys
        order = np.lexsort((tracks.boxes[:, 0], keys.frames, keys.cameras))
        return keys.cameras[order].tolist(), keys.frames[order].tolist(), tracks.boxes[order].tolist()

    assert places(found) == places(recorded)


def test_the_card_of_an_encoder_in_the_registry_counts(site, scene, tmp_path, caplog):
    replay_site(site.data_dir, AssociationSettings())
    assert "is in no registry" in caplog.text
    caplog.clear()
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(site.data_dir / "site.db", data_dir)
    shutil.copytree(scene.encoder, data_dir / "models" / "colours")
    replay_site(data_dir, AssociationSettings())
    assert "is in no registry" not in caplog.text


def test_a_site_without_a_run_says_so(tmp_path):
    open_database(tmp_path / "data").close()
    with pytest.raises(InputError, match="data: no run has left embeddings here"):
        replay_site(tmp_path / "data", AssociationSettings())


def test_agreement_counts_pairs():
    rng = np.random.default_rng(0)
    keys = [("hall", number) for number in range(1, 40)]
    before = {key: int(rng.integers(1, 8)) for key in keys}
    after = {key: int(rng.integers(1, 8)) for key in keys[:-5]}
    pairs = list(combinations(keys, 2))
    old = {pair for pair in pairs if before[pair[0]] == before[pair[1]]}
    new = {pair for pair in pairs if pair[1] in after and after[pair[0]] == after[pair[1]]}
    agreement = compare(before, after)
    assert (agreement.before, agreement.after, agreement.both) == (len(old), len(new), len(old & new))
    assert agreement.changed == len(old ^ new)
    assert agreement.precision == len(old & new) / len(new)
    assert agreement.recall == len(old & new) / len(old)
    apart = compare({key: number for number, key in enumerate(keys)}, {})
    assert (apart.precision, apart.recall, apart.changed) == (1, 1, 0)
