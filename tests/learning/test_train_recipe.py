import io
import json
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from reid_pipeline.learning import train_recipe as module  # noqa: E402  # only where torch is
from reid_pipeline.learning import trainer  # noqa: E402
from reid_pipeline.learning.errors import TrainingError, WorkFolderError  # noqa: E402
from reid_pipeline.learning.graph_weights import read_weights  # noqa: E402
from reid_pipeline.learning.recipe import load_recipe  # noqa: E402
from reid_pipeline.learning.train_recipe import train_recipe  # noqa: E402
from reid_pipeline.pipeline.cli import run_command_line  # noqa: E402
from reid_pipeline.pipeline.detector import GraphDetector  # noqa: E402
from reid_pipeline.pipeline.encoder import GraphEncoder  # noqa: E402
from reid_pipeline.storage.model_card import load_model  # noqa: E402
from tests.learning.builders import fixed_teacher, write_labelled, write_market  # noqa: E402

pytestmark = pytest.mark.learning

ENCODER = {
    "task": "reid",
    "name": "small",
    "licence": "MIT",
    "trained_on": ["people in bands"],
    "height": 64,  # on maps of one cell PyTorch's gradients in bfloat16 are not always numbers
    "width": 32,
    "network": {"backbone": "test_resnet"},
    "teacher": "encoder",
    "crops": {"folders": ["market/bounding_box_train"], "swaps": 0.5, "recolours": 0.5},
    "training": {"steps": 3, "batch_size": 6, "learning_rate": 0.001},
    "evaluate": ["market"],
}
PEOPLE = {"images": "people/images", "labels": "people/labels"}
DETECTOR = {
    "task": "detect",
    "name": "finder",
    "licence": "MIT",
    "trained_on": ["people in bands"],
    "train_size": 64,
    "height": 96,
    "width": 96,
    "network": {"widths": [4, 8, 8, 8, 8], "depths": [1, 1, 1, 1], "neck": 8, "classes": 3},
    "teacher": "teacher",
    "pictures": {"longest": 96, "labelled": [PEOPLE]},
    "training": {"steps": 2, "batch_size": 2, "learning_rate": 0.001},
    "evaluate": [PEOPLE],
}


@pytest.fixture(scope="module")
def data(scene, tmp_path_factory):
    """A folder with crops, pictures and two teachers."""
    folder = tmp_path_factory.mktemp("data")
    write_market(folder / "market")
    write_labelled(folder / "people")
    fixed_teacher(folder / "teacher", 64)
    (folder / "encoder").symlink_to(scene.encoder)
    return folder


def read(tmp_path, values, **changes):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return load_recipe(path)


def ignore(progress):
    pass


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """What the command `train` said, and the encoder that it made."""
    work = tmp_path_factory.mktemp("work")
    (work / "recipe.yaml").write_text(yaml.safe_dump(ENCODER))
    told = io.StringIO()
    with redirect_stdout(told):
        command = ["train", str(work / "recipe.yaml"), "--data", str(data), "--out", str(work / "out"), "--json"]
        assert run_command_line(command) == 0
    return json.loads(told.getvalue()), load_model(work / "out" / "small")


def test_the_command_makes_a_model_with_its_scores(trained):
    told, model = trained
    assert (told["model"], told["path"]) == ("small", str(model.graph.parent))
    [score] = told["scores"]
    assert dict(model.card.scores[0]) == score
    assert score["dataset"] == "market"
    assert 0 < score["mAP"] <= 100
    embeddings = GraphEncoder(model).encode([np.full((64, 32, 3), value, np.uint8) for value in (20, 200)])
    assert np.isfinite(embeddings).all()
    assert not np.array_equal(*embeddings)
    assert (model.card.licence, model.card.trained_on, model.card.output.dim) == ("MIT", ("people in bands",), 18)


def test_a_training_that_was_broken_off_gives_the_same_model(data, trained, tmp_path, monkeypatch):
    recipe = read(tmp_path, ENCODER)
    monkeypatch.setattr(trainer, "_LOG_EVERY", 1)
    monkeypatch.setattr(trainer, "_SAVE_SECONDS", -1.0)

    def break_off(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_recipe(recipe, data, tmp_path / "out", break_off)
    assert not (tmp_path / "out" / "small").exists()
    steps = []
    model = train_recipe(recipe, data, tmp_path / "out", lambda progress: steps.append(progress.step))
    assert steps == [2, 3]
    assert model.identity == trained[1].identity


def test_a_detector_is_made_and_found_usable(data, tmp_path):
    model = train_recipe(read(tmp_path, DETECTOR), data, tmp_path / "out", ignore)
    assert (model.card.name, model.card.output.head, model.card.input.resize) == (
        "finder",
        "yolox",
        "letterbox_topleft",
    )
    assert [set(score) for score in model.card.scores] == [{"dataset", "AP50", "AP50_95"}]
    frame = np.zeros((64, 96, 3), np.uint8)
    detector = GraphDetector(load_model(tmp_path / "out" / "finder"), 0.0)
    assert len(detector.submit(detector.prepare(frame), (64, 96), lambda: None).result()) > 0


@pytest.mark.parametrize("values", [ENCODER, DETECTOR])
def test_what_a_recipe_keeps_of_the_weights_it_begins_with(data, tmp_path, values):
    first = train_recipe(read(tmp_path, values), data, tmp_path / values["name"], ignore)
    again = {"start": values["name"], "name": "again"}
    graphs = {}
    for kept in (0.0, 1.0):  # learnt once, and then only put together anew
        recipe = read(tmp_path, values, **again, kept=kept)
        model = train_recipe(recipe, data, tmp_path / "again", ignore)
        assert model.card.parent == first.identity
        graphs[kept] = read_weights(model.graph)
    for name, tensor in read_weights(first.graph).items():
        torch.testing.assert_close(graphs[1.0][name], tensor, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(graphs[0.0][name], tensor) for name, tensor in graphs[1.0].items())


def test_crops_and_people_put_together_follow_from_the_seed(data, tmp_path):
    recipes = [read(tmp_path, ENCODER, training=ENCODER["training"] | {"seed": seed}) for seed in (1, 1, 2)]
    first, second, other = (
        module._with_new_people(recipe, module._crowds(recipe, data, (64, 32))) for recipe in recipes
    )
    assert [part.shape for part in first] == [(18, 64, 32, 3), (9, 64, 32, 3), (9, 64, 32, 3)]
    assert [np.array_equal(*pair) for pair in zip(first, second, strict=True)] == [True, True, True]
    assert [np.array_equal(*pair) for pair in zip(first, other, strict=True)] == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"name": "other", "licence": "ISC", "trained_on": [], "evaluate": []}, False),
        ({"height": 48}, True),
        ({"crops": {"folders": []}}, True),
    ],
)
def test_the_work_folder_of_another_recipe_is_refused(data, tmp_path, changes, refused):
    first, second = read(tmp_path, ENCODER), read(tmp_path, ENCODER, **changes)
    module._claim(tmp_path / "out", first)
    module._claim(tmp_path / "out", first)
    if refused:
        with pytest.raises(WorkFolderError, match="out: is the work folder of another recipe"):
            module._claim(tmp_path / "out", second)
    else:
        module._claim(tmp_path / "out", second)
    with pytest.raises(WorkFolderError):
        train_recipe(read(tmp_path, DETECTOR), data, tmp_path / "out", ignore)


def test_a_note_of_before_a_key_was_known_is_still_good(tmp_path):
    recipe = read(tmp_path, ENCODER)
    module._claim(tmp_path, recipe)
    note = json.loads((tmp_path / "recipe.json").read_text())
    del note["training"]["weight_decay"]
    (tmp_path / "recipe.json").write_text(json.dumps(note))
    module._claim(tmp_path, recipe)
    (tmp_path / "recipe.json").write_text("[1]")
    with pytest.raises(WorkFolderError):
        module._claim(tmp_path, recipe)


@pytest.mark.parametrize(
    ("values", "changes", "missing"),
    [
        (ENCODER, {"evaluate": ["nothing"]}, "nothing/query"),
        (DETECTOR, {"evaluate": [PEOPLE | {"labels": "nothing"}]}, "nothing"),
    ],
)
def test_what_is_needed_in_the_end_is_looked_for_first(data, tmp_path, values, changes, missing):
    with pytest.raises(TrainingError, match=f"{missing}: no such folder"):
        train_recipe(read(tmp_path, values, **changes), data, tmp_path / "out", ignore)
    assert not (tmp_path / "out").exists()


def test_the_command_without_torch_says_what_to_install(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "reid_pipeline.learning.recipe", None)
    assert run_command_line(["train", "site-zero", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert capfd.readouterr().err == "error: train needs PyTorch: pip install 'reid-pipeline[learning]'\n"


def test_the_command_with_an_unknown_recipe_is_one_line(tmp_path, capfd):
    assert run_command_line(["train", "nothing", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: nothing: no such recipe: expected a YAML file, or one of ")
    assert told.err.count("\n") == 1
