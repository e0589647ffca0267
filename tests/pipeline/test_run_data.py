"""`reid-pipeline run` on real footage with real models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reid_pipeline.pipeline.evaluate import evaluate_mot
from tests.pipeline.run_site import RunSite

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of the real footage and weights."""
    folder = os.environ.get("REID_TEST_DATA")
    if not folder:
        pytest.skip("REID_TEST_DATA is not set")
    return Path(folder)


def site_of(folder: Path, data: Path, video: str) -> RunSite:
    """A site with one camera, ``hall``."""
    return RunSite(
        folder,
        {
            "cameras": {"hall": {"inputs": [{"path": str(data / "video" / video)}]}},
            "detector": {"model": str(data / "weights" / "yolo11n_int8_openvino_model")},
            "encoder": {"model": str(data / "weights" / "osnet_x0_25_msmt17")},
        },
    )


def test_pets_is_tracked_well(tmp_path, data):
    site = site_of(tmp_path, data, "pets09_s2l1/View_001.mp4")
    assert site.run("--max-frames", "330") == 0
    assert site.summary()["frames_processed"] == 330
    truth = data / "video" / "pets09_s2l1" / "gt_View_001_frames1-323.txt"
    scores = evaluate_mot(truth, site.data_dir / "tracks" / "hall.txt", max_frame=323).as_dict()
    assert scores["IDF1"] >= 0.82
    assert scores["MOTA"] >= 0.76
    site.check_whole()


def test_a_raw_h264_file_is_read_to_its_end(tmp_path, data):
    site = site_of(tmp_path, data, "clips/intel_people.264")
    assert site.run() == 0
    entry = site.summary()["cameras"]["hall"]
    assert entry["state"] == "ended"
    assert entry["frames_read"] == entry["frames_processed"] > 0
    assert site.frames_committed() == {"hall": entry["frames_read"]}
    assert entry["tracklets"] > 0
    site.check_whole()
