import io
import logging

import pytest
from rich.console import Console

from reid_pipeline.pipeline.progress import CameraProgress, RunProgress

FILE = CameraProgress("hall", "online", 50, 200, 0, 12.4)
LIVE = CameraProgress("gate", "reconnecting", 0, None, 3, None)
OVER = CameraProgress("lobby", "ended", 200, 200, 0, 5.0)


@pytest.fixture
def lines(caplog):
    """What `show` logs off a terminal."""
    caplog.set_level(logging.INFO)
    output = io.StringIO()

    def show(*cameras):
        with RunProgress(Console(file=output)) as progress:
            progress.show(cameras)
        assert output.getvalue() == ""
        return [record.getMessage() for record in caplog.records]

    return show


def test_off_a_terminal_each_camera_gets_a_log_line(lines):
    hall, gate = lines(FILE, LIVE)
    assert hall.startswith("hall: online, 50/200 (25 %)")
    assert "lag 12 ms" in hall
    assert "eta" in hall
    assert gate.startswith("gate: reconnecting, 0 frames, 0.0 fps")
    assert "3 dropped" in gate
    assert "eta" not in gate
    assert "lag" not in gate


def test_what_has_ended_has_nothing_left(lines):
    (line,) = lines(OVER)
    assert "200/200 (100 %)" in line
    assert "done" in line


def test_on_a_terminal_there_is_a_table_that_goes_away():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    with RunProgress(console) as progress:
        progress.show([FILE, LIVE])
    text = output.getvalue()
    assert all(word in text for word in ("camera", "hall", "50/200 (25 %)", "reconnecting", "3 dropped"))
    assert text.rsplit("dropped", 1)[1].count("\x1b[2K") >= 3  # each line is erased at the end


def test_no_log_lines_on_a_terminal(caplog):
    caplog.set_level(logging.INFO)
    with RunProgress(Console(file=io.StringIO(), force_terminal=True)) as progress:
        progress.show([FILE])
    assert caplog.records == []


def test_nothing_is_due_at_once():
    progress = RunProgress(Console(file=io.StringIO()))
    assert not progress.due()


def test_no_cameras(lines):
    assert lines() == []
