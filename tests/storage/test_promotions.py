import json

import pytest

from reid_pipeline.storage.errors import ModelError, StorageError
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.promotions import PromotionLog
from tests.storage.model_folders import make_model


@pytest.fixture
def site(tmp_path):
    """A site whose encoder has a child `a` and a grandchild `b`; `stranger` descends from another."""

    class Site:
        data_dir = tmp_path / "data"
        registry = ModelRegistry(data_dir, home=tmp_path / "home", bundled=tmp_path / "bundled")
        log = PromotionLog(data_dir)
        base = make_model(tmp_path / "home" / "base")
        a = make_model(data_dir / "models" / "a", b"a", parent=base)
        b = make_model(data_dir / "models" / "b", b"b", parent=a)
        other = make_model(tmp_path / "home" / "other", b"other")
        stranger = make_model(data_dir / "models" / "stranger", b"s", parent=other)

        def promote(self, name, base=None):
            model = load_model(self.registry.find(name))
            return self.log.promote(model, base or self.base, self.registry, f"{name} is better")

    return Site()


def test_the_base_serves_at_first(site):
    assert site.log.serving(site.base) == site.base
    assert site.log.read() == []


def test_the_last_promotion_serves_and_rollback_returns_to_the_one_before(site):
    site.promote("a")
    entry = site.promote("b")
    assert (entry.name, entry.hash, entry.previous, entry.lineage) == ("b", site.b, site.a, (site.a, site.base))
    assert entry.time.endswith("Z")
    assert entry.actor
    assert entry.reason == "b is better"
    assert site.log.serving(site.base) == site.b
    assert site.log.roll_back(site.base, "").hash == site.b
    assert site.log.serving(site.base) == site.a
    site.log.roll_back(site.base, "")
    assert site.log.serving(site.base) == site.base
    with pytest.raises(ModelError, match="nothing to roll back: the configured encoder itself serves"):
        site.log.roll_back(site.base, "")
    assert [entry.action for entry in site.log.read()] == ["promote", "promote", "rollback", "rollback"]


def test_a_model_that_was_taken_back_can_be_promoted_again(site):
    site.promote("a")
    site.log.roll_back(site.base, "")
    site.promote("a")
    assert site.log.serving(site.base) == site.a


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stranger", r"stranger: descends from [0-9a-f]{12}, not from the configured encoder base \([0-9a-f]{12}\)"),
        ("other", "other: has no parent, not from the configured encoder base"),
        ("base", "base: has no parent"),
    ],
)
def test_only_descendants_are_promoted(site, name, message):
    with pytest.raises(ModelError, match=message):
        site.promote(name)
    assert site.log.read() == []


def test_what_serves_is_not_promoted_twice(site):
    site.promote("a")
    with pytest.raises(ModelError, match="a: serves already"):
        site.promote("a")


def test_detectors_are_not_promoted(site, tmp_path):
    make_model(tmp_path / "d", task="detect", output={"head": "yolox"}, parent=site.base)
    with pytest.raises(ModelError, match="d: not a re-ID encoder"):
        site.log.promote(load_model(tmp_path / "d"), site.base, site.registry, "")


def test_a_child_that_is_the_configured_encoder_has_its_own_promotions(site):
    site.promote("b")
    assert site.log.serving(site.a) == site.b
    assert site.log.serving(site.other) == site.other
    site.promote("stranger", site.other)
    assert site.log.serving(site.base) == site.b
    site.log.roll_back(site.base, "")
    assert site.log.serving(site.other) == site.stranger


def test_a_parent_whose_folder_is_gone_is_known_from_its_promotion(site):
    site.promote("a")
    for file in (site.data_dir / "models" / "a").iterdir():
        file.unlink()
    site.promote("b")
    assert site.log.serving(site.base) == site.b


def test_a_circle_of_parents_ends(site, tmp_path):
    first = make_model(tmp_path / "home" / "first", b"1")
    second = make_model(tmp_path / "home" / "second", b"2", parent=first)
    card = tmp_path / "home" / "first" / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"parent": second}))
    assert site.log.lineage(load_model(card.parent), site.registry) == (second, first)


def test_a_torn_last_line_never_happened(site):
    site.promote("a")
    whole = site.log.path.read_bytes()
    site.log.path.write_bytes(whole + whole[: len(whole) // 2])
    assert site.log.serving(site.base) == site.a
    site.promote("b")
    assert [entry.name for entry in site.log.read()] == ["a", "b"]


def test_a_broken_line_in_the_middle_is_an_error(site):
    site.promote("a")
    site.log.path.write_bytes(b"{}\n" + site.log.path.read_bytes())
    with pytest.raises(StorageError, match=r"promotions\.ndjson:1: cannot be read"):
        site.log.read()


def test_the_log_only_grows(site):
    site.promote("a")
    before = site.log.path.read_bytes()
    site.promote("b")
    site.log.roll_back(site.base, "slower")
    assert site.log.path.read_bytes().startswith(before)
