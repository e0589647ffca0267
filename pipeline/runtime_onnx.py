"""ONNX Runtime: reads every ONNX graph, also where OpenVINO lacks an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reid_pipeline.pipeline.runtime import Array, Engine, Size
from reid_pipeline.pipeline.runtime_requests import PooledRuntime
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard

_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


class OnnxRuntime(PooledRuntime):
    """An ONNX graph on ONNX Runtime.

    Args:
        path: The `.onnx` file.
        card: How pixels become the graph's input.
        size: Height and width of its input; by default those of the card.
        engine: Where to compute; by default on the processor.

    Raises:
        ModelError: ONNX Runtime is not installed, or cannot run the graph at this size.
    """

    def __init__(self, path: Path, card: InputCard, size: Size | None = None, engine: Engine | None = None) -> None:
        engine = engine or Engine("onnxruntime", "f32")
        session = _open(path, engine)
        entry = session.get_inputs()[0]
        wanted = [1, 3, *(size or (card.height, card.width))]
        if any(isinstance(side, int) and side != want for side, want in zip(entry.shape, wanted, strict=False)):
            raise ModelError(f"{path}: its input is {entry.shape}: ONNX Runtime cannot set it to {wanted}")

        def compute(images: Array) -> Array:
            output: Array = session.run(None, {entry.name: images})[0]
            return output

        super().__init__(engine, card, compute)


def _open(path: Path, engine: Engine) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{path}: ONNX Runtime is not installed: pip install 'reid-pipeline[cpu]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised, and told in our words
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_PROVIDERS[engine.device])
    except Exception as error:  # ONNX Runtime's own classes share no base
        raise ModelError(f"{path}: not a readable ONNX graph: {str(error).splitlines()[0]}") from error
    if session.get_providers()[0] != _PROVIDERS[engine.device][0]:
        raise ModelError(f"{path}: ONNX Runtime found no way to compute on {engine.device}")
    return session
