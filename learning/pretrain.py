"""Contrastive pre-training of an encoder on a site's own crops, without any labels: from the crops to a model folder.

What becomes of it: where the embedding is compared (`moco.MocoSettings`), the encoder is exported as it is, without the
projection behind it. Where the features are, as LUPerson does, the embedding is made of their principal directions.
Either way the model is an encoder like any other: it can serve, be adapted, and be pre-trained further.

Source: MoCo v2 with the choices of Fu et al., "Unsupervised Pre-training for Person Re-identification", 2021.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from reid_pipeline.learning.calibration import measure_different
from reid_pipeline.learning.crop_pool import Pool
from reid_pipeline.learning.distributed import rank, take_from_first
from reid_pipeline.learning.encoder_network import EncoderNetwork, build_encoder_network
from reid_pipeline.learning.export import Provenance, export_encoder
from reid_pipeline.learning.graph_weights import rebuild_encoder
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.moco import MocoNetwork, MocoSettings
from reid_pipeline.learning.moco_task import BatchSettings, MocoTask
from reid_pipeline.learning.pixels import normalise_as
from reid_pipeline.learning.pretrain_note import PretrainNote, open_note
from reid_pipeline.learning.pretrain_recipe import PretrainRecipe
from reid_pipeline.learning.principal_head import fit_principal_head
from reid_pipeline.learning.trainer import Plan, Progress, Trainer
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.storage.model_card import InputCard, Model, NetworkCard, write_card

logger = logging.getLogger(__name__)

Report = Callable[[Progress], None]

_TRIED: Final = 6  # steps that the speed is taken from, after the first
_OF_FEATURES: Final = 4096  # crops that principal directions are taken from
_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class PretrainJob:
    """What is wanted.

    Attributes:
        recipe: How.
        seed: Of everything random.
        budget_s: Seconds that the training may take; the recipe's epochs are the most in any case.
        start: Encoder to begin with, whose network, input and embedding are kept; None for random weights.
        licence: Of what becomes of it, where there is no `start`.
    """

    recipe: PretrainRecipe
    seed: int = 0
    budget_s: float | None = None
    start: Model | None = None
    licence: str = "learnt from this site's own pictures: for this site"

    def input_card(self) -> InputCard:
        """How pictures become the network's input; its height and width are those that the material must have."""
        if self.start is None or self.start.card is None:
            return self.recipe.input_card()
        return self.start.card.input

    def network_card(self) -> NetworkCard:
        """Which network it is."""
        known = self.start.card.network if self.start is not None and self.start.card is not None else None
        return known or self.recipe.network.card()


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What came of it.

    Attributes:
        model: The encoder.
        crops: How many it was learnt from.
        tracklets: Of how many tracklets.
        steps: How many were learnt.
        epochs: How often each crop was seen.
        queue: Number of keys.
        loss: Mean of the last steps that were reported; None where none were.
    """

    model: Model
    crops: int
    tracklets: int
    steps: int
    epochs: float
    queue: int
    loss: float | None


def pretrain(material: Material, job: PretrainJob, work: Path, models: Path, report: Report) -> Pretrained | None:
    """Pre-trains an encoder; goes on where an earlier call for the same job was broken off.

    Args:
        material: The crops, of the size of the network's input. What has come to them since an earlier call is left
            out.
        job: What is wanted.
        work: Folder for the checkpoint, the log and the note on the job; the log is all that stays in the end.
        models: Folder that gets the model's folder.
        report: Told of every few steps.

    Returns:
        What came of it; None on all processes but the first.

    Raises:
        TrainingError: The material is too thin for the recipe, or the start cannot be trained further.
        WorkFolderError: In the work folder another job was begun.
    """
    start = job.start.identity if job.start else None
    note = take_from_first(open_note(work, job.recipe, job.seed, job.budget_s, start) if rank() == 0 else None)
    if note is None:
        raise TypeError("the first process sent no note")
    note, material = _settle_material(note, material, work)
    torch.manual_seed(job.seed)
    encoder = _begin(job)
    task = _build_task(encoder, material, job)
    steps = note.steps or take_from_first(_count_steps(task, job))
    note = note.model_copy(update={"steps": steps})
    if rank() == 0:
        note.write(work)
    losses: list[float] = []

    def follow(at: Progress) -> None:
        losses.append(at.losses["contrast"])
        report(at)

    average = Trainer(task, _plan(task, job, steps), work).run(follow)
    if rank() > 0:
        return None
    learnt = _finish(average, encoder, material, job)
    model = _export(learnt, material, job, models, note.model_name)
    note.close(work)
    epochs, queue = steps / task.sampler.steps, len(task.network.queue.keys)
    last = losses[-1] if losses else None
    return Pretrained(model, len(material.crops), len(material), steps, round(epochs, 2), queue, last)


def _settle_material(note: PretrainNote, material: Material, work: Path) -> tuple[PretrainNote, Material]:
    """The crops that the job began with; where they are no more all there, the job begins anew."""
    begun = material if note.until_us is None else _until(material, note.until_us)
    digest = digest_material(begun)
    if note.corpus == digest:
        return note, begun
    if note.corpus is not None:
        logger.warning("%s: the corpus has lost crops since this pre-training began: it begins anew", work)
        if rank() == 0:
            note.close(work)
    fresh = {"corpus": digest_material(material), "until_us": int(material.first_us.max()), "steps": None}
    return note.model_copy(update=fresh), material


def _until(material: Material, until_us: int) -> Material:
    old = material.first_us <= until_us
    return material if old.all() else material.select(np.flatnonzero(old).astype(np.int64))


def digest_material(material: Material) -> str:
    """Tells one set of crops from another by their number, size, tracklets and times."""
    found = hashlib.sha256(repr(material.crops.shape).encode())
    for column in (material.tracklets, material.times_us, material.cameras):
        found.update(column.tobytes())
    return found.hexdigest()


def _begin(job: PretrainJob) -> EncoderNetwork:
    if job.start is not None:
        return rebuild_encoder(job.start)
    shape, size = job.recipe.network, (job.recipe.height, job.recipe.width)
    encoder = build_encoder_network(shape.backbone, shape.dim, keep_resolution=shape.keep_resolution, size=size)
    if not shape.empty_blocks:
        _fill_blocks(encoder)
    return encoder


def _fill_blocks(network: nn.Module) -> None:
    """Lets the last norm of every residual block begin at 1."""
    for block in network.modules():
        if hasattr(block, "zero_init_last"):
            nn.init.ones_((block.bn3 if hasattr(block, "bn3") else block.bn2).weight)


def _build_task(encoder: EncoderNetwork, material: Material, job: PretrainJob) -> MocoTask:
    contrast, training = job.recipe.contrast, job.recipe.training
    settings = MocoSettings(
        compared=contrast.compared,
        queue=contrast.queue_for(len(material.crops)),
        dim=contrast.dim,
        momentum=contrast.momentum,
        temperature=contrast.temperature,
        spare_own=contrast.spare_own,
    )
    views = job.recipe.views.settings()
    batches = BatchSettings(training.batch_size, training.shards, contrast.by_tracklet, views, job.seed)
    return MocoTask(MocoNetwork(encoder, settings), material, job.input_card(), settings, batches)


def _plan(task: MocoTask, job: PretrainJob, steps: int) -> Plan:
    return job.recipe.training.plan(steps, task.sampler.steps, job.seed)


def _count_steps(task: MocoTask, job: PretrainJob) -> int:
    """The recipe's epochs in steps, or what the budget has room for on this machine."""
    wanted = job.recipe.training.epochs * task.sampler.steps
    if job.budget_s is None:
        return wanted
    kept = {name: value.clone() for name, value in task.network.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(task, _plan(task, job, 1 + _TRIED), Path(folder))
        trainer.run(until=1)
        begin = time.monotonic()
        trainer.run()
        step_s = (time.monotonic() - begin) / _TRIED
    task.network.load_state_dict(kept)
    return max(1, min(wanted, int(job.budget_s / step_s)))


def _finish(average: nn.Module, encoder: EncoderNetwork, material: Material, job: PretrainJob) -> EncoderNetwork:
    """The encoder with the averaged weights, and with an embedding where none was learnt."""
    trunk = average.query.trunk.cpu().eval()
    if isinstance(trunk, EncoderNetwork):
        return trunk
    encoder = encoder.cpu().eval()
    encoder.backbone = trunk
    rng = np.random.default_rng(job.seed)
    chosen = rng.choice(len(material.crops), min(_OF_FEATURES, len(material.crops)), replace=False)
    fit_principal_head(encoder, _features(trunk, material.crops[chosen], job.input_card()))
    return encoder


@torch.no_grad()
def _features(backbone: nn.Module, crops: Pool, card: InputCard) -> Tensor:
    parts = [crops[begin : begin + _CHUNK] for begin in range(0, len(crops), _CHUNK)]
    images = (normalise_as(card, torch.from_numpy(part).permute(0, 3, 1, 2).float()) for part in parts)
    return torch.cat([backbone(each) for each in images])


def _export(encoder: EncoderNetwork, material: Material, job: PretrainJob, models: Path, name: str) -> Model:
    source = f"{len(material.crops)} crops of {len(material)} tracklets of the site, without labels"
    before = job.start.card if job.start is not None else None
    provenance = Provenance(
        before.licence if before else job.licence,
        (*before.trained_on, source) if before else (source,),
        job.start.identity if job.start is not None else None,
        network=job.network_card(),
    )
    model = export_encoder(encoder, job.input_card(), encoder.dim, models / name, name, provenance)
    if model.card is None:
        raise TypeError("an exported model has no card")
    ones = material.crops[material.begins()[:-1]]
    different = measure_different(build_encoder(str(model.graph.parent)), [ones], job.seed)
    return write_card(model.card.model_copy(update={"calibration": {"different": different}}), model.graph.parent)
