"""Saves a vector index and is killed at a named step, for `test_vector_index_file`."""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from reid_pipeline.storage import vector_index_file, vector_index_ivf, vector_quick
from reid_pipeline.storage.vector_index_file import IndexFiles
from tests.storage.vector_reference import draw

STEPS = ("_write_segments", "_write_newest", "_replace_manifest", "_remove_others")


def change(index):
    """Adds a segment, and something to the open part, and leaves out some of all."""
    rng = np.random.default_rng(3)
    index.add(draw(rng, 1_000, 150))
    index.settle()
    index.add(draw(rng, 2_000, 20))
    index.remove(np.array([7, 333, 1_010]))


def main(folder, step, when):
    vector_index_ivf.SEAL_ROWS, vector_quick.QUICK_ROWS = 200, 150
    files = IndexFiles(Path(folder), "a" * 64)
    index = files.load()
    change(index)
    real = getattr(vector_index_file.IndexFiles, step)

    def dying(*arguments):
        if when == "after":
            real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(vector_index_file.IndexFiles, step, dying)
    files.save(index)


if __name__ == "__main__":
    main(*sys.argv[1:])
