"""The places of the virtual site, the ways through them, and how a camera sees them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reid_pipeline.pipeline.virtual_area import build_area
from reid_pipeline.pipeline.virtual_background import FLOOR, SAMPLES, cast_background, light_at, sunlit
from reid_pipeline.pipeline.virtual_floorplan import is_free, plan_floor
from reid_pipeline.pipeline.virtual_paths import NOWHERE, STEP_S, Walks, walk_people
from reid_pipeline.pipeline.virtual_scene import Area, Block, Leaves, Post
from tests.pipeline.virtual import small_site

SEEDS = range(3)


def area(seed: int, *, outdoors: bool = False) -> Area:
    return build_area(np.random.default_rng(seed), 0, outdoors=outdoors)


def walks(areas: list[Area], people: int = 16, seconds: float = 40.0, seed: int = 0) -> Walks:
    generators = [np.random.default_rng([seed, person]) for person in range(people)]
    return walk_people(areas, generators, [1.7] * people, seconds)


@pytest.fixture(scope="module")
def crowd() -> tuple[list[Area], Walks]:
    areas = [build_area(np.random.default_rng(index), index, outdoors=bool(index)) for index in range(2)]
    return areas, walks(areas, people=24)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("outdoors", [False, True])
def test_every_target_of_a_place_can_be_reached(seed, outdoors):
    plan = plan_floor(area(seed, outdoors=outdoors))
    assert len(plan.area.stops) >= 5
    for start in range(len(plan.targets)):
        for target in range(len(plan.targets)):
            assert np.isfinite(plan.distance(plan.targets[start], target))


def test_a_way_leads_to_its_target_through_free_floor():
    plan = plan_floor(area(1))
    start = plan.targets[0]
    for target in range(1, len(plan.targets)):
        corners = np.concatenate([start[None], plan.way(start, target)])
        assert np.allclose(corners[-1], plan.targets[target])
        line = np.concatenate([a + np.linspace(0, 1, 60)[:, None] * (b - a) for a, b in pairwise(corners)])
        on_floor = replace(plan.area, walkable=((-99.0, -99.0, 99.0, 99.0),))  # walls are not furniture
        assert is_free(on_floor, line, 0.15).all()
        length = np.hypot(*np.diff(corners, axis=0).T).sum()
        assert length <= plan.distance(start, target) + 0.5


def test_nobody_walks_through_furniture_or_one_another(crowd):
    areas, moved = crowd
    for index, place in enumerate(areas):
        there = moved.areas == index
        spots = np.stack([moved.x[there], moved.y[there]], axis=1)
        assert len(spots) > 100
        for x1, y1, x2, y2 in place.obstacles:
            inside = (spots[:, 0] > x1) & (spots[:, 0] < x2) & (spots[:, 1] > y1) & (spots[:, 1] < y2)
            assert not inside.any()
        assert is_free(place, spots, 0.2).all()
    for step in range(len(moved.areas)):
        for index in range(len(areas)):
            here = np.flatnonzero(moved.areas[step] == index)
            off = np.hypot(
                moved.x[step, here][:, None] - moved.x[step, here], moved.y[step, here][:, None] - moved.y[step, here]
            )
            assert (off + 9 * np.eye(len(here))).min() > 0.35


def test_people_walk_stop_leave_and_come_to_another_place(crowd):
    _, moved = crowd
    speeds = moved.speeds[moved.areas != NOWHERE]
    assert (speeds > 0.8).mean() > 0.3
    assert (speeds < 0.2).mean() > 0.03
    assert speeds.max() < 2.5
    visited = [set(moved.areas[:, person].tolist()) - {NOWHERE} for person in range(moved.areas.shape[1])]
    assert sum(len(places) == 2 for places in visited) >= 8
    away = [np.flatnonzero(np.diff((moved.areas[:, person] == NOWHERE).astype(int))) for person in range(24)]
    gaps = [np.diff(each)[::2] for each in away if len(each) >= 2]
    assert max(gap.max() for gap in gaps if len(gap)) * STEP_S > 2.5


def test_nobody_jumps(crowd):
    _, moved = crowd
    stays = (moved.areas[1:] == moved.areas[:-1]) & (moved.areas[1:] != NOWHERE)
    assert np.hypot(np.diff(moved.x, axis=0), np.diff(moved.y, axis=0))[stays].max() < 0.3
    assert np.abs(np.diff(moved.headings, axis=0))[stays].max() < 0.5


def test_walks_are_the_same_whoever_asks_for_how_long():
    place = [area(2)]
    short, long = walks(place, 6, 5.0), walks(place, 6, 12.0)
    count = len(short.x)
    assert np.array_equal(short.x, long.x[:count])
    assert not np.array_equal(short.x, walks(place, 6, 5.0, seed=1).x)


def brute_force(place: Area, start: np.ndarray, ray: np.ndarray) -> float:
    """Walks along a ray in small steps until it is inside something solid."""
    for distance in np.arange(0.3, 22, 0.02):
        x, y, z = start + distance * ray
        if z < 0 or z > place.ceiling_m:
            return float(distance)
        for thing in place.solids:
            if isinstance(thing, Block):
                hit = all(
                    low <= value <= high for low, value, high in zip(thing.low, (x, y, z), thing.high, strict=True)
                )
            else:
                near = np.hypot(x - thing.centre[0], y - thing.centre[1]) <= thing.radius
                hit = near and thing.low <= z <= thing.high
            if hit:
                return float(distance)
    return np.inf


def test_depths_are_those_of_a_slow_walk_along_the_rays():
    site = small_site()
    camera = site.cameras[0]
    place = replace(site.areas[0], leaves=())
    found = cast_background(place, camera).depth
    rays = camera.rays(SAMPLES)
    rng = np.random.default_rng(0)
    agree = []
    for row, column in rng.integers(0, found.shape, (12, 2)):
        slow = brute_force(place, np.array(camera.position), rays[row, column])
        agree.append(abs(min(slow, 30.0) - min(found[row, column], 30.0)) < 0.04)
    assert np.mean(agree) >= 0.9  # rays along an edge may pass or not


def test_the_floor_is_where_nothing_stands():
    site = small_site()
    camera = site.cameras[0]
    background = cast_background(site.areas[0], camera)
    assert FLOOR == 0
    assert 0.15 < background.floor.mean() < 0.85
    assert np.isfinite(background.colour).all()
    assert background.colour.std() > 0.05


def test_shade_lies_where_a_block_is_in_the_way_of_the_sun():
    place = area(0, outdoors=True)
    sun = (0.0, 0.6, 0.8)
    wall = Block((-1.0, 2.0, 0.0), (1.0, 2.2, 2.0), "plain", (1, 1, 1), (1, 1, 1), 0)
    lone = replace(place, blocks=(wall,), posts=(), leaves=(), light=replace(place.light, direction=sun))
    points = np.array([[0.0, 1.5, 0.0], [0.0, 0.0, 0.0], [3.0, 1.5, 0.0], [0.0, 2.5, 0.0]], np.float32)
    assert sunlit(lone, points).tolist() == [False, True, True, True]
    post = Post((0.0, 1.0), 0.2, 0.0, 2.0, "plain", (1, 1, 1), (1, 1, 1), 0)
    assert sunlit(replace(lone, blocks=(), posts=(post,)), points).tolist() == [True, False, True, True]


def test_leaves_let_some_rays_through():
    tree = Leaves((0.0, 5.0, 1.0), 1.0, (0.2, 0.4, 0.1), 3)
    camera = replace(small_site().cameras[0], position=(0.0, 0.0, 1.0), look_at=(0.0, 5.0, 1.0))
    lone = replace(area(0, outdoors=True), blocks=(), posts=(), leaves=(tree,))
    depth = cast_background(lone, camera).depth
    middle = depth[depth.shape[0] // 2 - 40 : depth.shape[0] // 2, depth.shape[1] // 2 - 40 : depth.shape[1] // 2]
    hit = (middle > 3.9) & (middle < 5.1)
    assert 0.3 < hit.mean() < 1.0


def test_the_light_on_a_person_is_that_of_the_place_where_they_are():
    place = area(0, outdoors=True)
    wall = Block((5.0, 6.0, 0.0), (9.0, 6.2, 3.0), "plain", (1, 1, 1), (1, 1, 1), 0)
    light = replace(place.light, direction=(0.0, 0.6, 0.8), hard=0.6, lamps=())
    lone = replace(place, blocks=(wall,), posts=(), leaves=(), light=light)
    assert light_at(lone, 7.0, 5.5) == pytest.approx(0.4)  # 1.2 m up, the shade reaches 1.35 m from the wall
    assert light_at(lone, 7.0, 4.0) == light_at(lone, 7.0, 8.0) == 1
    room = area(0)
    x, y, _ = room.light.lamps[0]
    assert light_at(room, x, y) > 1.2 * light_at(room, room.room[0], room.room[1])
