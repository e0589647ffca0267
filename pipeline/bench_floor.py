"""The floor of every speed figure: one detector alone, nothing decoded, nothing tracked.

Run as `python -m reid_pipeline.pipeline.bench_floor MODEL`: prints frames per second. The graph runs as it was exported
(a square input), on random pictures, with as many requests under way as the processor likes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import openvino as ov

from reid_pipeline.storage.model_card import load_model

_WARM_UP, _COUNTED = 20, 300
_SEED: Final = 0


def measure_floor(model: Path) -> float:
    """Frames per second of a detector graph at its own input size, by OpenVINO's throughput hint."""
    core = ov.Core()
    graph = core.read_model(load_model(model).graph)
    queue = ov.AsyncInferQueue(core.compile_model(graph, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"}))
    picture = np.random.default_rng(_SEED).random(tuple(graph.inputs[0].shape), dtype=np.float32)
    seconds = 0.0
    for count in (_WARM_UP, _COUNTED):
        start = time.perf_counter()
        for _ in range(count):
            queue.start_async({0: picture})
        queue.wait_all()
        seconds = time.perf_counter() - start
    return _COUNTED / seconds


if __name__ == "__main__":
    sys.stdout.write(f"{measure_floor(Path(sys.argv[1])):.2f}\n")
