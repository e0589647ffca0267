import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from reid_pipeline.learning import adapt_command, cli_nightly, night_pretraining, nightly  # noqa: E402  # where torch is
from reid_pipeline.learning.errors import Diverged, TrainingError  # noqa: E402
from reid_pipeline.learning.night_pretraining import PretrainRule, is_due  # noqa: E402
from reid_pipeline.learning.nightly import prune, run_night  # noqa: E402
from reid_pipeline.learning.pretrain_recipe import PretrainRecipe  # noqa: E402
from reid_pipeline.learning.run_record import alone  # noqa: E402
from reid_pipeline.pipeline.cli import run_command_line  # noqa: E402
from reid_pipeline.storage.database import open_database  # noqa: E402
from reid_pipeline.storage.errors import SiteBusy  # noqa: E402
from reid_pipeline.storage.learning_runs import (  # noqa: E402
    LearningEnd,
    LearningKind,
    LearningRun,
    LearningRuns,
    LearningStart,
    LearningStatus,
)
from reid_pipeline.storage.model_card import load_model  # noqa: E402
from reid_pipeline.storage.promotions import PromotionLog  # noqa: E402
from tests.learning.nights import STEPS, fill, make_encoder, options, quick, run_until, silent, site_of  # noqa: E402
from tests.storage.model_folders import make_model  # noqa: E402

pytestmark = pytest.mark.learning

TINY = PretrainRecipe.model_validate(
    {
        "height": 64,
        "width": 32,
        "network": {"backbone": "test_resnet", "dim": 16},
        "contrast": {"dim": 6, "by_tracklet": True, "spare_own": True, "momentum": 0.9},
        "training": {"epochs": 1, "batch_size": 8, "shards": 2, "learning_rate": 0.002, "warm_up": 1},
    }
)
PEOPLE = 30
QUICKLY_CHECKED = {"half a model", "half a promotion"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("models") / "small").graph.parent


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("filled") / "data", PEOPLE)


@pytest.fixture
def site(filled, encoder, tmp_path):
    return site_of(shutil.copytree(filled, tmp_path / "data"), encoder)


def night(site, encoder, **changed):
    return run_night(site, replace(options(encoder, **changed)), silent)


def history(site):
    with open_database(site.data_dir) as database:
        return [(each.start.kind.value, each.end.status.value) for each in LearningRuns(database).read()[::-1]]


def models_of(site):
    return sorted(each.name for each in (site.data_dir / "models").iterdir() if each.is_dir())


@pytest.fixture(scope="module")
def nights(filled, encoder, tmp_path_factory):
    """The reports of two nights, the first of which promotes, and the site."""
    site = site_of(shutil.copytree(filled, tmp_path_factory.mktemp("nights") / "data"), encoder)
    with quick(encoder):
        first = night(site, encoder)
    with quick(encoder, promotes=False):
        second = night(site, encoder)
    return first, second, site


def test_what_is_better_serves_and_is_gone_on_from(nights, encoder):
    first, second, site = nights
    assert (first["promoted"], second["promoted"]) == (True, False)
    [entry] = site.log.read()
    assert (entry.name, entry.reason) == (first["model"], "it was told to")
    assert (first["parent"], second["parent"]) == ("small", first["model"])
    assert site.log.serving(site.base) == load_model(site.data_dir / "models" / first["model"]).identity


def test_all_of_it_is_in_the_database(nights):
    first, _, site = nights
    assert history(site) == [(kind, "done") for kind in ("nightly", "adapt", "nightly", "adapt")]
    with open_database(site.data_dir) as database:
        *_, adapted, whole = LearningRuns(database).read()
    assert (adapted.start.parent, adapted.start.seed, adapted.start.settings["method"]) == (site.base, 0, "site")
    assert (adapted.end.model, adapted.end.promoted, adapted.end.reason) == (first["model"], True, "it was told to")
    assert adapted.end.figures["after"] == first["after"]
    assert (whole.end.model, whole.start.settings["kept"]) == (first["model"], 7)
    assert len(adapted.start.code) >= 5
    assert whole.started_us <= adapted.started_us <= adapted.ended_us <= whole.ended_us


def test_each_leaves_a_report_and_a_page(nights):
    first, second, site = nights
    for report in (first, second):
        [work] = [
            each.parent
            for each in (site.data_dir / "learning").glob("*/report.json")
            if report["model"].startswith(each.parent.name)
        ]
        kept = json.loads((work / "report.json").read_text(), parse_constant=pytest.fail)
        assert kept == {name: value for name, value in report.items() if name != "removed_models"}
        page = (work / "report.html").read_text()
        assert report["model"] in page
        assert page.count("data:image/jpeg") > 20
        assert not (work / "checkpoint.pt").exists()


def test_too_little_material_is_no_error(encoder, tmp_path, capsys):
    fill(tmp_path, people=3)
    command = ["nightly", "--data", str(tmp_path), "--encoder", str(encoder), "--budget", "0.01", "--json"]
    assert run_command_line(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["promoted"] is False
    assert report["reason"].startswith("the corpus has 9 tracklets: expected at least 200")
    assert history(site_of(tmp_path, encoder)) == [("nightly", "done"), ("adapt", "failed")]
    assert not (tmp_path / "models").exists()


def test_one_night_at_a_time(site, encoder):
    with alone(site.data_dir), pytest.raises(SiteBusy, match=r"something is learning here already \(process \d+\)"):
        night(site, encoder)
    assert history(site) == []


def test_a_night_that_fails_is_closed_and_the_next_begins_anew(site, encoder, monkeypatch):
    learn = adapt_command.learn

    def learn_and_fail(*given):
        learn(*given)
        raise Diverged("the gradients are no numbers")

    with quick(encoder):
        with monkeypatch.context() as patch, pytest.raises(TrainingError, match="the gradients"):
            patch.setattr(adapt_command, "learn", learn_and_fail)
            night(site, encoder)
        [work] = (site.data_dir / "learning").glob("*/start.json")
        assert not (work.parent / "checkpoint.pt").exists()
        assert json.loads((work.parent / "report.json").read_text())["promoted"] is False
        report = night(site, encoder)
    assert report["promoted"]
    assert history(site) == [("nightly", "failed"), ("adapt", "failed"), ("nightly", "done"), ("adapt", "done")]


def test_a_signal_ends_a_night_in_good_order(site, encoder, monkeypatch, capsys):
    monkeypatch.setattr(adapt_command, "learn", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    command = ["nightly", "--data", str(site.data_dir), "--encoder", str(encoder), "--budget", "0.01", "--json"]
    before = signal.getsignal(signal.SIGTERM)
    with quick(encoder):
        assert run_command_line(command) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "stopped by SIGTERM"
    assert history(site) == [("nightly", "broken off"), ("adapt", "broken off")]
    assert signal.getsignal(signal.SIGTERM) == before
    assert site.log.read() == []


def test_the_service_waits_for_the_time_and_ends_in_good_order(site):
    program = "import sys; from reid_pipeline.pipeline.cli import main; main()"
    command = ["nightly", "--data", str(site.data_dir), "--at", "00:00", "--json", "--verbose"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as service:
        assert any("the next night begins at" in line for line in service.stderr)
        service.send_signal(signal.SIGTERM)
        told, _ = service.communicate(timeout=60)
    assert service.returncode == 0
    assert json.loads(told) == {"nights": 0, "failed": 0}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--at", "25:00"], "--at: 25:00: expected a time of the day such as 02:00"),
        (["--at", "2"], "--at: 2: expected a time of the day such as 02:00"),
        (["--budget", "0"], "--budget: 0: expected minutes above 0, at most 1440"),
        (["--memory", "0.1"], "--memory: 0.1: expected GB, at least 0.5"),
        (["--method", "magic"], "--method: magic: expected one of site, scl"),
    ],
)
def test_wrong_options_are_one_line(site, capsys, wrong, told):
    assert run_command_line(["nightly", "--data", str(site.data_dir), *wrong]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_memory_is_shared_among_the_copies_of_the_crops():
    assert cli_nightly._most_bytes(3.0) == 1_000_000_000
    assert cli_nightly._most_bytes(None) > 0


# Killed


def in_a_process(step, site, encoder):
    """The exit code of a night in a process of its own, forked from one that has everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.learning.nights"])
    child = context.Process(target=run_until, args=(step, site.data_dir, encoder))
    child.start()
    child.join(120)
    code = child.exitcode
    child.close()
    return code


@pytest.fixture(scope="module")
def second_night(filled, encoder, tmp_path_factory):
    """A site whose serving encoder is already one that was adapted; of the models one is too many."""
    site = site_of(shutil.copytree(filled, tmp_path_factory.mktemp("second") / "data"), encoder)
    with quick(encoder):
        night(site, encoder)
    adapted = load_model(site.data_dir / "models" / site.log.read()[0].name)
    old = make_model(site.data_dir / "models" / "older", parent=site.base, trained_on=list(adapted.card.trained_on))
    os.utime(site.data_dir / "models" / "older" / "model.json", (0, 0))
    assert old
    return site


@pytest.mark.parametrize(
    "step", [step if step in QUICKLY_CHECKED else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_whenever_a_night_is_killed_the_old_model_serves_and_the_next_night_goes_on(
    second_night, encoder, tmp_path, step
):
    site = site_of(shutil.copytree(second_night.data_dir, tmp_path / "data"), encoder)
    [before] = site.log.read()
    assert in_a_process(step, site, encoder) == -signal.SIGKILL
    log = PromotionLog(site.data_dir).read()
    assert log[:1] == [before]
    assert len(log) == (2 if step in {"writing the report", "tidying up", "half a removal"} else 1)
    serving = site.registry.find_hash(log[-1].hash)
    assert serving is not None and serving.model is not None
    assert serving.model.identity == site.log.serving(site.base)

    assert in_a_process(None, site, encoder) == 0
    after = PromotionLog(site.data_dir).read()
    assert after[: len(log)] == log
    assert len(after) == len(log) + 1
    names = models_of(site)
    assert after[-1].name in names
    assert "older" not in names
    assert not [each for each in names if each.startswith(".") or each.endswith((".part", ".old"))]
    assert all(load_model(site.data_dir / "models" / name) for name in names)
    works = [each.parent for each in (site.data_dir / "learning").glob("*/start.json")]
    assert all((work / "report.json").is_file() and not (work / "checkpoint.pt").exists() for work in works)
    statuses = [status for _, status in history(site)]
    assert "running" not in statuses
    assert statuses[-2:] == ["done", "done"]
    assert statuses.count("broken off") in {1, 2}  # of the night, and of the adaptation where that was not done yet


# Models


def adapted_model(folder, number, **changes):
    name = f"night-{number}"
    card = {"parent": "0" * 64, "trained_on": ["crops of the site"], **changes}
    found = make_model(folder / "models" / name, b"graph %d" % number, **card)
    os.utime(folder / "models" / name / "model.json", (number, number))
    return found


def promote(site, name):
    site.log.promote(load_model(site.data_dir / "models" / name), site.base, site.registry, "better")


def test_the_last_promoted_and_the_newest_models_stay(tmp_path, encoder):
    site = site_of(tmp_path, encoder)
    for number in range(1, 7):
        adapted_model(tmp_path, number, parent=site.base)
    make_model(tmp_path / "models" / "by-hand", b"mine", parent=site.base)
    for number in (1, 2, 3):
        promote(site, f"night-{number}")
    assert prune(site, kept=2) == ["night-1", "night-4"]
    assert models_of(site) == ["by-hand", "night-2", "night-3", "night-5", "night-6"]
    assert prune(site, kept=2) == []


def test_a_model_that_searches_still_need_stays(tmp_path, encoder, monkeypatch):
    site = site_of(tmp_path, encoder)
    hashes = [adapted_model(tmp_path, number, parent=site.base) for number in (1, 2, 3)]
    promote(site, "night-3")
    asked = []

    def left(database, old, by):
        asked.append((old, by))
        return int(old == hashes[0])

    monkeypatch.setattr(nightly, "drop_superseded", left)
    assert prune(site, kept=1) == ["night-2"]
    assert asked == [(hashes[0], hashes[2]), (hashes[1], hashes[2])]


# Pre-training


def ran(kind, status=LearningStatus.DONE, **settings):
    start = LearningStart(LearningKind(kind), None, 0, settings, "0.1.0")
    return LearningRun(1, start, LearningEnd(status), 0, 1)


RULE = PretrainRule(fewest=1000, growth=0.5, nights=3, recipe=TINY)
NIGHT = ran("nightly")


@pytest.mark.parametrize(
    ("crops", "newest_first", "due"),
    [
        (999, [], False),
        (1000, [], True),
        (1000, [NIGHT] * 9, True),
        (1499, [ran("pretrain", crops=1000)], False),
        (1500, [ran("pretrain", crops=1000)], True),
        (1200, [NIGHT, NIGHT, ran("pretrain", crops=1000)], False),
        (1200, [NIGHT, NIGHT, ran("adapt"), NIGHT, ran("pretrain", crops=1000)], True),
        (1200, [NIGHT, NIGHT, ran("nightly", LearningStatus.FAILED), ran("pretrain", crops=1000)], False),
        (1200, [ran("pretrain", LearningStatus.FAILED, crops=1000)], False),
        (1200, [ran("pretrain", LearningStatus.BROKEN_OFF, crops=1000)], True),
        (1600, [ran("pretrain", crops=1600), ran("pretrain", crops=100)], False),
        (1600, [ran("pretrain"), ran("pretrain", crops=1600)], False),  # by hand: it does not serve
        (1600, [ran("pretrain")], True),
    ],
)
def test_pre_training_is_due_when_the_corpus_has_grown_or_nights_have_gone_by(crops, newest_first, due):
    assert is_due(RULE, crops, newest_first) is due


def test_a_night_pre_trains_first_and_what_comes_of_it_passes_the_same_gate(site, encoder):
    rule = PretrainRule(fewest=10, recipe=TINY)
    with quick(encoder):
        first = night(site, encoder, pretraining=rule)
        second = night(site, encoder, pretraining=rule)
    assert first["promoted"]
    assert first["begun_with"].startswith("pretrained-")
    assert (second["parent"], second["begun_with"]) == (first["model"], first["model"])
    kinds = [kind for kind, status in history(site) if status == "done"]
    assert kinds == ["nightly", "adapt", "pretrain", "nightly", "adapt"]
    assert load_model(site.data_dir / "models" / first["model"]).card.parent == site.base
    assert not (site.data_dir / "learning" / night_pretraining.FOLDER_NAME).exists()


def test_what_was_pre_trained_before_a_night_was_broken_off_is_not_lost(site, encoder, monkeypatch):
    rule = PretrainRule(fewest=10, recipe=TINY)

    def stop(*_):
        raise KeyboardInterrupt

    with quick(encoder):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(adapt_command, "learn", stop)
            night(site, encoder, pretraining=rule)
        report = night(site, encoder, pretraining=rule)
    assert report["begun_with"].startswith("pretrained-")
    assert [kind for kind, _ in history(site)].count("pretrain") == 1
    assert len(list((site.data_dir / "learning").glob("*/start.json"))) == 1
