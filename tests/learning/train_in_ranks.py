"""A few steps of momentum contrast on a toy site; started by `test_ranks`, alone or as one of several processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from reid_pipeline.learning.augment import ViewSettings
from reid_pipeline.learning.distributed import join_ranks
from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.moco import MocoNetwork, MocoSettings
from reid_pipeline.learning.moco_task import BatchSettings, MocoTask
from reid_pipeline.learning.pixels import input_card
from reid_pipeline.learning.sgd_plan import SgdPlan
from reid_pipeline.learning.trainer import Trainer
from tests.learning.sites import SIZE, make_material

STEPS = 6


def train(folder: Path, shards: int) -> MocoTask:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    settings = MocoSettings(queue=11, dim=5, momentum=0.9, spare_own=True)
    network = MocoNetwork(EncoderNetwork(backbone, 6, 8), settings)
    batches = BatchSettings(8, shards, by_tracklet=True, views=ViewSettings(), seed=3)
    task = MocoTask(network, make_material(), input_card(*SIZE), settings, batches)
    Trainer(task, SgdPlan(STEPS, 0.05, 1e-4, 0, epoch_steps=2), folder, torch.device("cpu")).run()
    return task


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_ranks():
        train(Path(sys.argv[1]), int(sys.argv[2]))
