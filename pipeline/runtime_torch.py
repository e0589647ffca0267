"""PyTorch: a program of `torch.export` that lies beside the model's graph, with CUDA graphs on a GPU.

Torch cannot read ONNX, so this runtime serves models that come with a program: `NAME.pt2` beside `NAME.onnx`, listed in
the card. Loading one can run any code (it may hold pickles), so it is loaded only where the user says ``trust: true``.
Imports torch, which takes seconds: never chosen by `auto` on a processor.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from reid_pipeline.pipeline.runtime import Array, Engine, Runtime, Size
from reid_pipeline.pipeline.runtime_requests import BatchingRuntime, PooledRuntime
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, Model

PROGRAM_SUFFIX: Final = ".pt2"
MAX_BATCH: Final = 16  # images at once on a GPU; CUDA graphs are recorded for its powers of two


def find_program(model: Model) -> Path | None:
    """The model's torch program; None where its card lists none."""
    program = model.graph.with_suffix(PROGRAM_SUFFIX)
    return program if program.name in dict(model.files) else None


def write_program(network: Any, path: Path, size: Size) -> None:
    """Exports a `torch.nn.Module` as a program for batches of any length.

    Args:
        network: Takes ``(N, 3, H, W) float32``; is switched to evaluation.
        path: Where to write; ends in `PROGRAM_SUFFIX`.
        size: Height and width of its input.
    """
    import torch

    example = (torch.zeros(2, 3, *size),)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    torch.export.save(torch.export.export(network.eval(), example, dynamic_shapes=({0: batch},)), path)


def build_torch(program: Path, card: InputCard, engine: Engine, *, trust: bool) -> Runtime:
    """Loads a program.

    Raises:
        ModelError: It is not trusted, torch is not installed, or it is no program.
    """
    if not trust:
        raise ModelError(f"{program}: a torch program can run any code: set trust: true beside the model if you do")
    try:
        import torch
    except ImportError as error:
        raise ModelError(f"{program}: PyTorch is not installed: pip install 'reid-pipeline[learning]'") from error
    try:
        network = torch.export.load(program).module()
    except Exception as error:  # zip, JSON and torch's own errors share no base
        raise ModelError(f"{program}: not a readable torch program: {str(error).splitlines()[0][:160]}") from error
    if engine.device == "cuda":
        return BatchingRuntime(engine, card, _CudaGraphs(torch, network.to("cuda")), MAX_BATCH)
    # One thread a request: what a request gives must not depend on the number of processors.
    return PooledRuntime(engine, card, partial(_compute, torch, network), partial(torch.set_num_threads, 1))


def _compute(torch: Any, network: Any, images: Array) -> Array:
    with torch.inference_mode():
        output: Array = _first(network(torch.from_numpy(images))).numpy()
    return output


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


class _CudaGraphs:
    """The network recorded once for each batch size; replaying a recording costs one launch instead of hundreds."""

    def __init__(self, torch: Any, network: Any) -> None:
        self._torch = torch
        self._network = network
        self._recorded: dict[int, tuple[Any, Any, Any]] = {}  # batch size: graph, its input, its output

    def __call__(self, images: Array) -> Array:
        batch = 1 << (len(images) - 1).bit_length()
        with self._torch.inference_mode():
            if batch not in self._recorded:
                self._recorded[batch] = self._record((batch, *images.shape[1:]))
            graph, given, found = self._recorded[batch]
            given[: len(images)].copy_(self._torch.from_numpy(images))
            graph.replay()
            output: Array = found[: len(images)].float().cpu().numpy()
        return np.ascontiguousarray(output)

    def _record(self, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        cuda = self._torch.cuda
        given = self._torch.zeros(shape, device="cuda")
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):  # capture wants the kernels loaded and their work space allocated
            for _ in range(3):
                self._network(given)
        cuda.current_stream().wait_stream(side)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            found = _first(self._network(given))
        return graph, given, found
