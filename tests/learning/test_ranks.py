"""Two processes over Gloo against one process that does both shards itself."""

import os
import socket
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.distributed import (  # noqa: E402  # only where torch is
    average_over_ranks,
    gather_rows,
    join_ranks,
    rank,
    rank_count,
    take_from_first,
)
from reid_pipeline.learning.trainer import CHECKPOINT_NAME  # noqa: E402
from tests.learning.train_in_ranks import train  # noqa: E402

pytestmark = pytest.mark.learning


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train_in_two(folder):
    """As `torchrun --nproc-per-node 2` would start them."""
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "tests.learning.train_in_ranks", str(folder), "2"]
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(each), "LOCAL_RANK": str(each)})
        for each in range(2)
    ]
    assert [each.wait(200) for each in started] == [0, 0]


def test_two_processes_learn_the_same_as_one_with_both_shards(tmp_path):
    train_in_two(tmp_path / "two")
    train(tmp_path / "one", 2)
    two, one = (torch.load(tmp_path / name / CHECKPOINT_NAME, weights_only=True) for name in ("two", "one"))
    assert two["step"] == one["step"]
    for part in ("network", "average"):  # queue, key network and statistics among them
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, rtol=0, atol=1e-5, msg=f"{part} {name}")


def test_without_other_processes_nothing_is_done(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks():
        assert (rank(), rank_count()) == (0, 1)
        value = torch.ones(2, 3)
        average_over_ranks([value])
        assert torch.equal(value, torch.ones(2, 3))
        assert gather_rows(value) is value
        assert take_from_first("here") == "here"
