import io
import json
import shutil
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from reid_pipeline.learning import adapt as learning  # noqa: E402  # only where torch is
from reid_pipeline.learning import adapt_command as module  # noqa: E402
from reid_pipeline.learning.adapt_command import AdaptOptions, adapt_site_encoder  # noqa: E402
from reid_pipeline.learning.adapt_scl import SclSettings  # noqa: E402
from reid_pipeline.learning.adapt_site import SiteSettings  # noqa: E402
from reid_pipeline.learning.encoder_network import build_encoder_network  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.export import Provenance, export_encoder  # noqa: E402
from reid_pipeline.learning.gate import judge  # noqa: E402
from reid_pipeline.learning.memory import read_memory  # noqa: E402
from reid_pipeline.learning.pixels import input_card  # noqa: E402
from reid_pipeline.pipeline.cli import run_command_line  # noqa: E402
from reid_pipeline.pipeline.serving import SiteModels  # noqa: E402
from reid_pipeline.storage.actor import current_user  # noqa: E402
from reid_pipeline.storage.audit_log import Action, AuditLog  # noqa: E402
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet  # noqa: E402
from reid_pipeline.storage.corpus_store import CorpusStore  # noqa: E402
from reid_pipeline.storage.database import open_database  # noqa: E402
from reid_pipeline.storage.model_card import NetworkCard, load_model, write_card  # noqa: E402
from reid_pipeline.storage.promotions import PromotionLog  # noqa: E402
from tests.learning.site_material import striped_person  # noqa: E402

pytestmark = pytest.mark.learning

NOON_US = 1_763_640_000_000_000
FIGURES = {"true_positive_rate", "retrieval", "round_trip", "camera_bias", "effective_rank", "mean_cosine"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A small encoder that knows nothing, and can be trained further."""
    torch.manual_seed(0)
    network = build_encoder_network("test_resnet", 16)
    provenance = Provenance("MIT", ["nothing"], network=NetworkCard(backbone="test_resnet"))
    folder = tmp_path_factory.mktemp("models") / "small"
    return export_encoder(network, input_card(64, 32), 16, folder, "small", provenance)


@contextmanager
def fast():
    """Few steps with few crops, two shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "_ROUND_STEPS", (2, 3))
        patch.setattr(learning, "_TRIED", 1)
        patch.setattr(module, "SiteSettings", partial(SiteSettings, people=4, crops=2, remembered=4))
        patch.setattr(module, "SclSettings", partial(SclSettings, batch=8))
        patch.setattr(module, "AdaptPlan", partial(module.AdaptPlan, shares=(1.0, 0.5)))
        patch.setattr(module, "read_memory", lambda size: read_memory(size)[:8])
        yield patch


def fill(folder, people=85, visits=4):
    """A corpus of people who come by several times, in three cameras."""
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(people), visits))
    with open_database(folder) as database:
        store = CorpusStore(database)
        origins = [store.open_origin(f"camera{number}", f"video {number}", NOON_US).id for number in range(3)]
        tracklets = [[], [], []]
        for place, person in enumerate(owner.tolist()):
            first = NOON_US + place * 1_000_000
            crops = tuple(crop(person, first + each * 500_000, rng) for each in range(2))
            tracklets[place % 3].append(ImportedTracklet(place + 1, first, first + 3_500_000, crops))
        for origin, some in zip(origins, tracklets, strict=True):
            store.add(origin, some)
    return folder


def crop(person, time_us, rng):
    jpeg = cv2.imencode(".jpg", striped_person(person, (64, 32), rng))[1].tobytes()
    return CorpusCrop(time_us, jpeg, 32, 64, 0.5)


@pytest.fixture(scope="module")
def adapted(encoder, tmp_path_factory):
    """What `adapt --json` said, and the site."""
    folder = fill(tmp_path_factory.mktemp("site") / "data")
    told = io.StringIO()
    with fast(), redirect_stdout(told):
        command = ["adapt", "--data", str(folder), "--encoder", str(encoder.graph.parent), "--budget", "0.001"]
        assert run_command_line([*command, "--seed", "3", "--json"]) == 0
    return json.loads(told.getvalue(), parse_constant=pytest.fail), folder


def test_the_report_says_what_came_of_it(adapted, encoder):
    report, folder = adapted
    assert set(report) >= {"model", "path", "promoted", "reason", "before", "after", "changes"}
    assert (report["method"], report["parent"], report["seed"]) == ("site", "small", 3)
    assert (report["tracklets"], report["crops"], report["cameras"]) == (340, 680, ["camera0", "camera1", "camera2"])
    assert report["trained_on_tracklets"] == 292
    assert report["steps"] >= 2
    assert set(report["before"]) == set(report["after"]) == FIGURES
    assert set(report["changes"]) == {"true_positive_rate", "retrieval", "round_trip"}
    for change in report["changes"].values():
        assert set(change) == {"before", "after", "low", "high"}
    [written] = (folder / "learning").glob("*/report.json")
    assert json.loads(written.read_text(), parse_constant=pytest.fail) == report
    assert report["model"].startswith(written.parent.name)
    assert not (written.parent / "checkpoint.pt").exists()


def test_the_best_candidate_alone_is_kept(adapted, encoder):
    report, folder = adapted
    [candidate] = [each for each in (folder / "models").iterdir() if each.is_dir()]
    assert str(candidate) == report["path"]
    model = load_model(candidate)
    assert (model.name, model.card.parent, model.card.input) == (report["model"], encoder.identity, encoder.card.input)
    assert model.card.network == encoder.card.network
    assert model.identity != encoder.identity
    assert report["model"].endswith(f"-{round(100 * report['share'])}")


def test_the_promotion_is_what_the_report_says(adapted, encoder):
    report, folder = adapted
    served = PromotionLog(folder).serving(encoder.identity)
    if report["promoted"]:
        assert served == load_model(folder / "models" / report["model"]).identity
    else:
        assert served == encoder.identity
        assert PromotionLog(folder).read() == []
    assert load_model(encoder.graph.parent) == encoder


def test_what_is_better_serves_and_is_adapted_next(adapted, encoder, tmp_path):
    folder = shutil.copytree(adapted[1], tmp_path / "data", ignore=shutil.ignore_patterns("models", "learning"))
    site = SiteModels(folder, None)
    with fast() as patch:
        patch.setattr(learning, "judge", lambda *seen: replace(judge(*seen), promoted=True, reason="it was told to"))
        options = AdaptOptions("scl", str(encoder.graph.parent), 0.1, 0)
        report = adapt_site_encoder(site, options, partial(silent, []))
    [entry] = PromotionLog(folder).read()
    model = load_model(folder / "models" / report["model"])
    assert report["promoted"]
    assert (entry.name, entry.hash, entry.base, entry.reason) == (
        report["model"],
        model.identity,
        encoder.identity,
        "it was told to",
    )
    with open_database(folder) as database:
        [noted] = [each for each in AuditLog(database).read() if each.action == Action.MODEL]
    assert (noted.actor, noted.reason) == (current_user(), "it was told to")
    assert noted.subject["hash"] == model.identity
    base, serving = module._find_encoders(site, str(encoder.graph.parent))
    assert (base.identity, serving.identity) == (encoder.identity, model.identity)
    shutil.rmtree(model.graph.parent)
    with pytest.raises(TrainingError, match=r"is gone or changed: restore it, .*model rollback"):
        module._find_encoders(site, str(encoder.graph.parent))


def test_an_adaptation_that_was_broken_off_is_gone_on_with(encoder, tmp_path):
    note = {"parent": encoder.identity, "seed": 1}
    work = module._claim_work(tmp_path, "one", note)
    assert module._claim_work(tmp_path, "two", dict(note)) == work == tmp_path / "learning" / "one"
    assert module._claim_work(tmp_path, "three", {**note, "seed": 2}).name == "three"
    (work / "report.json").write_text("{}")
    assert module._claim_work(tmp_path, "four", note).name == "four"


@contextmanager
def silent(shown, label):
    shown.append(label)
    yield lambda done, total: None


def run(capfd, *arguments):
    code = run_command_line(["adapt", *map(str, arguments)])
    told = capfd.readouterr()
    assert told.out == ""
    return code, told.err


def test_a_corpus_that_is_too_thin_is_one_line(encoder, tmp_path, capfd):
    fill(tmp_path, people=5)
    code, told = run(capfd, "--data", tmp_path, "--encoder", encoder.graph.parent)
    assert (code, told) == (
        2,
        "error: the corpus has 20 tracklets: expected at least 200: let `run` collect more\n",
    )
    assert not (tmp_path / "learning").exists()


def test_an_empty_corpus_is_one_line(encoder, tmp_path, capfd):
    fill(tmp_path, people=0)
    code, told = run(capfd, "--data", tmp_path, "--encoder", encoder.graph.parent)
    assert code == 2
    assert told.startswith(f"error: {tmp_path}: the corpus is empty: ")
    assert told.count("\n") == 1


def test_what_cannot_be_trained_further_is_one_line(encoder, tmp_path, capfd):
    fill(tmp_path, people=0)
    shutil.copytree(encoder.graph.parent, tmp_path / "unknown")
    write_card(encoder.card.model_copy(update={"network": None}), tmp_path / "unknown")
    code, told = run(capfd, "--data", tmp_path, "--encoder", tmp_path / "unknown")
    assert code == 2
    assert told.startswith("error: small: cannot be trained further: its card has no `network`")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--method", "magic"], "error: --method: magic: expected one of site, scl\n"),
        (["--budget", "0"], "error: --budget: 0: expected minutes above 0, at most 1440\n"),
        (["--budget", "nan"], "error: --budget: nan: expected minutes above 0, at most 1440\n"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capfd, wrong, told):
    assert run(capfd, "--data", tmp_path, *wrong) == (2, told)


def test_figures_that_are_no_numbers_are_null():
    assert module._known({"a": 1.0, "b": float("nan"), "c": float("inf")}) == {"a": 1.0, "b": None, "c": None}
