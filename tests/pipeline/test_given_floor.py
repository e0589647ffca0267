"""A floor that is given: pixels to metres, how sure that is, and where it is not known."""

import numpy as np
import pytest

from reid_pipeline.pipeline.given_floor import GivenFloor, locate
from tests.pipeline.floor import EAST, NORTH, given_floor, stroll
from tests.pipeline.virtual import small_site

CORNERS = [[-3, -3], [3, -3], [3, 3], [-3, 3]]


def walk_of(view, floor, seed=0, trembling=0.0):
    return view.see(np.asarray(floor, float), np.arange(len(floor)) * 0.2, np.random.default_rng(seed), trembling)


@pytest.mark.parametrize("view", [EAST, NORTH], ids=["east", "north"])
@pytest.mark.parametrize("places", [CORNERS, [*CORNERS, [0, 0], [1, 2]]])
def test_pixels_become_metres(view, places):
    floor = stroll(np.random.default_rng(1), 20)
    spots = locate(walk_of(view, floor), given_floor(view, places))
    np.testing.assert_allclose(spots[:, 0], np.arange(len(floor)) * 0.2)
    np.testing.assert_allclose(spots[:, 1:3], floor, atol=1e-6)


def test_coordinates_may_be_large_and_pictures_of_another_size():
    floor = stroll(np.random.default_rng(1), 20)
    points = EAST.project(np.column_stack([CORNERS, np.zeros(4)])) / [1280, 720]
    far = np.add(CORNERS, [500_000.0, 5_000_000.0])
    walk = walk_of(EAST, floor) * [1, 0.5, 0.25, 0.25]
    spots = locate(walk, GivenFloor.of(points.tolist(), far.tolist()).in_pixels((180, 640)))
    np.testing.assert_allclose(spots[:, 1:3], np.add(floor, [500_000.0, 5_000_000.0]), atol=1e-4)


def test_badly_measured_points_are_evened_out():
    rng = np.random.default_rng(0)
    places = rng.uniform(-3, 3, (20, 2))
    points = EAST.project(np.column_stack([places, np.zeros(20)])) + rng.normal(0, 4, (20, 2))
    floor = GivenFloor.of((points / [1280, 720]).tolist(), places.tolist()).in_pixels((720, 1280))
    walk = stroll(rng, 20)
    spots = locate(walk_of(EAST, walk), floor)
    assert np.linalg.norm(spots[:, 1:3] - walk, axis=1).mean() < 0.08


@pytest.mark.parametrize("place", [[0.0, 0.0], [-3.0, 2.0], [5.0, 0.0]])
def test_how_sure_a_place_is_follows_from_the_trembling_of_boxes(place):
    many = np.tile([place], (4000, 1))
    sure = locate(walk_of(EAST, many[:1]), given_floor(EAST, CORNERS))[0, 3:]
    spots = locate(walk_of(EAST, many, trembling=0.06), given_floor(EAST, CORNERS))
    covariance = np.cov(spots[:, 1:3].T)[[0, 0, 1], [0, 1, 1]]
    np.testing.assert_allclose(covariance, sure, atol=0.15 * max(sure[0], sure[2]))
    assert sure[0] > sure[2]  # it looks west: that far is harder to tell than how much to the side


def test_above_the_horizon_there_is_no_floor():
    horizon = EAST.project(np.array([[-1e6, 0.0, EAST.place[2]]]))[0, 1]
    walk = np.array([[0.0, 640, horizon - 1, 50], [0.2, 640, horizon - 300, 50], [0.4, 640, horizon + 1, 50]])
    everywhere = given_floor(EAST, np.multiply(CORNERS, [1e3, 1]) - [3.1e3, 0])
    for floor in (given_floor(EAST, CORNERS), everywhere):
        assert len(locate(walk, floor)) == 0


def test_the_floor_is_known_around_what_is_given():
    floor = given_floor(EAST, CORNERS)  # 6 m by 6 m, so 4.2 m around
    known = [[0, 0], [-3, 3], [-7.1, 0], [0, 7.1], [0, -7.1], [-6, -6]]
    assert len(locate(walk_of(EAST, known), floor)) == len(known)
    assert len(locate(walk_of(EAST, [[-7.4, 0], [0, 7.4], [0, -7.4]]), floor)) == 0


def test_what_trembles_by_metres_is_no_place():
    far = [[-39.0, 0.0], [0.0, 0.0]]
    floor = given_floor(EAST, [[-40, -3], [3, -3], [3, 3], [-40, 3]])
    assert locate(walk_of(EAST, far), floor)[:, 0].tolist() == [0.2]


def test_no_walk_and_no_floor():
    assert locate(np.empty((0, 4)), given_floor(EAST, CORNERS)).shape == (0, 6)
    assert locate(walk_of(EAST, [[0, 0]]), None).shape == (0, 6)


def test_the_cameras_of_a_virtual_site():
    rng = np.random.default_rng(0)
    for camera in small_site().cameras:
        ground = rng.uniform(-20, 60, (20_000, 2))
        pixels, depths = camera.project(np.column_stack([ground, np.zeros(len(ground))]))
        inside = (pixels >= 0).all(axis=1) & (pixels < [camera.width, camera.height]).all(axis=1)
        near = inside & (depths > 1) & (depths < 8)
        ground, pixels = ground[near][:24], pixels[near][:24].astype(float)
        floor = GivenFloor.of((pixels / [camera.width, camera.height]).tolist(), ground.tolist())
        walk = np.column_stack([np.arange(len(pixels)), pixels, np.full(len(pixels), 10.0)])
        spots = locate(walk, floor.in_pixels((camera.height, camera.width)))
        assert len(spots) == len(ground) > 8
        np.testing.assert_allclose(spots[:, 1:3], ground, atol=1e-3)
