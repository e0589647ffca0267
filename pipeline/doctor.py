"""What works on this machine: decoders, runtimes, accelerators; and under which licence the models of a site stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.doctor_probes import ONNX_RUNTIME, OPENVINO, PROBES, PYAV, Finding
from reid_pipeline.pipeline.model_names import Part, find_model, serving_encoder
from reid_pipeline.pipeline.runtime_choice import remembered_choices
from reid_pipeline.storage.errors import ModelError, PromotedModelMissing
from reid_pipeline.storage.model_card import load_model

__all__ = ["Finding", "can_run", "check_machine", "check_models"]

_PROBE_TIMEOUT_S: Final = 60
_NVIDIA_SMI_TIMEOUT_S: Final = 10


def check_machine() -> list[Finding]:
    """Looks at decoders, runtimes and accelerators; takes some seconds. Changes nothing and opens no camera."""
    with ThreadPoolExecutor() as pool:
        probed = [finding for findings in pool.map(_probe, PROBES) for finding in findings]
    return [
        *probed,
        _check_package("PyTorch", "torch", "for training and .pt detectors: pip install 'reid-pipeline[learning]'"),
        _check_package("NNCF", "nncf", "for INT8 models: pip install 'reid-pipeline[learning]'"),
        _check_nvidia(),
        _check_render_nodes(),
        *_check_choices(),
    ]


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether the pipeline can work at all: something decodes, and something computes."""
    works = {finding.name for finding in findings if finding.ok}
    return PYAV in works and bool(works & {OPENVINO, ONNX_RUNTIME})


def check_models(settings: Settings) -> list[Finding]:
    """Reads the licence and the training data of each model of a site from its card, and says which encoder serves."""
    parts: tuple[tuple[Part, str], ...] = (("detector", settings.detector.model), ("encoder", settings.encoder.model))
    findings = [_check_licence(part, model, settings.site.data_dir) for part, model in parts]
    return [*findings, *_check_serving(settings)]


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


def _check_choices() -> list[Finding]:
    """Which engine was chosen for each model that ran here, with what was tried beside it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for choice in remembered_choices():
        name = f"runtime of {choice.model} {choice.model_hash[:8]}"
        found[name].append(f"{choice.size[0]}x{choice.size[1]} {choice}")
    return [Finding(name, True, "; ".join(dict.fromkeys(texts))) for name, texts in found.items()]


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


def _check_licence(part: Part, model: str, data_dir: Path) -> Finding:
    name = f"{part} {Path(model).name}"
    remedy = f"set {part}.model to a model whose model.json names its licence: reid-pipeline model list"
    try:
        found = load_model(find_model(model, part, data_dir))
    except ModelError as error:
        return Finding(name, False, " ".join(str(error).split()), remedy)
    if found.card is None:
        return Finding(name, False, "licence unknown: no model.json beside it", "ask its source, and write model.json")
    if found.licence == "unknown":
        detail = f"{found.graph.parent / 'model.json'} names no licence"
        return Finding(name, False, detail, "ask the model's source, and add `licence`")
    trained_on = ", ".join(found.card.trained_on) or "unknown"
    return Finding(name, True, f"licence {found.licence}; trained on {trained_on}")


def _check_serving(settings: Settings) -> list[Finding]:
    """Which encoder serves, where it is not the configured one."""
    name = "encoder in service"
    try:
        serving = serving_encoder(settings)
    except PromotedModelMissing as error:
        return [Finding(name, False, str(error), f"reid-pipeline model rollback --data {settings.site.data_dir}")]
    except ModelError:  # of the configured one, reported above
        return []
    detail = f"{serving.promoted}, promoted from {settings.encoder.model}"
    return [Finding(name, True, detail)] if serving.promoted else []
