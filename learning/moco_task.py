"""Momentum contrast as a task: which crops are compared at a step, in which shards, and what the loss is.

A batch is cut into shards, each with batch norms of its own, as on as many GPUs. The second looks are dealt to the
shards in another order than the first ones (MoCo's "shuffling BN"): else the statistics of a batch norm would tell
which two belong together. As everything random is drawn alike by every process, each simply makes the views of the
shards it has; only finished keys are exchanged. So a training gives the same for any number of processes that divides
the number of shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_pipeline.learning.augment import Draws, ViewSettings, draw_views, make_views
from reid_pipeline.learning.crop_pool import Pool
from reid_pipeline.learning.distributed import gather_rows, rank, rank_count
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.moco import MocoNetwork, MocoSettings, ShardStatistics, info_nce
from reid_pipeline.storage.model_card import InputCard

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a batch is made.

    Attributes:
        size: Crops of all shards of all processes.
        shards: Number of parts with batch norms of their own; a multiple of the number of processes.
        by_tracklet: Whether the second look is at another crop of the same tracklet, where there is one.
        views: How different the looks are.
        seed: Of all that is random.
    """

    size: int
    shards: int
    by_tracklet: bool
    views: ViewSettings
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Some rows of the batch: where they stand in it, their crops ``(n, H, W, 3)`` and how these are to be seen."""

    rows: Rows
    crops: Pool
    draws: Draws


@dataclass(frozen=True, slots=True, eq=False)
class MocoBatch:
    """What one process has to do at a step.

    Attributes:
        queries: Its shards of first looks.
        keys: Its shards of second looks.
        order: ``(B,)``: row of the whole batch for each key, as the shards of all processes have them one by one.
        tracklets: ``(B,)``, of the rows of the whole batch.
    """

    queries: tuple[Shard, ...]
    keys: tuple[Shard, ...]
    order: Rows
    tracklets: Rows


class EpochSampler:
    """Every crop once an epoch, in an order of its own each time; what does not fill a batch waits for the next epoch.

    Args:
        count: Number of crops.
        batch_size: Crops a step.
        seed: Of the orders.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.steps = count // batch_size
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    def rows(self, step: int) -> Rows:
        """The crops of a step ``(batch_size,)``."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
            self._epoch = epoch
        return self._order[place * self._batch_size : (place + 1) * self._batch_size]


class MocoTask:
    """See `trainer.Task` and the module.

    Raises:
        TrainingError: The material does not fill a batch, or shards do not divide it or are not divided by processes.
    """

    def __init__(
        self, network: MocoNetwork, material: Material, card: InputCard, settings: MocoSettings, batches: BatchSettings
    ) -> None:
        _check(len(material.crops), batches)
        self.network = network
        self.sampler = EpochSampler(len(material.crops), batches.size, batches.seed)
        self._material = material
        self._card = card
        self._settings = settings
        self._batches = batches
        self._begins = material.begins()
        self._new: tuple[Tensor, Tensor] | None = None

    def batch(self, step: int) -> MocoBatch:
        """See `trainer.Task`."""
        settings = self._batches
        rng = np.random.default_rng([settings.seed, 1, step])
        first = self.sampler.rows(step)
        second = self.pick_second(first, rng) if settings.by_tracklet else first
        size = (self._material.crops.shape[1], self._material.crops.shape[2])
        looks = [draw_views(rng, settings.size, size, settings.views) for _ in range(2)]
        order = rng.permutation(settings.size) if settings.shards > 1 else np.arange(settings.size)
        return MocoBatch(
            self._own_shards(np.arange(settings.size), first, looks[0]),
            self._own_shards(order, second, looks[1]),
            order,
            self._material.tracklets[first],
        )

    def pick_second(self, first: Rows, rng: np.random.Generator) -> Rows:
        """For each crop another one of its tracklet, each as likely; itself where it is alone."""
        tracklets = self._material.tracklets[first]
        begins, counts = self._begins[tracklets], np.diff(self._begins)[tracklets]
        further = rng.integers(1, np.maximum(counts, 2))
        return np.asarray(begins + (first - begins + further) % counts, np.int64)

    def _own_shards(self, order: Rows, crops: Rows, looks: Draws) -> tuple[Shard, ...]:
        each = self._batches.shards // rank_count()
        own = np.split(order, self._batches.shards)[rank() * each : (rank() + 1) * each]
        return tuple(Shard(rows, self._material.crops[crops[rows]], looks.select(rows)) for rows in own)

    def losses(self, batch: MocoBatch, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """See `trainer.Task`: ``contrast``, shard by shard."""
        tracklets = torch.from_numpy(batch.tracklets).to(device)
        keys = self._encode_keys(batch, device)
        statistics = ShardStatistics(self.network.query)
        for shard in batch.queries:
            statistics.begin_shard()
            queries = self.network.query(self._see(shard, device))
            statistics.end_shard()
            rows = torch.from_numpy(shard.rows).to(device)
            with torch.autocast(device.type, enabled=False):
                loss = info_nce(
                    queries,
                    keys[rows],
                    self.network.queue.keys,
                    self._spared(tracklets[rows]),
                    self._settings.temperature,
                )
            yield {"contrast": loss / len(batch.queries)}
        statistics.settle()
        self._new = keys, tracklets

    @torch.no_grad()
    def _encode_keys(self, batch: MocoBatch, device: torch.device) -> Tensor:
        """The keys of the whole batch ``(B, dim)``, in its order, on every process."""
        statistics = ShardStatistics(self.network.key)
        own = []
        for shard in batch.keys:
            statistics.begin_shard()
            own.append(self.network.key(self._see(shard, device)))
            statistics.end_shard()
        statistics.settle()
        shuffled = gather_rows(torch.cat(own))
        keys = torch.empty_like(shuffled)
        keys[torch.from_numpy(batch.order).to(device)] = shuffled
        return keys

    def _see(self, shard: Shard, device: torch.device) -> Tensor:
        with torch.autocast(device.type, enabled=False):
            return make_views(torch.from_numpy(shard.crops).to(device), shard.draws, self._card)

    def _spared(self, tracklets: Tensor) -> Tensor | None:
        if not self._settings.spare_own:
            return None
        return tracklets[:, None] == self.network.queue.tracklets[None]

    def after_step(self) -> None:
        """See `trainer.Task`: the key network follows, the queue takes the new keys."""
        if self._new is None:
            return
        self.network.follow(self._settings.momentum)
        self.network.queue.add(*self._new)
        self._new = None


def _check(crops: int, batches: BatchSettings) -> None:
    if crops < batches.size:
        raise TrainingError(
            f"training.batch_size: {batches.size}: expected at most the number of crops, {crops}: "
            "collect more, or use a recipe with smaller batches"
        )
    if batches.size % batches.shards:
        raise TrainingError(f"training.shards: {batches.shards}: expected a divisor of batch_size, {batches.size}")
    if batches.shards % rank_count():
        raise TrainingError(
            f"training.shards: {batches.shards}: expected a multiple of the number of processes, {rank_count()}"
        )
