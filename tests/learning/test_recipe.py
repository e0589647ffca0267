import fnmatch
import tomllib
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")

from reid_pipeline.configs.errors import ConfigError  # only where torch is
from reid_pipeline.learning.recipe import find_recipe, load_recipe, shipped_recipes
from reid_pipeline.learning.trainer import Plan

pytestmark = pytest.mark.learning

ROOT = Path(__file__).parents[2]
SMALL = """\
task: reid
name: small
licence: MIT
trained_on: [crops]
height: 32
width: 16
network: {backbone: test_resnet}
teacher: teacher
crops: {folders: [crops]}
training: {steps: 3, batch_size: 4, learning_rate: 0.01}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "recipes").glob("*")), ids=lambda file: file.name)
def test_every_recipe_in_the_folder_is_valid(file):
    recipe = load_recipe(file)
    assert recipe.name == file.stem
    assert recipe.licence
    assert recipe.trained_on
    assert recipe.evaluate


def test_recipes_are_shipped():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = [path.name for path in shipped_recipes()]
    assert {"bundled-detector.yaml", "site-zero.yaml"} <= set(shipped)
    for name in shipped:
        assert any(fnmatch.fnmatch(f"recipes/{name}", each) for each in patterns["reid_pipeline.configs"])


def test_a_recipe_is_found_by_path_and_by_name(path, monkeypatch):
    assert find_recipe(str(path)) == path
    assert find_recipe("site-zero").samefile(ROOT / "configs" / "recipes" / "site-zero.yaml")
    monkeypatch.chdir(path.parent)
    Path("site-zero").write_text(SMALL)
    assert find_recipe("site-zero") == Path("site-zero")


@pytest.mark.parametrize("name", ["none", "none.yaml", "../recipes/site-zero", "site-zero.yaml", ""])
def test_an_unknown_recipe_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"no such recipe: expected a YAML file, or one of .*bundled-detector, .*site-zero"
    ):
        find_recipe(name)


def test_what_is_not_said_has_a_default(path):
    recipe = load_recipe(path)
    assert recipe.training.plan() == Plan(3, 0.01)
    assert (recipe.crops.swaps, recipe.crops.recolours, recipe.evaluate) == (0.0, 0.0, ())


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["epochs"], 3, r"reid\.epochs: '3': Extra inputs"),
        (["training", "steps"], 0, r"training\.steps: '0': .*greater than 0"),
        (["training", "learning_rate"], "fast", r"training\.learning_rate: 'fast': .*number"),
        (["crops", "swaps"], -1, r"crops\.swaps: '-1': .*greater than or equal to 0"),
        (["task"], "sing", r"'detect', 'reid'"),
        (["teacher"], None, r"teacher: "),
    ],
)
def test_a_wrong_key_is_one_line(path, keys, value, message):
    values = yaml.safe_load(SMALL)
    part = values
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=rf"small\.yaml: .*{message}") as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("", "file|Unable"), ("- 1", "file|Unable")])
def test_what_is_no_recipe_is_one_line(path, text, message):
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read: "):
        load_recipe(path.parent)
