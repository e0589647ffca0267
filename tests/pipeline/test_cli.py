import json
import subprocess
import sys
from pathlib import Path

import pytest

from reid_pipeline.pipeline.cli import COMMANDS, run_command_line

VALID = """\
cameras:
  hall: {inputs: [{path: hall.mp4, fps: 7}], detect: {fps: 2}}
  door: {inputs: [{path: "rtsp://{REID_USER}:{REID_PASSWORD}@10.0.0.5/main"}], enabled: false}
detector: {model: detector.xml}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a valid cameras.yaml, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REID_USER", "admin")
    monkeypatch.setenv("REID_PASSWORD", "hunter2")
    (tmp_path / "cameras.yaml").write_text(VALID, encoding="utf-8")
    for name in ("hall.mp4", "detector.xml"):
        (tmp_path / name).touch()
    return tmp_path


def _error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.rstrip("\n")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--help"]) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f" {name} " in text
        assert command.help in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([name, "--help"]) == 0
    assert f"reid-pipeline {name}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["init", "validate", "doctor", "run", "eval mot", "eval reid", "bench pipeline"])
def test_every_command_has_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([*command.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = ["av", "cv2", "faiss", "gi", "numpy", "onnxruntime", "openvino", "pydantic", "scipy", "sqlalchemy", "yaml"]
    code = (
        "import sys; from reid_pipeline.pipeline.cli import run_command_line; run_command_line(['--help'])\n"
        f"print('imported:', [name for name in {heavy} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "imported: []"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--version"]) == 0
    assert capsys.readouterr().out.startswith("reid-pipeline ")


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["validate"], ["validate", "--no-such-option"], ["run"], ["eval", "mot"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(arguments) == 2
    assert capsys.readouterr().out == ""


def test_init_writes_a_file_that_names_what_to_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["init", "new/site", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "new/site/cameras.yaml"}
    assert run_command_line(["validate", "new/site/cameras.yaml"]) == 2
    assert "cameras.lobby.inputs[0].path: recordings/lobby.mp4: expected a file" in _error_line(capsys)
    (tmp_path / "new/site/recordings").mkdir()
    (tmp_path / "new/site/recordings/lobby.mp4").touch()
    assert run_command_line(["validate", "new/site/cameras.yaml"]) == 0


def test_init_overwrites_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["init"]) == 2
    assert _error_line(capsys).startswith("error: cameras.yaml: exists")
    assert (site / "cameras.yaml").read_text(encoding="utf-8") == VALID
    assert run_command_line(["init", "hall.mp4"]) == 2
    assert _error_line(capsys).startswith("error: hall.mp4: exists")


def test_validate_prints_what_it_would_run(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["validate", "cameras.yaml"]) == 0
    text = capsys.readouterr().out
    for part in ("hall", str(site / "hall.mp4"), "door (disabled)", "rtsp://***@10.0.0.5/main", str(site / "data")):
        assert part in text
    assert "hunter2" not in text


def test_validate_as_json(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["validate", "cameras.yaml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["valid"] is True
    assert plan["cameras"]["hall"] == {
        "enabled": True,
        "input": str(site / "hall.mp4"),
        "backend": "auto",
        "fps": 2.0,
        "start": None,
        "privacy_areas": 0,
        "zones": [],
    }
    assert plan["cameras"]["door"]["input"] == "rtsp://***@10.0.0.5/main"
    assert plan["detector"] == str(site / "detector.xml")
    assert plan["settings"]["cameras.hall.inputs[0].fps"] == 7.0


def test_validate_names_the_zones(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zones = "zones: {till: {points: [[0, 0], [1, 0], [1, 1]]}, exit: {points: [[0, 0], [1, 1], [0, 1]], dwell: 90s}}"
    Path("cameras.yaml").write_text(f"cameras: {{hall: {{inputs: [{{path: hall.mp4}}], {zones}}}}}", encoding="utf-8")
    assert run_command_line(["validate", "cameras.yaml"]) == 0
    assert "till, exit" in capsys.readouterr().out
    assert run_command_line(["validate", "cameras.yaml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cameras"]["hall"]["zones"] == ["till", "exit"]
    assert plan["settings"]["cameras.hall.zones.exit.dwell"] == "90s"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "hall.mp4",
            "cameras.yaml:2: cameras.hall.inputs[0].path: hall.mp4: expected a file, folder or device: there is",
        ),
        ("detector.xml", "cameras.yaml:4: detector.model: detector.xml: expected a model's file or folder: there is"),
    ],
)
def test_validate_names_a_file_that_is_not_there(
    site: Path, capsys: pytest.CaptureFixture[str], missing: str, message: str
) -> None:
    (site / missing).unlink()
    assert run_command_line(["validate", "cameras.yaml"]) == 2
    assert _error_line(capsys) == f"error: {message} no {site / missing}"


def test_validate_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["validate", "--schema"]) == 0
    assert "cameras" in json.loads(capsys.readouterr().out)["properties"]


def test_a_configuration_error_is_one_line_and_verbose_adds_the_traceback(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "cameras.yaml").write_text(VALID + "colour: red\n", encoding="utf-8")
    assert run_command_line(["validate", "cameras.yaml"]) == 2
    assert _error_line(capsys).startswith("error: cameras.yaml:5: colour: red: unknown key")
    assert run_command_line(["validate", "cameras.yaml", "--verbose"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.splitlines()[-1].startswith("error: cameras.yaml:5: colour: red: unknown key")


GT = "1,1,10,10,20,40,1,-1,-1,-1\n2,1,12,10,20,40,1,-1,-1,-1\n"


def test_eval_mot_scores_a_perfect_track_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gt.txt").write_text(GT, encoding="utf-8")
    arguments = ["eval", "mot", "--gt", str(tmp_path / "gt.txt"), "--pred", str(tmp_path / "gt.txt")]
    assert run_command_line([*arguments, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["HOTA"], scores["IDF1"], scores["MOTA"], scores["IDSW"]) == (1.0, 1.0, 1.0, 0)
    assert run_command_line(arguments) == 0
    assert "HOTA" in capsys.readouterr().out


def test_eval_mtmc_scores_a_perfect_site_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gt.txt").write_text("a,1,7,10,10,20,40,1\nb,1,7,50,10,20,40,1\n", encoding="utf-8")
    arguments = ["eval", "mtmc", "--gt", str(tmp_path / "gt.txt"), "--pred", str(tmp_path / "gt.txt"), "--json"]
    assert run_command_line(arguments) == 0
    assert json.loads(capsys.readouterr().out)["IDF1"] == 1.0


def test_eval_names_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gt.txt").write_text(GT, encoding="utf-8")
    missing = tmp_path / "none.txt"
    assert run_command_line(["eval", "mot", "--gt", str(tmp_path / "gt.txt"), "--pred", str(missing)]) == 2
    assert str(missing) in _error_line(capsys)
