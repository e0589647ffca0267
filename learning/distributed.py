"""Several processes that learn one network together, as `torchrun` starts them; alone, everything here does nothing.

Each process (a rank) works on its part of a batch; gradients are averaged, so all networks stay the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")


@contextmanager
def join_ranks() -> Iterator[None]:
    """Joins the other processes where `torchrun` started this one: over NCCL with GPUs, one each, else over Gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; only the first one writes files."""
    return distributed.get_rank() if _together() else 0


def rank_count() -> int:
    """Number of processes."""
    return distributed.get_world_size() if _together() else 1


@torch.no_grad()
def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors, of one type and on one device, by their means over all ranks, in one message."""
    if not _together() or not tensors:
        return
    flat = torch.cat([each.reshape(-1) for each in tensors])
    distributed.all_reduce(flat)
    parts = (flat / rank_count()).split([each.numel() for each in tensors])
    for each, part in zip(tensors, parts, strict=True):
        each.copy_(part.view_as(each))


@torch.no_grad()
def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks ``(ranks * n, ...)``, in order of rank; each has as many."""
    if not _together():
        return rows
    parts = [torch.empty_like(rows) for _ in range(rank_count())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def take_from_first(value: Value) -> Value:
    """The first rank's value, on every rank; the others wait for it."""
    if not _together():
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
