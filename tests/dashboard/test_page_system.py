from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import asdict

import pytest

from reid_pipeline.dashboard.page_system import run_status
from reid_pipeline.pipeline.live_socket import CameraState, LiveState, socket_address
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import ALLOWED, Permission, Role
from reid_pipeline.storage.records import RunStatus
from reid_pipeline.storage.site_status import RunRecord
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import NOON_US, write_site

PARTS = ["Runs", "Disk and retention", "Models", "Machine"]


def camera(name):
    return CameraState(name, "online", NOON_US, "", True, 5.0, 100, {"late": 3}, 40.0, 2)


STATE = LiveState(1, NOON_US, (camera("hall"), camera("door")), {"detect": 1.0}, 7, 512.0)


@contextmanager
def running(data_dir):
    """A run that answers, as `live_socket` says."""
    with socket_address(data_dir) as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        line = json.dumps(asdict(STATE)).encode() + b"\n"

        def answer():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(line)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("name", PARTS)
def test_an_empty_site_shows_every_part(tmp_path, name):
    open_database(tmp_path).close()
    page = check_clean(page_test("system", tmp_path, query={"system_part": name}).run())
    assert [each.label for each in page.tabs] == PARTS
    assert "reid-pipeline run" in page.info[0].value


def test_what_a_run_does_is_shown(tmp_path):
    write_site(tmp_path)
    with running(tmp_path):
        page = check_clean(page_test("system", tmp_path).run())
    figures = {each.label: each.value for each in page.metric}
    assert figures["Frames a second"] == "10.0"
    assert (figures["Dropped"], figures["Waiting"], figures["Memory"]) == ("6", "7", "512 MB")
    assert list(page.dataframe[0].value["Camera"]) == ["hall", "door"]
    assert page.dataframe[0].value["Dropped"][0] == "3 late"
    assert page.dataframe[1].value["Status"][0] == "done"


@pytest.mark.parametrize("role", Role)
def test_who_sees_one_camera_sees_nothing_of_the_others(tmp_path, role):
    write_site(tmp_path)
    with running(tmp_path):
        page = check_clean(page_test("system", tmp_path, role.value, ["hall"]).run())
    assert list(page.dataframe[0].value["Camera"]) == ["hall"]
    assert {each.label: each.value for each in page.metric}["Frames a second"] == "5.0"
    assert not page.tabs
    assert len(page.dataframe) == 1


def test_runs_models_and_sizes_of_a_site(tmp_path):
    write_site(tmp_path)
    page = check_clean(page_test("system", tmp_path).run())
    assert list(page.dataframe[0].value["Tracklets"]) == [4]
    page = check_clean(page_test("system", tmp_path, query={"system_part": "Models"}).run())
    assert any("teller" in each.value and "MIT" in each.value for each in page.markdown)
    assert any("no longer here" in each.value for each in page.caption)
    page = check_clean(page_test("system", tmp_path, query={"system_part": "Disk and retention"}).run())
    page = check_clean(next(each for each in page.button if each.label == "Measure").click().run())
    rows = page.dataframe[1].value.set_index("In the database")["Rows"]
    assert rows["tracklets"] == 4


@pytest.mark.parametrize("role", Role)
def test_the_machine_is_examined_by_those_who_keep_the_site(tmp_path, role):
    write_site(tmp_path)
    page = check_clean(page_test("system", tmp_path, role.value, query={"system_part": "Machine"}).run())
    assert bool(page.button) == (Permission.KEEP in ALLOWED[role])


def test_a_run_that_does_not_answer_is_told_apart():
    def run(number, status):
        return RunRecord(number, 0, None, status, (), 0)

    assert run_status(run(1, RunStatus.RUNNING), STATE) == "running"
    assert "killed" in run_status(run(2, RunStatus.RUNNING), STATE)
    assert "killed" in run_status(run(1, RunStatus.RUNNING), None)
    assert run_status(run(1, RunStatus.STOPPED), STATE) == "stopped"
