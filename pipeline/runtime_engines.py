"""What could compute a graph on this machine, and how each of these engines is built."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reid_pipeline.pipeline.runtime import Engine, Runtime, RuntimeName, Size
from reid_pipeline.pipeline.runtime_onnx import OnnxRuntime
from reid_pipeline.pipeline.runtime_openvino import OpenVinoRuntime, native_engine, processor_name
from reid_pipeline.pipeline.runtime_tensorrt import EngineKey, TensorRtRuntime
from reid_pipeline.pipeline.runtime_torch import build_torch, find_program
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, Model

if TYPE_CHECKING:
    import openvino as ov

# The packages that a runtime's version is read from: the first that is installed.
PACKAGES: Final[dict[RuntimeName, tuple[str, ...]]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "torch": ("torch",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
_REMEDIES: Final[dict[RuntimeName, str]] = {
    "openvino": "pip install openvino",
    "onnxruntime": "pip install 'reid-pipeline[cpu]'",
    "torch": "pip install 'reid-pipeline[learning]'",
    "tensorrt": "pip install 'reid-pipeline[gpu]'",
}
_OPENVINO_SINGLE: Final = Engine("openvino", "f32")
_ONNX_SINGLE: Final = Engine("onnxruntime", "f32")
_NVIDIA_DRIVER: Final = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A model's graph at one input size.

    Attributes:
        model: The model that it belongs to.
        model_hash: That model's hash.
        card: How pixels become the graph's input.
        size: Height and width of the input.
        read: Gives a fresh copy for OpenVINO, set to one image of `size`; None where OpenVINO cannot read it.
        trust: Whether a torch program beside it may be loaded.
    """

    model: Model
    model_hash: str
    card: InputCard
    size: Size
    read: Callable[[], ov.Model] | None
    trust: bool = False


def check_wanted(wanted: str, graph: Graph) -> None:
    """Checks that the runtime of a setting is here.

    Raises:
        ModelError: It is not installed, has no device, or there is none at all for this graph.
    """
    name = graph.model.name
    for runtime in PACKAGES:
        if runtime == wanted and not is_installed(runtime):
            raise ModelError(f"{name}: runtime {runtime} is not installed: {_REMEDIES[runtime]}, or set runtime: auto")
    if wanted == "tensorrt" and not gpu_names():
        raise ModelError(f"{name}: runtime tensorrt needs an NVIDIA GPU: none is here, set runtime: auto")
    if not engines_for(graph, wanted):
        raise ModelError(
            f"{graph.model.graph}: OpenVINO cannot read it: {_REMEDIES['onnxruntime']} to try ONNX Runtime"
        )


def engines_for(graph: Graph, wanted: str) -> tuple[tuple[Engine, ...], ...]:
    """The engines that may serve a graph, preferred ones first; of each group the first that agrees takes part.

    Args:
        graph: The graph.
        wanted: The name of a runtime, or ``auto``: on a processor OpenVINO and ONNX Runtime, on an NVIDIA GPU also the
            others, where they are installed.
    """
    if wanted == "auto":
        offered = [_engines(name, graph) for name in PACKAGES if _is_candidate(name, graph)]
    else:
        offered = [_engines(name, graph) for name in PACKAGES if name == wanted]
    return tuple(group for group in offered if group)


def reference_engines(graph: Graph, wanted: str) -> tuple[Engine, ...]:
    """What others are compared with, in single precision: the first of these that can be built.

    ONNX Runtime is what the format's authors made, so it comes first; a graph that is to run on it is compared with
    OpenVINO.
    """
    single: list[Engine] = []
    if wanted != "onnxruntime" and graph.model.graph.suffix == ".onnx" and is_installed("onnxruntime"):
        single.append(_ONNX_SINGLE)
    if graph.read is not None:
        single.append(_OPENVINO_SINGLE)
    return tuple(single)


def build_runtime(graph: Graph, engine: Engine) -> Runtime:
    """Compiles a graph.

    Raises:
        ModelError: The engine cannot compute it here; the message says why.
    """
    path = graph.model.graph
    match engine.runtime:
        case "openvino":
            if graph.read is None:
                raise ModelError(f"{path}: OpenVINO cannot read it")
            return OpenVinoRuntime(graph.read(), graph.card, engine)
        case "onnxruntime":
            if path.suffix != ".onnx":
                raise ModelError(f"{path}: ONNX Runtime reads .onnx files only")
            return OnnxRuntime(path, graph.card, graph.size, engine)
        case "torch":
            program = find_program(graph.model)
            if program is None:
                raise ModelError(f"{path}: torch needs a program: expected {path.stem}.pt2 beside it and in its card")
            return build_torch(program, graph.card, engine, trust=graph.trust)
        case "tensorrt":
            if path.suffix != ".onnx":
                raise ModelError(f"{path}: TensorRT reads .onnx files only")
            return TensorRtRuntime(path, graph.card, engine, engine_key(graph, engine))


def engine_key(graph: Graph, engine: Engine) -> EngineKey:
    """What a compiled engine of the cache is kept under."""
    return EngineKey(
        graph.model_hash, graph.size, device_name(engine), library_version(engine.runtime), engine.precision
    )


def is_slow_to_build(graph: Graph, engine: Engine) -> bool:
    """Whether building takes minutes, so that another engine should serve meanwhile."""
    return engine.runtime == "tensorrt" and not engine_key(graph, engine).path.is_file()


@cache
def is_installed(name: RuntimeName) -> bool:
    """Whether the runtime's library is there; it is not imported."""
    return importlib.util.find_spec(name) is not None


def library_version(name: RuntimeName) -> str:
    """The version of a runtime's library; ``none`` where it is not installed."""
    for package in PACKAGES[name]:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "none"


def device_name(engine: Engine) -> str:
    """The processor or GPU that the engine computes on."""
    return processor_name() if engine.device == "cpu" else ", ".join(gpu_names())


def gpu_names(driver: Path = _NVIDIA_DRIVER) -> tuple[str, ...]:
    """The NVIDIA GPUs that the driver lists, without loading a library."""
    names = []
    for file in sorted(driver.glob("*/information")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return tuple(names)


def _is_candidate(name: RuntimeName, graph: Graph) -> bool:
    is_onnx = graph.model.graph.suffix == ".onnx"
    match name:
        case "openvino":
            return graph.read is not None
        case "onnxruntime":
            return is_onnx and is_installed("onnxruntime")
        case "torch":
            return bool(gpu_names()) and graph.trust and find_program(graph.model) is not None and is_installed("torch")
        case "tensorrt":
            return bool(gpu_names()) and is_onnx and is_installed("tensorrt")


def _engines(name: RuntimeName, graph: Graph) -> tuple[Engine, ...]:
    gpu = bool(gpu_names())
    match name:
        case "openvino":
            return tuple(dict.fromkeys((native_engine(), _OPENVINO_SINGLE)))
        case "onnxruntime":
            return (Engine("onnxruntime", "f32", "cuda"), _ONNX_SINGLE) if gpu else (_ONNX_SINGLE,)
        case "torch":
            return (Engine("torch", "f32", "cuda" if gpu else "cpu"),)
        case "tensorrt":
            return (Engine("tensorrt", "f16", "cuda"),)
