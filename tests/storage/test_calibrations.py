"""What similarities mean, kept by model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reid_pipeline.storage.calibrations import CalibrationRecord
from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.records import ModelRecord

ROW = CalibrationRecord(("door", "hall"), False, -10.5, 20.25, 0.01, 400, 900, 77)
POOLED = replace(ROW, cameras=None, slope=3.0)
WITHIN = replace(POOLED, one_camera=True)


@pytest.fixture
def two_cameras(site):
    site.source()
    site.source(camera="door", fingerprint="f2")
    return site.repository


def test_rows_come_back_as_they_are(two_cameras):
    assert two_cameras.calibrations("m1") == two_cameras.calibrations("unknown") == ()
    two_cameras.replace_calibrations("m1", [ROW, POOLED, WITHIN])
    assert two_cameras.calibrations("m1") == (ROW, POOLED, WITHIN)


def test_a_refit_replaces_all_of_its_model_and_no_other(two_cameras):
    two_cameras.register_model(ModelRecord("m2", "other", "reid", "MIT"))
    two_cameras.replace_calibrations("m1", [ROW, POOLED])
    two_cameras.replace_calibrations("m2", [POOLED])
    two_cameras.replace_calibrations("m1", [WITHIN])
    assert two_cameras.calibrations("m1") == (WITHIN,)
    assert two_cameras.calibrations("m2") == (POOLED,)


def test_an_unknown_name_changes_nothing(two_cameras):
    two_cameras.replace_calibrations("m1", [ROW])
    with pytest.raises(UnknownRecord, match="model 'm9'"):
        two_cameras.replace_calibrations("m9", [])
    with pytest.raises(UnknownRecord, match="camera 'roof'"):
        two_cameras.replace_calibrations("m1", [POOLED, replace(ROW, cameras=("door", "roof"))])
    assert two_cameras.calibrations("m1") == (ROW,)
