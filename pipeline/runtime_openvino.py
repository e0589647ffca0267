"""OpenVINO's CPU plug-in: the fastest of the runtimes on most processors, and the one that reads IR and ONNX alike."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov
from openvino.preprocess import ColorFormat, PrePostProcessor

from reid_pipeline.pipeline.runtime import QUEUED, Array, Engine, PendingOutput, Pixels, cache_folder, processors
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard


class OpenVinoRuntime:
    """A graph on OpenVINO's CPU plug-in.

    Args:
        graph: A graph with one input ``(1, 3, H, W)``; it is changed.
        card: How pixels become the graph's input.
        engine: The precision to compute in; by default bfloat16 where the processor computes it itself.

    Raises:
        ModelError: OpenVINO cannot compile the graph.
    """

    def __init__(self, graph: ov.Model, card: InputCard, engine: Engine | None = None) -> None:
        self.engine = engine or native_engine()
        streams = processors()
        config = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams),
            "ENABLE_CPU_PINNING": False,  # decoding and tracking need their turn too
            "INFERENCE_PRECISION_HINT": self.engine.precision,
            "CACHE_DIR": str(cache_folder() / "openvino"),
        }
        try:
            compiled = ov.Core().compile_model(_with_preprocessing(graph, card), "CPU", config)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"{graph.get_friendly_name()}: OpenVINO cannot compile it: {reason[:160]}") from error
        self.capacity = streams + QUEUED
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


@cache
def native_engine() -> Engine:
    """OpenVINO on this processor: in bfloat16 where it computes that itself, else in float32."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return Engine("openvino", "bf16" if "BF16" in capabilities else "f32")


@cache
def processor_name() -> str:
    """The processor with what it computes itself, as OpenVINO sees it."""
    core = ov.Core()
    capabilities = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} ({', '.join(capabilities)})"


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
