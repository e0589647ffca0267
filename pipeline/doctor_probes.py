"""Looks at one library that decodes or computes, in a process of its own.

Drivers and native libraries can end the whole process, and some do when others were loaded before them: GStreamer after
PyAV makes OpenVINO crash. So `doctor` starts this module once for each probe, and a crash is a finding.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

PYAV: Final = "PyAV (FFmpeg)"
GSTREAMER: Final = "GStreamer"
OPENVINO: Final = "OpenVINO"
ONNX_RUNTIME: Final = "ONNX Runtime"
TENSORRT: Final = "TensorRT"

_GSTREAMER_REMEDY = (
    "apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav "
    "gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 libgirepository1.0-dev libcairo2-dev pkg-config gcc python3-dev, "
    "then pip install 'reid-pipeline[gstreamer]'"
)
_GSTREAMER_ELEMENTS = ("appsink", "decodebin", "rtspsrc", "h264parse", "avdec_h264")
_GSTREAMER_HARDWARE = ("nvh264dec", "vah264dec", "vaapih264dec", "qsvh264dec", "v4l2h264dec", "v4l2slh264dec")
_FFMPEG_DEVICES = {"cuda": "nvidia[0-9]*", "vaapi": "dri/renderD*", "qsv": "dri/renderD*", "drm": "dri/renderD*"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was looked at.
        ok: Whether it works.
        detail: What was found, with versions.
        remedy: How to get it where it does not work; else empty.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        """The fields by name, for JSON."""
        return asdict(self)


class Probe(NamedTuple):
    """How to look at one library: its module, what to check in it, how to get it."""

    module: str
    check: Callable[[ModuleType], list[Finding]]
    remedy: str


def run_probe(name: str) -> list[Finding]:
    """Imports a library of `PROBES` and looks at it; whatever goes wrong is a finding, not an error."""
    probe = PROBES[name]
    try:
        return probe.check(importlib.import_module(probe.module))
    except ModuleNotFoundError:
        return [Finding(name, False, "not installed", probe.remedy)]
    except Exception as error:  # foreign libraries raise what they like when a driver or a file is missing
        detail = " ".join(str(error).split())
        return [Finding(name, False, f"installed but broken: {type(error).__name__}: {detail}", probe.remedy)]


def _check_pyav(av: Any) -> list[Finding]:
    found = [Finding(PYAV, True, f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}")]
    kinds = importlib.import_module("av.codec.hwaccel").hwdevices_available()
    usable = [kind for kind in kinds if kind in _FFMPEG_DEVICES and any(Path("/dev").glob(_FFMPEG_DEVICES[kind]))]
    detail = f"built for {', '.join(kinds) or 'none'}; devices here for {', '.join(usable) or 'none'}"
    remedy = "" if usable else "decoding runs on the processor; needs a GPU with its driver"
    return [*found, Finding("FFmpeg hardware decoders", bool(usable), detail, remedy)]


def _check_gstreamer(gi: Any) -> list[Finding]:
    gi.require_version("Gst", "1.0")
    gst = importlib.import_module("gi.repository.Gst")
    gst.init(None)
    missing = [name for name in _GSTREAMER_ELEMENTS if gst.ElementFactory.find(name) is None]
    hardware = [name for name in _GSTREAMER_HARDWARE if gst.ElementFactory.find(name) is not None]
    detail = gst.version_string() + (f" without {', '.join(missing)}" if missing else "")
    hardware_remedy = (
        "" if hardware else "needs a GPU with its driver and gstreamer1.0-plugins-bad or gstreamer1.0-vaapi"
    )
    return [
        Finding(GSTREAMER, not missing, detail, _GSTREAMER_REMEDY if missing else ""),
        Finding("GStreamer hardware decoders", bool(hardware), ", ".join(hardware) or "none", hardware_remedy),
    ]


def _check_openvino(openvino: Any) -> list[Finding]:
    core = openvino.Core()
    devices = [f"{device} ({core.get_property(device, 'FULL_DEVICE_NAME')})" for device in core.available_devices]
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    flags = _processor_flags()
    vnni = sorted(flags & {"avx_vnni", "avx512_vnni", "amx_int8"})
    return [
        Finding(OPENVINO, bool(devices), f"{openvino.__version__}, devices {', '.join(devices) or 'none'}"),
        Finding(
            "bf16",
            "BF16" in capabilities,
            "supported by the processor" if "BF16" in capabilities else "not supported: models run in fp32",
        ),
        Finding(
            "INT8 (VNNI)",
            bool(vnni),
            ", ".join(vnni) if vnni else "no VNNI instructions: INT8 models gain little here",
        ),
    ]


def _check_onnx_runtime(onnxruntime: Any) -> list[Finding]:
    providers = ", ".join(onnxruntime.get_available_providers())
    return [Finding(ONNX_RUNTIME, True, f"{onnxruntime.__version__}, providers {providers}")]


def _check_tensorrt(tensorrt: Any) -> list[Finding]:
    """What `runtime_tensorrt` needs: the library, the CUDA runtime's binding, and a GPU."""
    error, count = importlib.import_module("cuda.bindings.runtime").cudaGetDeviceCount()
    detail = f"{tensorrt.__version__}, {count or 'no'} GPU{'' if count == 1 else 's'} ({error.name})"
    return [Finding(TENSORRT, bool(count), detail, "" if count else "needs an NVIDIA GPU and its driver")]


def _processor_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The processor's instruction sets as Linux names them; empty on other systems."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


PROBES: Final[dict[str, Probe]] = {
    PYAV: Probe("av", _check_pyav, "pip install 'av>=14'"),
    GSTREAMER: Probe("gi", _check_gstreamer, _GSTREAMER_REMEDY),
    OPENVINO: Probe("openvino", _check_openvino, "pip install 'openvino>=2025.0'"),
    ONNX_RUNTIME: Probe("onnxruntime", _check_onnx_runtime, "pip install 'reid-pipeline[cpu]' or [gpu]"),
    TENSORRT: Probe("tensorrt", _check_tensorrt, "on a machine with an NVIDIA GPU: pip install 'reid-pipeline[gpu]'"),
}

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps([finding.as_dict() for finding in run_probe(sys.argv[1])]) + "\n")
