"""Frames of the virtual site and their truth, against slow and obvious ways to find it."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.virtual_background import SAMPLES, Background
from reid_pipeline.pipeline.virtual_camera import Faults, VirtualCamera
from reid_pipeline.pipeline.virtual_composition import Canvas, Standing, compose
from reid_pipeline.pipeline.virtual_pose import Motion
from reid_pipeline.pipeline.virtual_scene import Area
from reid_pipeline.pipeline.virtual_site import (
    MIN_VISIBILITY,
    VirtualSite,
    build_site,
    overlaps,
    people_in,
    render_frame,
)
from tests.pipeline.virtual import small_site

CLEAR = Faults((1.0, 1.0, 1.0), 1.0, 2.2, 1.0, 0.0, 0.0, 0.0, 1.0)


def alone(site: VirtualSite, camera_index: int, standing: Standing) -> np.ndarray:
    """What a person covers in a picture three times as wide and high, with nothing in the way.

    The same person over black and over white: what is not mixed with the ground is the person.
    """
    camera = site.cameras[camera_index]
    black, white = (
        compose(canvas, [standing])[0][..., 0] for canvas in empty_canvases(camera, site.areas[camera.area])
    )
    return 1 - (white - black) / 255


@lru_cache(maxsize=2)
def empty_canvases(camera: VirtualCamera, area: Area) -> list[Canvas]:
    """A black and a white one, three times as wide and high as the camera's picture."""
    wide = replace(camera, width=camera.width * 3, height=camera.height * 3, faults=CLEAR)
    shape = (wide.height, wide.width)
    depth = np.full((shape[0] * SAMPLES, shape[1] * SAMPLES), 1e4, np.float32)
    grounds = [np.full((*shape, 3), level, np.float32) for level in (0.0, 255.0)]
    return [Canvas(Background(each, depth, np.zeros(shape, np.float32)), wide, area, each) for each in grounds]


def within(cover: np.ndarray, site: VirtualSite, camera_index: int) -> np.ndarray:
    camera = site.cameras[camera_index]
    return cover[camera.height : 2 * camera.height, camera.width : 2 * camera.width]


@pytest.mark.parametrize("camera", [0, 1])
def test_a_box_holds_exactly_the_pixels_of_its_person(camera):
    site = small_site()
    checked = 0
    for index in (0, 5):
        frame = render_frame(site, camera, index)
        people = {standing.identity: standing for standing in people_in(site, site.cameras[camera].area, index)}
        for box, identity in zip(frame.boxes.tolist(), frame.identities.tolist(), strict=True):
            cover = within(alone(site, camera, people[identity]), site, camera)
            rows, columns = np.nonzero(cover >= 0.4999)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            checked += 1
    assert checked >= 4


def test_visibility_is_that_of_a_slow_count():
    site, camera, checked, hidden = small_site(people=22), 0, 0, 0
    for index in (0, 6):
        frame = render_frame(site, camera, index)
        people = people_in(site, 0, index)
        covers = {each.identity: alone(site, camera, each) for each in people}
        position = np.array(site.cameras[camera].position[:2])
        near = sorted(people, key=lambda each: np.hypot(*(np.array(each.motion.position) - position)))
        owners = np.zeros(within(next(iter(covers.values())), site, camera).shape, int)
        for each in reversed(near):
            owners[within(covers[each.identity], site, camera) >= 0.4999] = each.identity
        for identity, visibility in zip(frame.identities.tolist(), frame.visibility.tolist(), strict=True):
            slow = (owners == identity).sum() / (covers[identity] >= 0.4999).sum()
            assert visibility <= slow + 0.03  # furniture hides some more
            checked += abs(visibility - slow) < 0.03
            hidden += slow < 0.8
    assert checked >= 10
    assert hidden >= 3


def test_furniture_hides_what_is_behind_it():
    site = small_site()
    camera = site.cameras[0]
    motion = Motion(camera.look_at[:2], 0.5, 0.0, 0.0, 0.0, 0.0)  # in the middle of the picture
    standing = Standing(1, site.looks[0], motion)
    ground = np.full((camera.height, camera.width, 3), 90, np.float32)
    seen = {}
    for nearest in (1e4, 0.5):  # nothing in the way, then something right in front of the camera
        middle = sum(seen[1e4].box[::2]) // 2 if seen else camera.width
        depth = np.full((camera.height * SAMPLES, camera.width * SAMPLES), 1e4, np.float32)
        depth[:, : middle * SAMPLES] = nearest
        floor = np.zeros((camera.height, camera.width), np.float32)
        canvas = Canvas(Background(ground, depth, floor), camera, site.areas[0], ground)
        picture, [seen[nearest]] = compose(canvas, [standing])
        hidden = (picture != 90).any(axis=2)[:, :middle]
        assert hidden.any() == (nearest == 1e4)
    assert seen[0.5].box == seen[1e4].box
    assert 0 < seen[0.5].visibility < seen[1e4].visibility <= 1


def test_truth_is_in_order_and_in_its_ranges():
    site = small_site()
    for camera_index, camera in enumerate(site.cameras):
        for frame in (render_frame(site, camera_index, index) for index in range(0, site.frames, 3)):
            assert frame.image.shape == (camera.height, camera.width, 3)
            assert frame.image.dtype == np.uint8
            assert frame.boxes.dtype == frame.visibility.dtype == np.float32
            assert (np.diff(frame.identities) > 0).all()
            assert (frame.visibility >= MIN_VISIBILITY).all()
            assert (frame.visibility <= 1).all()
            assert (frame.boxes[:, :2] >= 0).all()
            assert (frame.boxes[:, 2:] > frame.boxes[:, :2]).all()
            assert (frame.boxes[:, 2:] <= (camera.width, camera.height)).all()


def test_feet_project_to_the_bottom_of_the_box():
    site = small_site()
    camera, checked = site.cameras[0], 0
    for index in range(0, site.frames, 3):
        frame = render_frame(site, 0, index)
        where = {each.identity: each.motion.position for each in people_in(site, 0, index)}
        for box, identity in zip(frame.boxes, frame.identities.tolist(), strict=True):
            if box[3] < camera.height:
                [foot], _ = camera.project(np.array([[*where[identity], 0.0]]))
                tall = box[3] - box[1]
                assert abs(foot[1] - box[3]) < 0.2 * tall
                assert box[0] - 0.3 * tall < foot[0] < box[2] + 0.3 * tall
                checked += 1
    assert checked >= 3


def test_the_same_seed_gives_the_same_site_and_pictures():
    first, second = (build_site(1, 5, 2, 2, 9) for _ in range(2))
    assert first.areas == second.areas
    assert first.cameras == second.cameras
    assert first.looks == second.looks
    assert np.array_equal(first.walks.x, second.walks.x)
    one, other = render_frame(small_site(seed=5), 0, 3), render_frame(small_site(seed=5), 0, 3)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.boxes, other.boxes)
    assert build_site(1, 5, 2, 2, 10).looks != first.looks


def test_the_order_of_frames_does_not_matter():
    site = small_site()
    before = render_frame(site, 0, 4)
    render_frame(site, 0, 1)
    render_frame(site, 1, 4)
    assert np.array_equal(render_frame(site, 0, 4).image, before.image)


def test_further_cameras_and_people_change_nobody():
    few, many = build_site(2, 5, 2, 2, 4), build_site(5, 9, 2, 2, 4)
    assert many.looks[:5] == few.looks
    assert many.cameras[:2] == few.cameras
    assert many.areas[:1] == few.areas


def test_the_frame_rate_does_not_change_the_walks():
    slow, fast = build_site(1, 6, 3, 2, 4), build_site(1, 6, 3, 10, 4)
    assert (slow.frames, fast.frames) == (6, 30)
    assert np.array_equal(slow.walks.x, fast.walks.x[: len(slow.walks.x)])
    assert [each.motion for each in people_in(slow, 0, 2)] == [each.motion for each in people_in(fast, 0, 10)]


def test_noise_differs_from_frame_to_frame_and_is_small():
    site = replace(small_site(), looks=())
    one, other = (render_frame(site, 0, index).image.astype(int) for index in (0, 1))
    assert not np.array_equal(one, other)
    assert np.abs(one - other).mean() < 6


@pytest.mark.parametrize(("cameras", "pairs"), [(1, 0), (2, 1), (3, 1), (5, 1)])
def test_the_first_two_cameras_overlap_and_no_others(cameras, pairs):
    site = build_site(cameras, 2, 1, 1, 8)
    found = overlaps(site)
    assert len(found) == pairs
    if pairs:
        assert found == [(site.cameras[0].name, site.cameras[1].name)]
    assert len({camera.name for camera in site.cameras}) == cameras


def test_people_are_seen_by_two_cameras_only_where_they_overlap():
    site = small_site(cameras=3, people=20)
    together = {(0, 1): 0, (0, 2): 0, (1, 2): 0}
    for index in range(0, site.frames, 2):
        ids = [set(render_frame(site, camera, index).identities.tolist()) for camera in range(3)]
        for one, other in together:
            together[one, other] += len(ids[one] & ids[other])
    assert together[0, 1] > 0
    assert together[0, 2] == together[1, 2] == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 5, 2, 2, 1), "cameras is 0"),
        ((99, 5, 2, 2, 1), "cameras is 99"),
        ((1, 0, 2, 2, 1), "people is 0"),
        ((1, 5, 0, 2, 1), "seconds is 0"),
        ((1, 5, 2, float("nan"), 1), "fps is nan"),
        ((1, 5, 2, 2, -1), "seed is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, name):
    with pytest.raises(InputError, match=name):
        build_site(*arguments)


def test_a_frame_that_is_not_there_is_an_error():
    with pytest.raises(IndexError, match="expected 0 to 11"):
        render_frame(small_site(), 0, 12)
