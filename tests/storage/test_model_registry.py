import pytest

from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_registry import BUNDLED, ModelRegistry, bundled_folder
from tests.storage.model_folders import make_model


@pytest.fixture
def registry(tmp_path):
    """A registry with a folder of each kind."""
    return ModelRegistry(tmp_path / "data", home=tmp_path / "home", bundled=tmp_path / "bundled")


@pytest.fixture
def places(tmp_path):
    return {"site": tmp_path / "data" / "models", "home": tmp_path / "home", "bundled": tmp_path / "bundled"}


def test_the_site_comes_before_the_user_and_the_package(registry, places):
    for place in ("bundled", "home", "site"):
        make_model(places[place] / "colours")
        assert registry.find("colours") == places[place] / "colours"


def test_a_path_needs_no_registry(registry, tmp_path):
    make_model(tmp_path / "elsewhere")
    assert registry.find(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere"
    graph = str(tmp_path / "elsewhere" / "graph.onnx")
    assert str(registry.find(graph)) == graph


def test_an_unknown_name_brings_similar_ones(registry, places):
    make_model(places["home"] / "retail-0288")
    with pytest.raises(ModelError) as caught:
        registry.find("retail-288")
    assert "retail-288: no such file or folder" in str(caught.value)
    assert "did you mean retail-0288? `reid-pipeline model list` shows all" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_missing_bundled_model_is_the_installations_fault(registry, name):
    with pytest.raises(ModelError, match=f"^{name}: missing from this installation: install reid-pipeline anew"):
        registry.find(name)


@pytest.mark.parametrize("name", ["../home/colours", "colours/old", ".pull-colours", "", "a b"])
def test_a_name_does_not_lead_elsewhere(registry, places, name):
    make_model(places["home"] / "colours" / "old")
    make_model(places["home"] / ".pull-colours")
    assert registry.find_name(name) is None


def test_everything_is_listed_broken_ones_with_their_reason(registry, places):
    good = make_model(places["home"] / "good", licence="MIT")
    make_model(places["home"] / "spoilt")
    (places["home"] / "spoilt" / "graph.onnx").write_bytes(b"changed")
    (places["site"] / "empty").mkdir(parents=True)
    make_model(places["home"] / ".import-torn")
    (places["home"] / "note.txt").write_text("not a model")
    entries = {entry.name: entry for entry in registry.entries()}
    assert list(entries) == ["empty", "good", "spoilt"]
    assert entries["good"].model.identity == good
    assert entries["good"].error is None
    assert entries["good"].size_bytes > len(b"graph")
    assert "sha256.graph.onnx" in entries["spoilt"].error
    assert "found none" in entries["empty"].error
    assert entries["empty"].place == "site"


def test_a_model_is_found_by_its_hash(registry, places):
    first, second = make_model(places["home"] / "a"), make_model(places["site"] / "b", b"other")
    assert registry.find_hash(first).name == "a"
    assert registry.find_hash(second).name == "b"
    assert registry.find_hash("0" * 64) is None


def test_adding_is_all_or_nothing(registry, places):
    with registry.adding("mine") as work:
        make_model(work / "inner")
        (work / "inner" / "graph.onnx").rename(work / "graph.onnx")
        assert registry.find_name("mine") is None
    assert load_model(registry.find("mine") / "graph.onnx").name == "graph"
    with pytest.raises(RuntimeError), registry.adding("torn") as work:
        (work / "graph.onnx").write_bytes(b"half")
        raise RuntimeError
    assert [path.name for path in places["home"].iterdir()] == ["mine"]


def test_a_name_is_given_once(registry, places):
    make_model(places["home"] / "mine")
    with pytest.raises(ModelError, match="exists: choose another name with --name"):
        registry.check_free("mine")
    with pytest.raises(ModelError, match="bundled: the name of a bundled model"):
        registry.check_free("bundled")
    with pytest.raises(ModelError, match="not a name for a model"):
        registry.check_free("../mine")


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot be made, .*: set REID_HOME"):
        ModelRegistry(home=tmp_path / "file" / "models").check_free("mine")


@pytest.mark.parametrize("folder", sorted(bundled_folder().iterdir()) if bundled_folder().is_dir() else [])
def test_what_is_bundled_is_whole(folder):
    assert folder.name in BUNDLED
    model = load_model(folder)
    assert model.licence != "unknown"
