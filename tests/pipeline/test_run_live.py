"""Whole runs on live cameras, from a real RTSP server."""

from __future__ import annotations

import json
import signal

import pytest

from reid_pipeline.pipeline.mot_format import read_mot
from tests.pipeline.rtsp import PASSWORD, Server, needs_rtsp_server
from tests.pipeline.run_site import RunSite, wait_until

pytestmark = needs_rtsp_server


@pytest.fixture
def site(tmp_path, scene):
    """One camera with a password, which plays the scene over and over."""
    server = Server(scene.video("hall"), login=True)
    inputs = [{"path": server.url(f"viewer:{PASSWORD}@")}]
    yield RunSite(tmp_path, {**scene.settings, "cameras": {"hall": {"inputs": inputs, "detect": {"fps": 8.0}}}})
    server.kill()


def run_until(site: RunSite, frames: int) -> tuple[dict, str]:
    """Runs until so many frames are stored, stops the run with SIGTERM and returns its summary and its log."""
    run = site.start("--json")
    wait_until(run, lambda: site.frames_committed().get("hall", 0) >= frames)
    run.send_signal(signal.SIGTERM)
    output, log = run.communicate(timeout=60)
    assert run.returncode == 0, log
    return json.loads(output), log


def test_a_live_run_leaves_what_a_run_leaves_and_the_next_one_counts_on(site):
    summary, log = run_until(site, 40)
    first = site.frames_committed()["hall"]
    assert summary["frames_processed"] + sum(summary["frames_dropped"].values()) == summary["frames_read"] >= 40
    assert summary["frames_processed"] > 0
    assert 0 <= summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    assert {event["type"] for event in site.events()} >= {"camera", "new", "update"}
    assert PASSWORD not in log + json.dumps(summary)
    numbers = {number for (number,) in site.query("SELECT number FROM tracklets")}

    run_until(site, first + 20)
    site.check_whole()
    later = site.query(f"SELECT first_frame, number FROM tracklets WHERE run_id = 2 OR first_frame > {first}")
    assert later, "nobody was seen in the second run"
    assert all(frame > first and number not in numbers for frame, number in later)
    days = sorted((site.data_dir / "tracks").glob("hall-*.txt"))  # two around midnight
    assert read_mot(days[0]).keys.frames.min() <= first < read_mot(days[-1]).keys.frames.max()
