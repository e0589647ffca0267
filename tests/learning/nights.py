"""Nights at a small site that take a second: a small encoder, few steps, a gate that says what it is told to.

The graph of a candidate is that of the first encoder with the new weights: an export would take most of the time.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from reid_pipeline.learning import adapt, adapt_command, export, nightly
from reid_pipeline.learning.adapt_command import AdaptOptions
from reid_pipeline.learning.adapt_site import SiteSettings
from reid_pipeline.learning.encoder_network import build_encoder_network
from reid_pipeline.learning.export import HALVED, Provenance, export_encoder
from reid_pipeline.learning.gate import judge
from reid_pipeline.learning.memory import read_memory
from reid_pipeline.learning.nightly import NightOptions, run_night
from reid_pipeline.learning.pixels import input_card
from reid_pipeline.learning.trainer import Trainer
from reid_pipeline.pipeline.serving import SiteModels
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.model_card import Model, NetworkCard, load_model
from reid_pipeline.storage.promotions import PromotionLog
from tests.learning.site_material import striped_person

NOON_US = 1_763_640_000_000_000
STEPS = (
    "reading the corpus",
    "learning (site)",
    "a checkpoint",
    "examining",
    "half a model",
    "embedding stored crops anew",
    "half a promotion",
    "writing the report",
    "tidying up",
    "half a removal",
)


def make_encoder(folder: Path) -> Model:
    """A small encoder that knows nothing, and can be trained further."""
    torch.manual_seed(0)
    provenance = Provenance("MIT", ["nothing"], network=NetworkCard(backbone="test_resnet"))
    return export_encoder(build_encoder_network("test_resnet", 16), input_card(64, 32), 16, folder, "small", provenance)


def fill(data_dir: Path, people: int = 30, visits: int = 3) -> Path:
    """A corpus of people who come by several times, in three cameras."""
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(people), visits))
    with open_database(data_dir) as database:
        store = CorpusStore(database)
        for camera in range(3):
            origin = store.open_origin(f"camera{camera}", f"video {camera}", NOON_US).id
            places = range(camera, len(owner), 3)
            store.add(origin, [_tracklet(place, int(owner[place]), rng) for place in places])
    return data_dir


def _tracklet(place: int, person: int, rng: np.random.Generator) -> ImportedTracklet:
    first = NOON_US + place * 1_000_000
    crops = []
    for number in range(2):
        jpeg = cv2.imencode(".jpg", striped_person(person, (64, 32), rng))[1].tobytes()
        crops.append(CorpusCrop(first + number * 500_000, jpeg, 32, 64, 0.5))
    return ImportedTracklet(place + 1, first, first + 3_500_000, tuple(crops))


@contextmanager
def quick(encoder: Path, *, promotes: bool = True) -> Iterator[None]:
    """Few steps with few crops, one share, and a gate that decides as it is told to."""

    def graph_of(network: nn.Module, *_: object, **__: object) -> onnx.ModelProto:
        graph = onnx.load(encoder / export.GRAPH_NAME)
        values = network.state_dict()
        for tensor in graph.graph.initializer:
            known = values.get(tensor.name.removesuffix(HALVED))
            if known is not None:
                old = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(known.numpy().astype(old.dtype), tensor.name))
        return graph

    def decide(*seen: object) -> object:
        return replace(judge(*seen), promoted=promotes, reason="it was told to")

    plan = partial(adapt_command.AdaptPlan, shares=(1.0,))
    settings = partial(SiteSettings, people=4, crops=2, remembered=4)
    with (
        mock.patch.multiple(adapt, _ROUND_STEPS=(2, 2), _TRIED=1, FEWEST_TRACKLETS=60, judge=decide),
        mock.patch.multiple(adapt_command, AdaptPlan=plan, SiteSettings=settings, read_memory=_few_of_memory),
        mock.patch.object(export, "trace", graph_of),
    ):
        yield


def _few_of_memory(size: tuple[int, int]) -> np.ndarray:
    return read_memory(size)[:8]


def options(encoder: Path, **changed: object) -> NightOptions:
    """Of a night that begins with an encoder."""
    return NightOptions(AdaptOptions(encoder=str(encoder), budget_s=0.01), **changed)


def site_of(data_dir: Path, encoder: Path) -> SiteModels:
    """The site, as if its cameras.yaml named the encoder."""
    return SiteModels(data_dir, load_model(encoder).identity)


@contextmanager
def silent(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows no progress."""
    yield lambda done, total: None


def die() -> None:
    """As a lost power supply would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_until(step: str | None, data_dir: Path, encoder: Path) -> None:
    """A night in a process of its own that dies at a step; None: at none."""
    torch.set_num_threads(1)
    with quick(encoder), _killing(step):
        run_night(site_of(data_dir, encoder), options(encoder, kept=1), _dying_at(step))


def _dying_at(step: str | None) -> Callable[[str], AbstractContextManager[Callable[[int, int], None]]]:
    def stage(label: str) -> AbstractContextManager[Callable[[int, int], None]]:
        if label == step:
            die()
        return silent(label)

    return stage


def _killing(step: str | None) -> AbstractContextManager[object]:
    """Patches what lies in the middle of a stage."""
    save = Trainer.save

    def save_and_die(trainer: Trainer[object]) -> None:
        save(trainer)
        if "learning" in str(trainer.folder):  # not where the speed is measured
            die()

    def tear(log: PromotionLog, *_: object) -> None:
        log.path.parent.mkdir(parents=True, exist_ok=True)
        with log.path.open("ab") as file:
            file.write(b'{"time": "2026-')
        die()

    patches: dict[str | None, AbstractContextManager[object]] = {
        "a checkpoint": mock.patch.object(Trainer, "save", save_and_die),
        "half a model": mock.patch.object(export, "write_card", lambda *_: die()),
        "half a promotion": mock.patch.object(PromotionLog, "_append", tear),
        "half a removal": mock.patch.object(nightly, "shutil", mock.Mock(rmtree=_remove_half)),
    }
    return patches.get(step, mock.MagicMock())


def _remove_half(folder: Path, **_: object) -> None:
    """Removes a model's card; other folders as ever."""
    if folder.name.startswith(".going-"):
        (folder / "model.json").unlink()
        die()
    shutil.rmtree(folder, ignore_errors=True)
