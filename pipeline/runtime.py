"""Graphs that run: many requests at once on one compiled graph, each answered on its own.

Every request runs on one processor thread, and there are as many threads as processors. On a CPU this gives the highest
throughput (cameras never wait for one another, as they would in a batch), and the result of a request does not depend
on how many processors there are or on what runs beside it: the same files give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import ColorFormat, PrePostProcessor

from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_QUEUED = 2  # requests that wait their turn, so that a thread never runs dry


class PendingOutput(Protocol):
    """An answer on its way."""

    def done(self) -> bool:
        """Whether `result` returns at once."""
        ...

    def result(self) -> Array:
        """Waits for the first output of the graph."""
        ...


class Runtime(Protocol):
    """A graph compiled for inputs ``(1, H, W, 3) uint8`` BGR; scaling and colour order are done inside."""

    capacity: int

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """Starts one request; waits where `capacity` requests are under way."""
        ...


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where compiled graphs are kept; it can be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "reid-pipeline"


class OpenVinoRuntime:
    """A graph on OpenVINO's CPU plug-in, in bfloat16 where the processor computes it itself.

    Args:
        graph: A graph with one input ``(1, 3, H, W)``; it is changed.
        card: How pixels become the graph's input.
    """

    def __init__(self, graph: ov.Model, card: InputCard) -> None:
        core = ov.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        streams = processors()
        config = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams),
            "ENABLE_CPU_PINNING": False,  # decoding and tracking need their turn too
            "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in capabilities else "f32",
            "CACHE_DIR": str(cache_folder() / "openvino"),
        }
        compiled = core.compile_model(_with_preprocessing(graph, card), "CPU", config)
        self.capacity = streams + _QUEUED
        self._requests = [compiled.create_infer_request() for _ in range(self.capacity)]
        self._next = 0

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """See `Runtime`. Requests are used in turn; the one to use next is the oldest."""
        request = self._requests[self._next]
        self._next = (self._next + 1) % self.capacity
        request.wait()
        answer = _OpenVinoOutput(request)
        request.set_callback(lambda _: answer.finish(when_done), None)
        request.set_input_tensor(ov.Tensor(pixels))  # shares the memory, so the answer keeps it alive
        answer.pixels = pixels
        request.start_async()
        return answer


class _OpenVinoOutput:
    def __init__(self, request: ov.InferRequest) -> None:
        self.pixels: Pixels | None = None
        self._request = request
        self._future: Future[Array] = Future()

    def finish(self, when_done: Callable[[], None] | None) -> None:
        # Copied here: the request is used again before its answer may be read.
        try:
            self._future.set_result(self._request.get_output_tensor(0).data.astype(np.float32))
        except RuntimeError as error:
            self._future.set_exception(error)
        if when_done is not None:
            when_done()

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Array:
        return self._future.result()


class OnnxRuntime:
    """An ONNX graph on ONNX Runtime, for graphs that OpenVINO cannot read.

    Args:
        path: The `.onnx` file.
        card: How pixels become the graph's input.

    Raises:
        ModelError: ONNX Runtime is not installed or cannot read the graph either.
    """

    def __init__(self, path: Path, card: InputCard) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"{path}: OpenVINO cannot read it: pip install 'reid-pipeline[cpu]' to try ONNX Runtime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes share no base
            raise ModelError(f"{path}: not a readable ONNX graph: {str(error).splitlines()[0]}") from error
        self._card = card
        self._input = self._session.get_inputs()[0].name
        self._pool = ThreadPoolExecutor(processors(), "onnxruntime")
        self.capacity = processors() + _QUEUED

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """See `Runtime`."""
        future = self._pool.submit(self._run, pixels)
        if when_done is not None:
            future.add_done_callback(lambda _: when_done())
        return future

    def _run(self, pixels: Pixels) -> Array:
        output: Array = self._session.run(None, {self._input: to_network(pixels, self._card)})[0]
        return output.astype(np.float32)


def to_network(pixels: Pixels, card: InputCard) -> Array:
    """What the compiled graphs do inside, in NumPy: ``(N, H, W, 3) uint8`` BGR to ``(N, 3, H, W) float32``."""
    ordered = pixels[..., ::-1] if card.colour == "RGB" else pixels
    scaled = ordered.astype(np.float32) * np.float32(card.pixel_scale)
    normal = (scaled - np.array(card.mean, np.float32)) / np.array(card.std, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), np.float32)


def _with_preprocessing(graph: ov.Model, card: InputCard) -> ov.Model:
    processor = PrePostProcessor(graph)
    tensor = processor.input().tensor()
    tensor.set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps = processor.input().preprocess()
    steps.convert_element_type(ov.Type.f32)
    if card.colour == "RGB":
        steps.convert_color(ColorFormat.RGB)
    if card.pixel_scale != 1.0:
        steps.scale(1.0 / card.pixel_scale)
    if any(card.mean):
        steps.mean(list(card.mean))
    if card.std != (1.0, 1.0, 1.0):
        steps.scale(list(card.std))
    processor.input().model().set_layout(ov.Layout("NCHW"))
    return processor.build()


def read_graph(path: Path) -> ov.Model | None:
    """Reads a graph with OpenVINO; None where it cannot (an operator that it lacks).

    Raises:
        ModelError: It is no graph at all.
    """
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        if path.suffix == ".onnx" and "OpConversionFailure" in str(error):
            return None
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{path}: not a readable model graph: {reason[:160]}") from error
