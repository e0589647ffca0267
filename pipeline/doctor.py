"""What works on this machine: decoders, runtimes, accelerators; and under which licence the models of a site stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.doctor_probes import ONNX_RUNTIME, OPENVINO, PROBES, PYAV, Finding
from reid_pipeline.storage.model_card import models_folder

__all__ = ["Finding", "can_run", "check_machine", "check_models"]

_PROBE_TIMEOUT_S: Final = 60
_NVIDIA_SMI_TIMEOUT_S: Final = 10


def check_machine() -> list[Finding]:
    """Looks at decoders, runtimes and accelerators; takes some seconds. Changes nothing and opens no camera."""
    with ThreadPoolExecutor() as pool:
        probed = [finding for findings in pool.map(_probe, PROBES) for finding in findings]
    return [
        *probed,
        _check_package("TensorRT", "tensorrt", "on a machine with an NVIDIA GPU: pip install 'reid-pipeline[gpu]'"),
        _check_package("PyTorch", "torch", "for training and .pt detectors: pip install 'reid-pipeline[learning]'"),
        _check_nvidia(),
        _check_render_nodes(),
    ]


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether the pipeline can work at all: something decodes, and something computes."""
    works = {finding.name for finding in findings if finding.ok}
    return PYAV in works and bool(works & {OPENVINO, ONNX_RUNTIME})


def check_models(settings: Settings) -> list[Finding]:
    """Reads the licence and the training data of each model of a site from the card beside it."""
    return [
        _check_licence("detector", settings.detector.model),
        _check_licence("encoder", settings.encoder.model),
    ]


def _probe(name: str) -> list[Finding]:
    """Runs one probe in a process of its own."""
    command = [sys.executable, "-m", f"{__package__}.doctor_probes", name]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True)
        return [Finding(**fields) for fields in json.loads(ended.stdout.splitlines()[-1])]
    except subprocess.CalledProcessError as error:
        reason = f"killed by signal {-error.returncode}" if error.returncode < 0 else f"exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"no answer in {_PROBE_TIMEOUT_S} s"
    return [Finding(name, False, f"installed but broken: {reason}", PROBES[name].remedy)]


def _check_package(name: str, package: str, remedy: str) -> Finding:
    """Reads the version without importing: these take seconds."""
    try:
        return Finding(name, True, version(package))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", remedy)


def _check_nvidia() -> Finding:
    name = "NVIDIA GPU"
    nodes = sorted(Path("/dev").glob("nvidia[0-9]*"))
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        if nodes:
            return Finding(name, False, f"{nodes[0]} is there but nvidia-smi fails", "install the NVIDIA driver")
        return Finding(
            name, False, "none", "needs an NVIDIA GPU and its driver; without one the processor does the work"
        )
    return Finding(name, True, "; ".join(listed.strip().splitlines()))


def _check_render_nodes() -> Finding:
    name = "GPU render nodes"
    nodes = sorted(Path("/dev/dri").glob("renderD*"))
    if not nodes:
        return Finding(name, False, "none", "needs an Intel or AMD GPU; in a container, pass --device /dev/dri")
    closed = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return Finding(name, False, f"no access to {', '.join(closed)}", "sudo usermod -aG render $USER, log in again")
    return Finding(name, True, ", ".join(str(node) for node in nodes))


def _check_licence(part: str, model: str) -> Finding:
    name = f"{part} {Path(model).name}"
    if not Path(model).exists() and (models_folder() / Path(model).name).is_dir():
        model = str(models_folder() / Path(model).name)
    if not Path(model).exists():
        detail = "no card to read: " + ("no such file" if Path(model).is_absolute() else "not a path")
        return Finding(
            name, False, detail, f"set {part}.model to the path of a model whose model.json names its licence"
        )
    card_path = (Path(model) if Path(model).is_dir() else Path(model).parent) / "model.json"
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Finding(name, False, "licence unknown: no model.json beside it", "ask its source, and write model.json")
    except (OSError, ValueError) as error:
        return Finding(name, False, f"{card_path}: cannot be read, {' '.join(str(error).split())}", "repair model.json")
    licence = card.get("licence") if isinstance(card, dict) else None
    if not licence:
        return Finding(name, False, f"{card_path} names no licence", "ask the model's source, and add `licence`")
    trained_on = card.get("trained_on") or ["unknown"]
    return Finding(name, True, f"licence {licence}; trained on {', '.join(str(each) for each in trained_on)}")
