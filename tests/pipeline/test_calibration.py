"""What the similarity of two tracklets means: learnt from made-up people, looked up by cameras, kept by a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from reid_pipeline.pipeline import run_command
from reid_pipeline.pipeline.calibration import (
    ENOUGH_PAIRS,
    NEWEST,
    Calibration,
    fit_calibration,
    load_calibration,
    prior_of,
    refit_calibration,
)
from reid_pipeline.pipeline.tracklet_looks import SeenTracklet, TrackletLooks, read_looks
from reid_pipeline.storage.calibrations import CalibrationRecord
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter
from tests.pipeline.crowd import SECOND_US, draw_crowd
from tests.pipeline.run_site import RunSite
from tests.pipeline.stored_crowd import MODEL, store_crowd


def sample_of(crowd, chosen=slice(None)) -> TrackletLooks:
    seen = tuple(
        SeenTracklet(f"c{camera}", number + 1, 1, None, round(start * SECOND_US), round(end * SECOND_US))
        for number, (camera, start, end) in enumerate(zip(crowd.cameras, crowd.starts_s, crowd.ends_s, strict=True))
    )
    return TrackletLooks(seen[chosen], crowd.looks[chosen])


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(people=40, noise=0.12)


@pytest.fixture(scope="module")
def learnt(crowd):
    return Calibration(prior_of(None), fit_calibration(sample_of(crowd), 5))


def stated(crowd, calibration):
    """Stated probability and truth of all pairs that are not seen at once."""
    rows, columns = np.nonzero(np.triu(~crowd.apart, 1))
    similarities = (crowd.looks @ crowd.looks.T)[rows, columns].astype(float)
    probability = np.empty_like(similarities)
    cameras = np.stack([crowd.cameras[rows], crowd.cameras[columns]], axis=1)
    for first, second in np.unique(cameras, axis=0).tolist():
        both = (cameras == (first, second)).all(axis=1)
        probability[both] = calibration.probability(similarities[both], f"c{first}", f"c{second}")
    return probability, crowd.same[rows, columns]


class TestFit:
    def test_what_is_stated_comes_true(self, crowd, learnt):
        probability, same = stated(crowd, learnt)
        assert probability.sum() == pytest.approx(same.sum(), rel=0.2)
        assert same[probability >= 0.9].mean() > 0.9
        assert same[probability < 0.1].mean() < 0.02
        assert (probability[same] >= 0.5).mean() > 0.8
        other = draw_crowd(people=40, noise=0.12, seed=9)
        probability, same = stated(other, learnt)  # other people, other lights: pooled over neither
        assert same[probability >= 0.9].mean() > 0.8

    def test_a_row_for_each_pair_of_cameras_and_two_for_the_rest(self, crowd, learnt):
        pairs = {each.cameras: each.pairs for each in learnt.learnt}
        assert [(each.cameras, each.one_camera) for each in learnt.learnt[:2]] == [(None, False), (None, True)]
        assert sum(each.pairs for each in learnt.learnt[:2]) == np.triu(~crowd.apart, 1).sum()
        assert all(first <= second for first, second in [cameras for cameras in pairs if cameras])
        expected = {}
        for row, column in np.argwhere(np.triu(~crowd.apart, 1)).tolist():
            key = tuple(sorted((f"c{crowd.cameras[row]}", f"c{crowd.cameras[column]}")))
            expected[key] = expected.get(key, 0) + 1
        enough = {key: count for key, count in expected.items() if count >= ENOUGH_PAIRS}
        assert {cameras: count for cameras, count in pairs.items() if cameras} == enough
        assert {each.fitted_us for each in learnt.learnt} == {5}
        [share] = {each.share for each in learnt.learnt}
        assert share == pytest.approx(crowd.same[np.triu(~crowd.apart, 1)].mean(), rel=0.2)
        assert {each.tracklets for each in learnt.learnt} == {240}

    def test_two_cameras_with_few_pairs_get_no_row(self, crowd):
        sample = sample_of(crowd)
        moved = tuple(
            replace(each, camera="roof") if place in (10, 90, 170) else each
            for place, each in enumerate(sample.tracklets)
        )
        rows = fit_calibration(TrackletLooks(moved, sample.looks), 5)
        assert len(rows) == 12
        assert all("roof" not in (each.cameras or ()) for each in rows)

    def test_the_light_of_a_camera_is_taken_out(self, crowd, learnt):
        similarity = (crowd.looks @ crowd.looks.T).astype(float)
        pairs = np.triu(~crowd.apart, 1)
        usual, spreads = [], []
        for each in learnt.learnt[2:]:
            first, second = (crowd.cameras == int(name[1:]) for name in each.cameras)
            these = similarity[pairs & (np.outer(first, second) | np.outer(second, first))]
            usual.append(each.intercept + each.slope * these.mean())
            spreads.append(each.slope * these.std())
        assert usual == pytest.approx([usual[0]] * len(usual), abs=1e-3)
        assert spreads == pytest.approx([spreads[0]] * len(spreads), rel=1e-3)
        assert np.ptp([each.intercept for each in learnt.learnt[2:]]) > 1

    def test_too_few_teach_nothing(self, crowd):
        assert fit_calibration(sample_of(crowd, slice(0, 39)), 5) == ()

    def test_strangers_teach_nothing(self):
        assert fit_calibration(sample_of(draw_crowd(people=120, sightings=1)), 5) == ()

    def test_one_camera_alone(self):
        rows = fit_calibration(sample_of(draw_crowd(cameras=1)), 5)
        assert [(each.cameras, each.one_camera) for each in rows] == [(None, True), (("c0", "c0"), True)]


ACROSS = CalibrationRecord(None, False, -10.0, 20.0, 0.01, 400, 9000, 1)
WITHIN = replace(ACROSS, one_camera=True, intercept=-12.0)
HALL_DOOR = replace(ACROSS, cameras=("door", "hall"), intercept=-8.0)
HALL = replace(WITHIN, cameras=("hall", "hall"), intercept=-14.0)
PRIOR = prior_of((0.2, 0.1))


class TestLookUp:
    @pytest.mark.parametrize(
        ("cameras", "expected"),
        [
            (("hall", "door"), HALL_DOOR),
            (("door", "hall"), HALL_DOOR),
            (("hall", "hall"), HALL),
            (("door", "door"), WITHIN),
            (("hall", "roof"), ACROSS),
            ((None, "hall"), ACROSS),
            (("hall", None), ACROSS),
            ((None, None), ACROSS),
        ],
    )
    def test_the_finest_row_counts(self, cameras, expected):
        calibration = Calibration(PRIOR, (ACROSS, WITHIN, HALL_DOOR, HALL))
        similarities = np.array([0.1, 0.5, 0.9])
        wanted = expit(expected.intercept + 20 * similarities)
        np.testing.assert_allclose(calibration.probability(similarities, *cameras), wanted)

    def test_what_was_not_learnt_is_the_card_s(self):
        assert Calibration(PRIOR, (ACROSS,)).probability(np.array([0.6]), "a", "a") == pytest.approx(0.5)
        assert Calibration(PRIOR).probability(np.array([0.6]), "a", "b") == pytest.approx(0.5)  # four deviations
        assert Calibration(PRIOR).probability(np.array([0.2]), "a", "b") < 0.001

    def test_a_card_that_tells_nothing_says_little(self):
        assert Calibration(prior_of(None)).probability(np.array([0.8]), None, None) < 0.1

    def test_another_share_moves_the_odds(self):
        calibration = Calibration(PRIOR, (ACROSS,))
        usual = calibration.probability(np.array([0.5, 0.6]), None, None)
        fewer = calibration.probability(np.array([0.5, 0.6]), None, None, 0.001)
        odds = (usual / (1 - usual)) / (fewer / (1 - fewer))
        np.testing.assert_allclose(odds, (0.01 / 0.99) / (0.001 / 0.999))

    def test_among_more_tracklets_the_share_is_smaller(self):
        calibration = Calibration(PRIOR, (ACROSS,))
        assert [calibration.share_among(count) for count in (0, 100, 400, 4000)] == [0.01, 0.01, 0.01, 0.001]
        assert Calibration(PRIOR).share_among(6840) == pytest.approx(PRIOR.share / 10)


class TestStored:
    def test_looks_are_the_weighted_means_in_blocks(self, tmp_path, monkeypatch):
        crowd = draw_crowd(people=3, sightings=4)
        store_crowd(tmp_path, crowd, qualities=(0.0, 0.5, 1.0))
        monkeypatch.setattr("reid_pipeline.pipeline.tracklet_looks._BLOCK", 5)
        with open_database(tmp_path) as database:
            blocks = list(read_looks(Repository(database, CropStore(tmp_path)), MODEL, ViewFilter()))
        assert [len(block.tracklets) for block in blocks] == [5, 5, 2]
        for block in blocks:
            for seen, look in zip(block.tracklets, block.looks, strict=True):
                views = crowd.views[seen.number - 1]
                expected = 0.001 * views[0] + 0.5 * views[1] + views[2]
                np.testing.assert_allclose(look, expected / np.linalg.norm(expected), atol=1e-6)
                assert seen.camera == f"c{crowd.cameras[seen.number - 1]}"

    def test_a_refit_is_that_of_the_newest_and_is_kept(self, tmp_path, crowd):
        store_crowd(tmp_path, crowd)
        with open_database(tmp_path) as database:
            repository = Repository(database, CropStore(tmp_path))
            assert load_calibration(repository, MODEL, (0.2, 0.1)) == Calibration(PRIOR)
            assert refit_calibration(repository, MODEL, 7)
            found = load_calibration(repository, MODEL)
            assert {each.tracklets for each in found.learnt} == {min(NEWEST, len(crowd.people))}
            assert {each.fitted_us for each in found.learnt} == {7}
            assert not refit_calibration(repository, "unknown", 8)
            assert load_calibration(repository, MODEL) == found

    def test_no_more_than_the_newest_are_read(self, tmp_path, crowd, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.calibration.NEWEST", 100)
        store_crowd(tmp_path, crowd)
        with open_database(tmp_path) as database:
            repository = Repository(database, CropStore(tmp_path))
            assert refit_calibration(repository, MODEL, 7)
            assert {each.tracklets for each in repository.calibrations(MODEL)} == {100}

    def test_too_few_leave_what_is_there(self, tmp_path):
        store_crowd(tmp_path, draw_crowd(people=6))
        with open_database(tmp_path) as database:
            repository = Repository(database, CropStore(tmp_path))
            repository.replace_calibrations(MODEL, [ACROSS])
            assert not refit_calibration(repository, MODEL, 7)
            assert repository.calibrations(MODEL) == (ACROSS,)


def test_a_run_learns_at_its_end(tmp_path, scene, monkeypatch):
    """Three people are too few to learn from, so it is only seen that it is asked for, and of which model."""
    asked = []

    def note(repository, model_hash, fitted_us):
        asked.append((len(list(repository.tracklet_views(model_hash, ViewFilter()))), fitted_us))
        return refit_calibration(repository, model_hash, fitted_us)

    monkeypatch.setattr(run_command, "refit_calibration", note)
    site = RunSite(tmp_path, scene.settings)
    assert site.run() == 0
    [(tracklets, fitted_us)] = asked
    assert tracklets == site.summary()["tracklets"]
    assert fitted_us >= site.query("SELECT ended_us FROM runs")[0][0]
    assert site.query("SELECT * FROM calibrations") == []
