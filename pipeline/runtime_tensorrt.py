"""TensorRT: engines built from ONNX for one NVIDIA GPU, kept in the cache.

Written against the API of TensorRT 10 and 11; see the README for what of it has been run. Networks are strongly typed:
the precision stands in the graph, so the graph is halved first (`onnx_half`) and keeps its inputs and outputs in
float32. Building takes minutes; `runtime_serving` lets another runtime serve meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from reid_pipeline.pipeline.runtime import Array, Engine, Size, cache_folder
from reid_pipeline.pipeline.runtime_requests import BatchingRuntime
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard

MIN_BATCH: Final = 1
BEST_BATCH: Final = 8  # what the kernels are tuned for: about the cameras of one machine
MAX_BATCH: Final = 16
_WORKSPACE_BYTES: Final = 2 << 30
_REMEDY: Final = "on a machine with an NVIDIA GPU: pip install 'reid-pipeline[gpu]'"


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What a compiled engine depends on; another value of any of these is another engine."""

    model_hash: str
    size: Size
    device: str
    version: str
    precision: str

    @property
    def path(self) -> Path:
        """Where the engine is kept."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:32]
        return cache_folder() / "tensorrt" / f"{digest}.engine"

    @property
    def timing_cache(self) -> Path:
        """Measured kernels, shared by all engines of one device and version."""
        digest = hashlib.sha256(f"{self.device} {self.version}".encode()).hexdigest()[:32]
        return cache_folder() / "tensorrt" / f"{digest}.timing"


class TensorRtRuntime(BatchingRuntime):
    """A graph on TensorRT; its engine is taken from the cache, or built and put there.

    Args:
        graph: The `.onnx` file.
        card: How pixels become the graph's input.
        engine: What computes.
        key: What the engine depends on.

    Raises:
        ModelError: TensorRT is not installed, finds no GPU, or cannot build the graph.
    """

    def __init__(self, graph: Path, card: InputCard, engine: Engine, key: EngineKey) -> None:
        trt, cudart = _load_libraries(graph)
        logger = trt.Logger(trt.Logger.WARNING)
        if not key.path.is_file():
            _write(key.path, _build(trt, logger, graph, key))
        plan = trt.Runtime(logger).deserialize_cuda_engine(key.path.read_bytes())
        if plan is None:
            key.path.unlink(missing_ok=True)  # torn, or of another version after all: built anew next time
            raise ModelError(f"{graph}: TensorRT cannot load the engine that it built")
        execution = _Execution(trt, cudart, plan)
        super().__init__(engine, card, execution, execution.max_batch)


def _load_libraries(graph: Path) -> tuple[Any, Any]:
    try:
        import tensorrt
        from cuda.bindings import runtime
    except ImportError as error:
        raise ModelError(f"{graph}: TensorRT cannot be loaded ({error}): {_REMEDY}") from error
    return tensorrt, runtime


def _build(trt: Any, logger: Any, graph: Path, key: EngineKey) -> bytes:
    from reid_pipeline.pipeline.onnx_half import halve

    builder = trt.Builder(logger)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    # From version 11 on every network is strongly typed and the flag is deprecated.
    network = builder.create_network(strongly_typed if int(trt.__version__.split(".")[0]) < 11 else 0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(halve(graph.read_bytes())):
        reasons = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ModelError(f"{graph}: TensorRT cannot read it: {reasons[:200]}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    _add_profile(builder, network, config, key.size)
    known = key.timing_cache.read_bytes() if key.timing_cache.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"{graph}: TensorRT cannot build it; its log says why")
    _write(key.timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _add_profile(builder: Any, network: Any, config: Any, size: Size) -> None:
    """Sets which batches the engine takes; a graph with a fixed batch takes only that."""
    image = network.get_input(0)
    wanted = (-1, 3, *size)
    if any(-1 not in (side, want) and side != want for side, want in zip(image.shape, wanted, strict=False)):
        raise ModelError(f"{network.name}: its input is {tuple(image.shape)}: TensorRT cannot set it to {wanted}")
    if -1 not in tuple(image.shape):
        return
    batches = (MIN_BATCH, BEST_BATCH, MAX_BATCH) if image.shape[0] == -1 else (image.shape[0],) * 3
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, *((batch, 3, *size) for batch in batches))
    config.add_optimization_profile(profile)


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: several processes may build the same engine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)


class _Execution:
    """One engine with its stream and its buffers on the GPU; used by one thread."""

    def __init__(self, trt: Any, cudart: Any, plan: Any) -> None:
        self._cudart = cudart
        self._plan = plan  # the context does not keep it alive
        self._context = plan.create_execution_context()
        names = [plan.get_tensor_name(index) for index in range(plan.num_io_tensors)]
        inputs = [name for name in names if plan.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        self._input, self._output = inputs[0], outputs[0]
        largest = tuple(plan.get_tensor_shape(self._input))
        if -1 in largest:
            largest = tuple(plan.get_tensor_profile_shape(self._input, 0)[2])
        self.max_batch = int(largest[0])
        self._stream = self._call(cudart.cudaStreamCreate())
        self._context.set_input_shape(self._input, largest)
        self._buffers = {name: self._allocate(name) for name in names}

    def __call__(self, images: Array) -> Array:
        """Computes ``(N, 3, H, W) float32``; waits for the first output."""
        copy, kind = self._cudart.cudaMemcpyAsync, self._cudart.cudaMemcpyKind
        images = np.ascontiguousarray(images, np.float32)
        self._context.set_input_shape(self._input, images.shape)
        found = np.empty(tuple(self._context.get_tensor_shape(self._output)), np.float32)
        to_device, to_host = kind.cudaMemcpyHostToDevice, kind.cudaMemcpyDeviceToHost
        self._call(copy(self._buffers[self._input], images.ctypes.data, images.nbytes, to_device, self._stream))
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeError("TensorRT could not start; its log says why")
        self._call(copy(found.ctypes.data, self._buffers[self._output], found.nbytes, to_host, self._stream))
        self._call(self._cudart.cudaStreamSynchronize(self._stream))
        return found

    def _allocate(self, name: str) -> int:
        size_bytes = int(np.prod(tuple(self._context.get_tensor_shape(name)))) * 4  # inputs and outputs are float32
        address = int(self._call(self._cudart.cudaMalloc(size_bytes)))
        self._context.set_tensor_address(name, address)
        return address

    def _call(self, result: tuple[Any, ...]) -> Any:
        """Takes the value out of what a call of the CUDA runtime returns."""
        error, *values = result
        if error != self._cudart.cudaError_t.cudaSuccess:
            raise RuntimeError(f"CUDA: {error.name}")
        return values[0] if values else None
