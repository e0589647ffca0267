"""The people of the virtual site: looks, poses, and the rasteriser that draws them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reid_pipeline.pipeline.virtual_body import SHOES, build_body
from reid_pipeline.pipeline.virtual_camera import Faults, VirtualCamera, develop
from reid_pipeline.pipeline.virtual_look import Bag, Bottom, Hair, Look, Top, draw_look
from reid_pipeline.pipeline.virtual_mesh import build_topology, loft, rasterise, surface_normals
from reid_pipeline.pipeline.virtual_pose import SHIN, THIGH, UPPER_ARM, Motion, pose_body, stride_m

PLAIN = Faults((1.0, 1.0, 1.0), 1.0, 2.2, 1.0, 0.0, 0.0, 0.0, 1.0)
CAMERA = VirtualCamera("a", 0, 320, 240, 300.0, (5.0, 0.0, 1.5), (0.0, 0.0, 1.0), PLAIN, 1)
PHASES = np.linspace(0, 2 * np.pi, 13)


def look(seed: int = 0, **changes: object) -> Look:
    return replace(draw_look(np.random.default_rng(seed)), **changes)


def walking(phase: float, speed: float = 1.3) -> Motion:
    return Motion((0.0, 0.0), 0.0, speed, phase, 0.0, 0.0)


def ball(radius: float) -> np.ndarray:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 41)
    ring = np.cos(angle)[:, None] * radius
    ring[0] = ring[-1] = 0
    centres = np.sin(angle)[:, None] * [0.0, 0.0, radius]
    return loft(centres, ring * [0.0, 1.0, 0.0], ring * [1.0, 0.0, 0.0], 48)


def test_the_normals_of_a_ball_point_outward():
    grid = ball(0.5)
    normals = surface_normals(grid)
    assert np.abs((normals * grid / 0.5).sum(axis=2) - 1).max() < 0.02


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_ball_is_drawn_as_the_disc_that_it_projects_to(factor):
    grid, camera = ball(0.5), replace(CAMERA, position=(5.0, 0.0, 0.0), look_at=(0.0, 0.0, 0.0))
    topology = build_topology([grid.shape[:2]], [np.ones((4, 4, 3), np.float32)], [0.0])
    layer = rasterise(topology, grid.reshape(-1, 3), np.ones((grid[..., 0].size, 3), np.float32), camera, factor)
    assert layer is not None
    radius_px = 300 * 0.5 / np.sqrt(5**2 - 0.5**2)
    assert layer.covered.sum() / factor**2 == pytest.approx(np.pi * radius_px**2, rel=0.05)
    assert layer.depth[layer.covered].min() == pytest.approx(4.5, abs=0.01)
    assert np.isinf(layer.depth[~layer.covered]).all()


def test_light_and_texture_reach_the_samples():
    grid = ball(0.5)
    textures = [np.full((2, 2, 3), (0.2, 0.4, 0.8), np.float32)]
    topology = build_topology([grid.shape[:2]], textures, [0.0])
    light = np.full((grid[..., 0].size, 3), 0.5, np.float32)
    layer = rasterise(topology, grid.reshape(-1, 3), light, CAMERA, 1)
    assert np.allclose(layer.colour[layer.covered], (0.1, 0.2, 0.4), atol=1e-6)


def test_the_nearer_surface_hides_the_other():
    near, far = ball(0.3) + np.float32([1, 0, 1]), ball(0.3) + np.float32([-1, 0, 1])
    textures = [np.full((2, 2, 3), value, np.float32) for value in (0.25, 0.75)]
    topology = build_topology([near.shape[:2]] * 2, textures, [0.0, 0.0])
    vertices = np.concatenate([near.reshape(-1, 3), far.reshape(-1, 3)])
    layer = rasterise(topology, vertices, np.ones_like(vertices), CAMERA, 1)
    middle = np.argwhere(layer.covered).mean(axis=0).astype(int)
    assert layer.colour[tuple(middle)] == pytest.approx([0.25] * 3)


def test_nobody_behind_the_camera_is_drawn():
    grid = ball(0.3) + np.float32([6, 0, 1])
    topology = build_topology([grid.shape[:2]], [np.ones((2, 2, 3), np.float32)], [0.0])
    assert rasterise(topology, grid.reshape(-1, 3), np.ones((grid[..., 0].size, 3)), CAMERA, 1) is None


def test_looks_are_many_and_come_from_the_generator_alone():
    looks = [look(seed) for seed in range(120)]
    assert looks == [look(seed) for seed in range(120)]
    assert {each.top for each in looks} == set(Top)
    assert {each.bottom for each in looks} == set(Bottom)
    assert {each.hair for each in looks} == set(Hair)
    assert {each.bag for each in looks} == set(Bag)
    assert all(1.5 <= each.height_m <= 1.95 for each in looks)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speed", [0.0, 0.8, 1.7])
def test_limbs_keep_their_lengths_and_one_foot_is_on_the_floor(seed, speed):
    person = look(seed)
    for phase in PHASES:
        pose = pose_body(person, walking(phase, speed))
        for side in (0, 1):
            thigh = np.linalg.norm(pose.hips[side] - pose.knees[side])
            shin = np.linalg.norm(pose.knees[side] - pose.ankles[side])
            arm = np.linalg.norm(pose.shoulders[side] - pose.elbows[side])
            assert thigh == pytest.approx(THIGH * person.height_m, rel=0.02)
            assert shin == pytest.approx(SHIN * person.height_m, rel=0.02)
            assert arm == pytest.approx(UPPER_ARM * person.height_m, rel=0.02)
        body = build_body(person, walking(phase, speed))
        lowest = body.vertices[:, 2].min()
        assert -0.02 < lowest < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_a_body_is_as_tall_as_its_person(seed):
    person = look(seed, hair=Hair.BALD)
    body = build_body(person, walking(0.0, 0.0))
    assert np.ptp(body.vertices[:, 2]) == pytest.approx(person.height_m, rel=0.03)


def test_the_foot_on_the_floor_hardly_slides():
    person, speed = look(1), 1.3
    per_metre = 2 * np.pi / stride_m(speed, person.height_m)
    slides = []
    for phase in np.linspace(0.35 * np.pi, 0.85 * np.pi, 6):  # the left foot bears the weight
        pose = pose_body(person, walking(phase, speed))
        slides.append(pose.ankles[0][0] + phase / per_metre)
    assert np.ptp(slides) < 0.12


def test_the_two_legs_swing_in_turn():
    person = look(2)
    half_later = [pose_body(person, walking(phase)).ankles[1][0] for phase in PHASES + np.pi]
    assert np.allclose([pose_body(person, walking(phase)).ankles[0][0] for phase in PHASES], half_later, atol=1e-9)


def test_a_body_turns_and_stands_where_it_is_told():
    person = look(3)
    here = build_body(person, walking(1.0))
    there = build_body(person, Motion((2.0, -1.0), np.pi / 2, 1.3, 1.0, 0.0, 0.0))
    turned = np.stack([-here.vertices[:, 1] + 2, here.vertices[:, 0] - 1, here.vertices[:, 2]], axis=1)
    assert np.allclose(there.vertices, turned, atol=1e-5)


def test_front_and_back_of_a_head_differ():
    person = look(5, hair=Hair.SHORT, hair_colour=(0.05, 0.05, 0.05), skin=(0.9, 0.75, 0.65))
    faces = []
    for heading in (0.0, np.pi):
        body = build_body(person, Motion((0.0, 0.0), heading, 0.0, 0.0, 0.0, 0.0))
        layer = rasterise(body.topology, body.vertices, np.ones_like(body.vertices), CAMERA, 2)
        rows = np.flatnonzero(layer.covered.any(axis=1))
        head = layer.colour[rows[0] : rows[0] + len(rows) // 9]
        faces.append(develop(head[head.any(axis=2)], PLAIN).mean())
    assert faces[0] > 1.5 * faces[1]


def test_shoes_are_the_lowest_surfaces():
    body = build_body(look(0), walking(0.5))
    starts = np.cumsum([0, *(rows * columns for rows, columns in body.topology.shapes)])
    heights = [body.vertices[low:high, 2].mean() for low, high in pairwise(starts)]
    assert set(np.argsort(heights)[:2].tolist()) == set(SHOES)
