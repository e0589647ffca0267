import pytest

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.model_names import serving_encoder
from reid_pipeline.pipeline.serving import SiteModels, open_site_models
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import ModelError, PromotedModelMissing
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.repository import Repository
from tests.pipeline.run_site import RunSite
from tests.scene import write_settings
from tests.storage.model_folders import make_model


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site with an encoder, two generations adapted from it, and an encoder of another line."""
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))

    class Site:
        data_dir = tmp_path / "data"
        base = make_model(tmp_path / "encoder")
        child = make_model(data_dir / "models" / "child", b"child", parent=base)
        grandchild = make_model(data_dir / "models" / "grandchild", b"grandchild", parent=child)
        other = make_model(tmp_path / "home" / "models" / "other", b"other")

        def settings(self, model=tmp_path / "encoder", *, pinned=False):
            return Settings.model_validate(
                {
                    "site": {"data_dir": self.data_dir},
                    "cameras": {"hall": {"inputs": [{"path": "a.mp4"}]}},
                    "encoder": {"model": str(model), "pinned": pinned},
                }
            )

        def note_run(self, base):
            with open_database(self.data_dir) as database:
                models = {"reid": {"name": "x", "hash": "y", "base": base}}
                Repository(database, CropStore(self.data_dir)).begin_run({}, models, 1)

    return Site()


def test_the_promoted_descendant_serves_unless_pinned(site, tmp_path):
    assert serving_encoder(site.settings()).path == tmp_path / "encoder"
    SiteModels(site.data_dir, site.base).promote("child", "better")
    serving = serving_encoder(site.settings())
    assert (serving.path, serving.base, serving.promoted) == (site.data_dir / "models" / "child", site.base, "child")
    assert serving_encoder(site.settings(pinned=True)).promoted is None
    assert serving_encoder(site.settings("other")).promoted is None


def test_rollback_ends_at_the_configured_encoder(site, tmp_path):
    models = SiteModels(site.data_dir, site.base)
    models.promote("child", "")
    models.promote("grandchild", "")
    undone, serving = models.roll_back("worse at night")
    assert (undone.name, undone.reason, serving) == ("grandchild", "worse at night", site.child)
    assert serving_encoder(site.settings()).promoted == "child"
    assert models.roll_back("")[1] == site.base
    assert serving_encoder(site.settings()).path == tmp_path / "encoder"


def test_a_promoted_model_that_is_gone_stops_with_what_to_do(site):
    SiteModels(site.data_dir, site.base).promote("child", "")
    (site.data_dir / "models" / "child" / "graph.onnx").write_bytes(b"changed")
    with pytest.raises(PromotedModelMissing, match=r"child \([0-9a-f]{12}\) is gone or changed.*model rollback --data"):
        serving_encoder(site.settings())
    assert serving_encoder(site.settings(pinned=True)).promoted is None


def test_a_broken_model_is_not_promoted(site):
    (site.data_dir / "models" / "child" / "graph.onnx").write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"sha256\.graph\.onnx"):
        SiteModels(site.data_dir, site.base).promote("child", "")


def test_the_configured_encoder_is_that_of_the_last_run(site):
    site.note_run(site.other)
    models = open_site_models(site.data_dir, None)
    assert models.base == site.other
    with pytest.raises(ModelError, match=r"child: descends from .* not from the configured encoder other"):
        models.promote("child", "")
    site.note_run(site.base)
    assert open_site_models(site.data_dir, None).promote("child", "").base == site.base


def test_before_the_first_run_it_is_the_first_ancestor(site):
    models = open_site_models(site.data_dir, None)
    assert models.base is None
    assert models.promote("grandchild", "").base == site.base
    assert open_site_models(site.data_dir, None).base == site.base
    with pytest.raises(ModelError, match="other: has no parent: only models adapted"):
        models.promote("other", "")


def test_cameras_yaml_names_it(site, tmp_path):
    fields = site.settings().model_dump(mode="json", exclude_unset=True)
    path = write_settings(tmp_path / "site", fields)
    models = open_site_models(None, path)
    assert (models.data_dir, models.base) == (site.data_dir, site.base)


def test_one_of_both_is_needed(site, tmp_path):
    for given in ((None, None), (site.data_dir, tmp_path)):
        with pytest.raises(ModelError, match="expected either --data DIR or --config"):
            open_site_models(*given)


def test_nothing_to_roll_back(site):
    with pytest.raises(ModelError, match="nothing to roll back"):
        open_site_models(site.data_dir, None).roll_back("")
    with pytest.raises(ModelError, match="nothing to roll back"):
        SiteModels(site.data_dir, site.base).roll_back("")
    assert not (site.data_dir / "site.db").exists()  # and no site is made for it


def test_a_run_uses_what_was_promoted_and_says_so(scene, tmp_path):
    site = RunSite(tmp_path / "site", {**scene.settings, "outputs": {"tracks": False}})
    night = site.data_dir / "models" / "night-1"
    model = ["model", "export", str(scene.encoder), "--out", str(night), "--format", "openvino"]
    assert run_command_line(model) == 0  # its parent is the site's encoder
    assert site.run("--max-frames", "2") == 0
    before = site.summary()["models"]["reid"]
    assert before["base"] == before["hash"]
    assert run_command_line(["model", "promote", "night-1", "--data", str(site.data_dir)]) == 0
    assert site.run("--max-frames", "2") == 0
    after = site.summary()["models"]["reid"]
    assert (after["hash"], after["base"]) == (load_model(night).identity, before["hash"])
    assert run_command_line(["model", "rollback", "--config", str(site.config)]) == 0
    assert site.run("--max-frames", "2") == 0
    assert site.summary()["models"]["reid"] == before
