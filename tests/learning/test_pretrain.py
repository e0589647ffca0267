import fnmatch
import json
import math
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.configs.errors import ConfigError  # noqa: E402
from reid_pipeline.learning import trainer as trainer_module  # noqa: E402
from reid_pipeline.learning.encoder_network import EncoderNetwork, build_encoder_network  # noqa: E402
from reid_pipeline.learning.errors import TrainingError, WorkFolderError  # noqa: E402
from reid_pipeline.learning.graph_weights import rebuild_encoder  # noqa: E402
from reid_pipeline.learning.pixels import normalise_as  # noqa: E402
from reid_pipeline.learning.pretrain import PretrainJob, pretrain  # noqa: E402
from reid_pipeline.learning.pretrain_note import NOTE_NAME  # noqa: E402
from reid_pipeline.learning.pretrain_recipe import (  # noqa: E402
    Contrast,
    PretrainRecipe,
    find_pretrain_recipe,
    shipped_pretrain_recipes,
)
from reid_pipeline.learning.principal_head import fit_principal_head  # noqa: E402
from reid_pipeline.learning.sgd_plan import SgdPlan  # noqa: E402
from reid_pipeline.learning.trainer import CHECKPOINT_NAME  # noqa: E402
from reid_pipeline.pipeline.cli import run_command_line  # noqa: E402
from reid_pipeline.pipeline.models import build_encoder  # noqa: E402
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet  # noqa: E402
from reid_pipeline.storage.corpus_store import CorpusStore  # noqa: E402
from reid_pipeline.storage.database import open_database  # noqa: E402
from tests.learning import sites  # noqa: E402

pytestmark = pytest.mark.learning

SIZE = (64, 32)  # smaller ones leave the last convolution a single pixel
ROOT = Path(__file__).parents[2]
SMALL = {
    "height": SIZE[0],
    "width": SIZE[1],
    "network": {"backbone": "test_resnet", "dim": 8},
    "contrast": {"dim": 6, "by_tracklet": True, "spare_own": True, "momentum": 0.9},
    "training": {"epochs": 2, "batch_size": 8, "shards": 2, "learning_rate": 0.002, "warm_up": 1},
}


def make_material(counts=(3, 1, 4, 2, 5, 1)):
    return sites.make_material(counts, SIZE)


def small(**changed):
    return PretrainRecipe.model_validate({**SMALL, **changed})


def train(folder, material=None, report=lambda _: None, **job):
    return pretrain(
        make_material() if material is None else material,
        PretrainJob(**{"recipe": small(), **job}),
        folder / "work",
        folder / "models",
        report,
    )


def weights(made):
    return rebuild_encoder(made.model).state_dict()


def interrupt(_):
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Reports and checkpoints as often as in hours of training."""
    monkeypatch.setattr(trainer_module, "_LOG_EVERY", 2)
    monkeypatch.setattr(trainer_module, "_SAVE_SECONDS", -1.0)


# Recipes


def test_shipped_recipes_are_valid_and_packed():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    shipped = shipped_pretrain_recipes()
    assert set(shipped) == {"site", "site-vit-s", "luperson-r50"}
    for name, path in shipped.items():
        assert find_pretrain_recipe(name) == find_pretrain_recipe(str(path))
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)


def test_the_recipe_of_luperson():
    """As in the authors' run script and code."""
    recipe = find_pretrain_recipe("luperson-r50")
    plan = recipe.training.plan(200 * 1632, 1632, seed=0)
    assert isinstance(plan, SgdPlan)
    assert plan.rate(0) == plan.rate(1631) == 0.3
    assert plan.rate(1632 * 50) == pytest.approx(0.3 * 0.5 * (1 + math.cos(math.pi * 0.25)))
    assert (plan.weight_decay, plan.ema_decay) == (1e-4, 0.0)
    contrast = recipe.contrast
    assert (contrast.queue_for(4_180_243), contrast.temperature, contrast.momentum) == (65_536, 0.1, 0.999)
    assert (contrast.compared, contrast.dim, contrast.by_tracklet, contrast.spare_own) == (
        "features",
        128,
        False,
        False,
    )
    assert recipe.training.batch_size // recipe.training.shards == 320
    card = recipe.input_card()
    assert (card.height, card.width, card.colour) == (256, 128, "RGB")
    np.testing.assert_allclose(np.array(card.mean) / 255, [0.3525, 0.3106, 0.3140], atol=1e-6)
    np.testing.assert_allclose(np.array(card.std) / 255, [0.2660, 0.2522, 0.2505], atol=1e-6)


def test_sgd_lets_everything_decay_that_is_learnt():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    network[1].bias.requires_grad_(requires_grad=False)
    (group,) = SgdPlan(10, 0.3, 1e-4).optimiser(network).param_groups
    assert [each is wanted for each, wanted in zip(group["params"], network.parameters(), strict=False)] == [True] * 3
    assert (group["momentum"], group["weight_decay"], len(group["params"])) == (0.9, 1e-4, 3)


@pytest.mark.parametrize(
    ("crops", "queue"), [(4_180_243, 65_536), (262_144, 65_536), (262_143, 32_768), (6950, 1024), (16, 4), (3, 1)]
)
def test_the_queue_is_a_power_of_two_within_a_quarter_of_the_crops(crops, queue):
    assert Contrast().queue_for(crops) == queue


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"speed": 3}, "speed"),
        (
            {"training": {**SMALL["training"], "shards": 3}},
            "training: .*shards: 3: expected a divisor of batch_size, 8",
        ),
        ({"views": {"area": [0.5, 0.2]}}, "views: .*area: expected two rising numbers"),
        ({"contrast": {"temperature": 0}}, "contrast.temperature: '0'"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tmp_path, changed, message):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changed}))
    with pytest.raises(ConfigError, match=message) as caught:
        find_pretrain_recipe(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ConfigError, match="lup: no such recipe: expected a YAML file, or one of luperson-r50, site"):
        find_pretrain_recipe("lup")


# What becomes of it


def test_an_encoder_comes_of_it_that_runs_and_can_be_trained_further(tmp_path):
    made = train(tmp_path)
    assert (made.crops, made.tracklets, made.steps, made.epochs, made.queue) == (16, 6, 4, 2.0, 4)
    card = made.model.card
    assert (card.parent, card.network.backbone, card.output.dim) == (None, "test_resnet", 8)
    assert card.calibration is not None and "16 crops of 6 tracklets" in card.trained_on[0]
    assert made.model.graph.parent == tmp_path / "models" / made.model.name
    network, crops = rebuild_encoder(made.model).eval(), make_material().crops
    with torch.no_grad():
        own = nn.functional.normalize(
            network(normalise_as(card.input, torch.from_numpy(crops).permute(0, 3, 1, 2).float()))
        )
    np.testing.assert_allclose(build_encoder(str(made.model.graph)).encode(list(crops)), own.numpy(), atol=0.02)
    assert not (tmp_path / "work" / CHECKPOINT_NAME).exists() and not (tmp_path / "work" / NOTE_NAME).exists()


def test_after_a_break_it_goes_on_to_the_same_weights_though_the_corpus_grew(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", report=interrupt, recipe=small())
    grown = make_material((3, 1, 4, 2, 5, 1, 3))
    grown.crops[:16] = make_material().crops
    broken = train(tmp_path / "broken", material=grown)
    assert (broken.crops, broken.steps) == (16, 4)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name


def test_where_crops_are_gone_it_begins_anew(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, report=interrupt)
    less = make_material().select(np.array([0, 2, 3, 4]))
    assert train(tmp_path, material=less).crops == 14
    assert "has lost crops since this pre-training began" in caplog.text


def test_another_job_in_the_folder_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, report=interrupt)
    with pytest.raises(WorkFolderError, match="work: another pre-training was begun there"):
        train(tmp_path, seed=1)


def test_features_become_an_embedding_by_their_principal_directions(tmp_path):
    made = train(tmp_path, recipe=small(contrast={**SMALL["contrast"], "compared": "features"}))
    network = rebuild_encoder(made.model).eval()
    images = normalise_as(made.model.card.input, torch.from_numpy(make_material().crops).permute(0, 3, 1, 2).float())
    with torch.no_grad():
        features = network.backbone(images)
        embeddings = network(images)
    centred = features - features.mean(0)
    wanted = torch.linalg.svdvals(centred)[:8]
    torch.testing.assert_close(torch.linalg.svdvals(embeddings), wanted, rtol=0.02, atol=0.02)


def test_it_begins_with_an_encoder_and_keeps_its_card(tmp_path):
    first = train(tmp_path / "first")
    second = train(tmp_path / "second", start=first.model, recipe=small(network={"backbone": "unused"}))
    assert second.model.card.parent == first.model.identity
    assert second.model.card.network == first.model.card.network
    assert len(second.model.card.trained_on) == 2
    begun = PretrainJob(small(), start=first.model)
    assert begun.input_card() == first.model.card.input


def test_a_budget_leaves_fewer_steps_and_the_same_start(tmp_path):
    assert train(tmp_path / "little", budget_s=1e-6).steps == 1
    much, free = train(tmp_path / "much", budget_s=1e6), train(tmp_path / "free")
    assert much.steps == free.steps == 4
    for name, value in weights(free).items():
        assert torch.equal(value, weights(much)[name]), name


def test_too_few_crops_are_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"batch_size: 8: expected at most the number of crops, 4"):
        train(tmp_path, material=make_material((3, 1)))


# Parts


def test_the_principal_head_keeps_similarities_of_centred_features():
    encoder = build_encoder_network("test_resnet", 5)
    features = torch.randn(40, encoder.width, generator=torch.Generator().manual_seed(0))
    features[:, 5:] = features[:, :5] @ torch.randn(5, encoder.width - 5)  # of five directions in all
    fit_principal_head(encoder, features + 3.0)
    centred = features - features.mean(0)
    for training in (False, True):
        embeddings = encoder.head.train(training)(features + 3.0).detach()
        torch.testing.assert_close(embeddings @ embeddings.T, centred @ centred.T, rtol=1e-3, atol=1e-2)


def test_an_embedding_cannot_be_longer_than_there_are_features():
    encoder = EncoderNetwork(nn.Identity(), 6, 9)
    with pytest.raises(TrainingError, match=r"network.dim: 9: expected at most 6"):
        fit_principal_head(encoder, torch.randn(30, 6))


def test_a_transformer_is_built_for_its_input():
    network = build_encoder_network("vit_tiny_patch16_224", 8, size=(64, 32)).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 32)).shape == (1, 8)


@pytest.mark.parametrize(("empty", "wanted"), [(True, 0.0), (False, 1.0)])
def test_residual_blocks_begin_as_asked(tmp_path, empty, wanted):
    from reid_pipeline.learning.pretrain import _begin

    recipe = small(network={"backbone": "resnet18", "dim": 8, "empty_blocks": empty})
    encoder = _begin(PretrainJob(recipe))
    assert float(encoder.backbone.layer3[1].bn2.weight.detach().mean()) == wanted


# The command


@pytest.fixture
def site(tmp_path):
    """A data folder whose corpus is the small site."""
    material = make_material()
    with open_database(tmp_path / "data", create=True) as database:
        store = CorpusStore(database)
        origin = store.open_origin("east", "film", 0)
        begins = material.begins()
        store.add(
            origin.id,
            [
                ImportedTracklet(
                    number + 1,
                    int(material.first_us[number]),
                    int(material.last_us[number]),
                    tuple(stored(material, row) for row in range(begins[number], begins[number + 1])),
                )
                for number in range(len(material))
            ],
        )
    return tmp_path / "data"


def stored(material, row):
    jpeg = cv2.imencode(".jpg", material.crops[row])[1].tobytes()
    return CorpusCrop(int(material.times_us[row]), jpeg, SIZE[1], SIZE[0], 1.0)


def test_the_command(site, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(SMALL))
    assert run_command_line(["pretrain", "--data", str(site), "--recipe", str(tmp_path / "own.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["crops"], told["tracklets"], told["steps"], told["queue"]) == (16, 6, 4, 4)
    assert Path(told["path"]) == site / "models" / told["model"]
    assert [each.name for each in (site / "learning").iterdir()] == [told["model"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "0"], "--budget: 0: expected minutes above 0"),
        (["--recipe", "lup"], "lup: no such recipe"),
        ([], "batch_size: 64: expected at most the number of crops, 16"),
    ],
)
def test_the_command_refuses_in_one_line(site, capsys, options, message):
    assert run_command_line(["pretrain", "--data", str(site), *options]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
