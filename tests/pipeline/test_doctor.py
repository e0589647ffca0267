import json
import sys
from pathlib import Path

import pytest

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.doctor import Finding, can_run, check_machine, check_models
from reid_pipeline.pipeline.doctor_probes import ONNX_RUNTIME, OPENVINO, PYAV, run_probe
from reid_pipeline.pipeline.serving import SiteModels
from reid_pipeline.storage.model_card import load_model
from tests.storage.model_folders import make_model


def _model(folder: Path, **card: object) -> Path:
    task = {"task": "detect", "output": {"head": "yolox"}} if folder.name == "detector" else {}
    make_model(folder, **{**task, **card})
    return folder / "graph.onnx"


def _settings(detector: object, encoder: object, data_dir: Path) -> Settings:
    cameras = {"hall": {"inputs": [{"path": "a.mp4"}]}}
    sections = {"detector": {"model": str(detector)}, "encoder": {"model": str(encoder)}}
    return Settings.model_validate({"cameras": cameras, "site": {"data_dir": data_dir}, **sections})


def _findings(detector: object, encoder: object = "no-such-encoder") -> list[Finding]:
    return check_models(_settings(detector, encoder, Path("no-such-folder")))


def test_this_machine_can_run() -> None:
    loaded = "torch" in sys.modules  # by another test
    findings = check_machine()
    by_name = {finding.name: finding for finding in findings}
    assert len(by_name) == len(findings)
    assert can_run(findings)
    assert by_name[PYAV].ok
    assert by_name[OPENVINO].ok
    assert "CPU" in by_name[OPENVINO].detail
    for name in ("GStreamer", "bf16", "INT8 (VNNI)", "TensorRT", "PyTorch", "NVIDIA GPU", "GPU render nodes"):
        assert name in by_name
    assert ("torch" in sys.modules) == loaded


@pytest.mark.parametrize(
    ("working", "expected"),
    [
        ({PYAV, OPENVINO}, True),
        ({PYAV, ONNX_RUNTIME}, True),
        ({PYAV}, False),
        ({OPENVINO, ONNX_RUNTIME}, False),
    ],
)
def test_a_decoder_and_a_runtime_are_enough(working: set[str], expected: bool) -> None:
    findings = [Finding(name, name in working, "") for name in (PYAV, OPENVINO, ONNX_RUNTIME)]
    assert can_run(findings) is expected


def test_a_library_that_is_not_installed_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what Python does for a module that cannot be imported
    (finding,) = run_probe(ONNX_RUNTIME)
    assert (finding.ok, finding.detail) == (False, "not installed")
    assert "pip install" in finding.remedy


def test_a_library_that_crashes_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text("import os\nos.abort()\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    findings = check_machine()
    pyav = next(finding for finding in findings if finding.name == PYAV)
    assert (pyav.ok, pyav.detail) == (False, "installed but broken: killed by signal 6")
    assert not can_run(findings)


def test_licences_are_read_from_the_cards(tmp_path: Path) -> None:
    detector = _model(tmp_path / "detector", licence="Apache-2.0", trained_on=["COCO", "own footage"])
    encoder = _model(tmp_path / "encoder", licence="MIT")
    assert _findings(detector.parent, encoder) == [
        Finding("detector detector", True, "licence Apache-2.0; trained on COCO, own footage"),
        Finding("encoder graph.onnx", True, "licence MIT; trained on unknown"),
    ]


def test_a_broken_model_is_reported(tmp_path: Path) -> None:
    graph = _model(tmp_path / "detector")
    graph.write_bytes(b"changed")
    finding = _findings(graph)[0]
    assert not finding.ok
    assert "sha256.graph.onnx" in finding.detail


def test_a_card_without_a_licence_is_reported(tmp_path: Path) -> None:
    finding = _findings(_model(tmp_path / "detector", licence="unknown"))[0]
    assert (finding.ok, finding.detail) == (False, f"{tmp_path / 'detector' / 'model.json'} names no licence")
    assert finding.remedy


def test_a_model_without_a_card_is_reported(tmp_path: Path) -> None:
    graph = _model(tmp_path / "detector")
    (tmp_path / "detector/model.json").unlink()
    detector, encoder = _findings(graph)
    assert detector.detail == "licence unknown: no model.json beside it"
    assert "encoder.model: no-such-encoder: no such file or folder" in encoder.detail


def test_the_encoder_in_service_is_named(tmp_path: Path) -> None:
    detector, encoder = _model(tmp_path / "detector"), _model(tmp_path / "encoder")
    base = load_model(encoder).identity
    make_model(tmp_path / "data" / "models" / "adapted", b"adapted", parent=base)
    settings = _settings(detector, encoder, tmp_path / "data")
    assert len(check_models(settings)) == 2
    SiteModels(tmp_path / "data", base).promote("adapted", "")
    assert check_models(settings)[2] == Finding("encoder in service", True, f"adapted, promoted from {encoder}")
    (tmp_path / "data" / "models" / "adapted" / "graph.onnx").unlink()
    missing = check_models(settings)[2]
    assert not missing.ok
    assert "reid-pipeline model rollback" in missing.remedy


def test_doctor_as_json_with_the_models_of_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _model(tmp_path / "detector", licence="Apache-2.0")
    config = tmp_path / "cameras.yaml"
    config.write_text("cameras: {hall: {inputs: [{path: a.mp4}]}}\ndetector: {model: ./detector}\n", encoding="utf-8")
    assert run_command_line(["doctor", "--config", str(config), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"] is True
    assert {"name", "ok", "detail", "remedy"} == set(report["findings"][0])
    assert report["models"][0]["detail"] == "licence Apache-2.0; trained on unknown"


def test_doctor_still_looks_at_the_machine_where_cameras_yaml_is_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.yaml").write_text("cameras: {}\n", encoding="utf-8")
    assert run_command_line(["doctor"]) == 0
    text = capsys.readouterr().out
    assert OPENVINO in text
    assert "cameras.yaml:1: cameras: a mapping of 0" in text
