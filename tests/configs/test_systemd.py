import configparser
import shlex
from importlib.resources import files

import pytest

from reid_pipeline.pipeline.cli import COMMANDS, run_command_line

FOLDER = files("reid_pipeline.configs") / "systemd"
NAMES = sorted(each.name for each in FOLDER.iterdir())


def read(name):
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string((FOLDER / name).read_text(encoding="utf-8"))
    return unit


def test_each_timer_starts_a_service_that_is_there():
    assert NAMES == ["reid-pipeline-nightly.service", "reid-pipeline-nightly.timer"]
    for name in NAMES:
        if name.endswith(".timer"):
            assert read(name)["Timer"]["Unit"] in NAMES
            assert read(name)["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_services_name_commands_and_options_that_exist(name, capsys):
    program, command, *rest = shlex.split(read(name)["Service"]["ExecStart"])
    assert program.endswith("/bin/reid-pipeline")
    assert command in COMMANDS
    assert run_command_line([command, "--help"]) == 0
    told = capsys.readouterr().out
    options = [each for each in rest if each.startswith("-")]
    assert options and all(option in told for option in options)
    assert any(each.endswith("cameras.yaml") for each in rest)


def test_a_night_gives_way_to_everything_else():
    service = read("reid-pipeline-nightly.service")["Service"]
    assert (service["Nice"], service["IOSchedulingClass"], service["Type"]) == ("19", "idle", "oneshot")
    assert int(service["CPUWeight"]) < 100
    for hardening in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateNetwork"):
        assert service[hardening] == "yes"
