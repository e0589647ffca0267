"""Casts rays at the parts of an area that do not move: one picture a camera, with its depths.

Boxes by slabs, posts and leaves by their quadratics; each is tried only where its corners project to. Light falls off
from lamps or comes from the sun with hard shadows; corners and contacts are darkened by distance to what is near.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_camera import NEAREST_M, Reals, VirtualCamera
from reid_pipeline.pipeline.virtual_scene import Area, Block, Leaves, Light, Post, Thing
from reid_pipeline.pipeline.virtual_surfaces import Patch, noise, paint

SAMPLES: Final = 2
FLOOR: Final = 0

_CEILING: Final = Block((0, 0, 0), (1, 1, 1), "ceiling", (0.88, 0.88, 0.86), (0.8, 0.8, 0.8), 5)
_AROUND_M: Final = 5.0
_RASTER_M: Final = 0.08
_LIGHT_RASTER_M: Final = 0.25
_WAIST_M: Final = 1.2
_REMAP_LIMIT: Final = 32_000
_SKY: Final = (0.62, 0.72, 0.85)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What a camera sees without people.

    Attributes:
        colour: ``(H, W, 3)`` linear RGB.
        depth: ``(H * SAMPLES, W * SAMPLES)`` metres along the optical axis.
        floor: ``(H, W)`` how much of each pixel is floor, 0 to 1.
    """

    colour: Reals
    depth: Reals
    floor: Reals


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Rays of a camera and the nearest surface on each so far; all are ``(H * SAMPLES, W * SAMPLES, ...)``."""

    camera: VirtualCamera
    rays: Reals
    depth: Reals
    surface: NDArray[np.int32]


def cast_background(area: Area, camera: VirtualCamera) -> Background:
    """Renders an area without people."""
    view = _start(area, camera)
    things = area.things
    for number, thing in enumerate(things, start=2):
        _cast(view, thing, number)
    shape = view.depth.shape
    colour = np.empty((*shape, 3), np.float32)
    order = np.argsort(view.surface, axis=None, kind="stable")
    numbers, starts = np.unique(view.surface.ravel()[order], return_index=True)
    for number, samples in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        _paint(area, view, things, number, samples, colour.reshape(-1, 3))
    size = (camera.width, camera.height)
    floor = (view.surface == FLOOR).astype(np.float32)
    small, share = (_shrink(samples, size) for samples in (np.minimum(colour, 4), floor))
    return Background(small, view.depth, share)


def _shrink(samples: Reals, size: tuple[int, int]) -> Reals:
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), np.float32)


def sunlit(area: Area, points: Reals) -> NDArray[np.bool_]:
    """Which of the points ``(N, 3)`` nothing of the area puts in the shade."""
    towards = np.asarray(area.light.direction, np.float32)
    start = points + towards * np.float32(0.03)
    lit = np.ones(len(points), np.bool_)
    for thing in area.things:
        lit &= ~np.isfinite(_distance(thing, start, towards[None]))
    return lit


def light_at(area: Area, x: float, y: float) -> float:
    """How much of the strongest light arrives at a person's waist, about 1 where nothing is in its way."""
    left, top, raster = _light_raster(area)
    column, row = round((x - left) / _LIGHT_RASTER_M), round((y - top) / _LIGHT_RASTER_M)
    return float(raster[min(max(row, 0), raster.shape[0] - 1), min(max(column, 0), raster.shape[1] - 1)])


@lru_cache(maxsize=8)
def _light_raster(area: Area) -> tuple[float, float, Reals]:
    """Where a raster over the floor starts, and the light on each of its points."""
    x1, y1, x2, y2 = area.room
    left, top = x1 - _AROUND_M, y1 - _AROUND_M
    xs = np.arange(left, x2 + _AROUND_M, _LIGHT_RASTER_M)
    ys = np.arange(top, y2 + _AROUND_M, _LIGHT_RASTER_M)
    places = np.stack([*(axis.ravel() for axis in np.meshgrid(xs, ys)), np.full(len(xs) * len(ys), _WAIST_M)], axis=1)
    points = places.astype(np.float32)
    if area.light.lamps:
        light = _lamp_light(area.light, points, np.broadcast_to(np.array([0, 0, 1], np.float32), points.shape))
    else:
        light = _shadow(area, points) if area.light.hard > 0 else np.ones(len(points), np.float32)
    return left, top, light.reshape(len(ys), len(xs))


def _start(area: Area, camera: VirtualCamera) -> _View:
    """Floor, 0, ceiling, 1, or sky, -1."""
    rays = camera.rays(SAMPLES)
    position = np.asarray(camera.position, np.float32)
    down = rays[..., 2]
    with np.errstate(divide="ignore", over="ignore"):
        to_floor = np.where(down < -1e-6, -position[2] / down, np.inf)
        top = np.where(down > 1e-6, (np.float32(area.ceiling_m) - position[2]) / down, np.inf)
    surface = np.where(np.isfinite(to_floor), FLOOR, np.where(np.isfinite(top), 1, -1)).astype(np.int32)
    depth = np.minimum(to_floor, top).astype(np.float32)
    return _View(camera, rays, np.minimum(depth, np.float32(1e4)), surface)


def _cast(view: _View, thing: Thing, number: int) -> None:
    rows, columns = _extent(view.camera, thing)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    rays = view.rays[rows, columns]
    start = np.asarray(view.camera.position, np.float32)[None]
    distance = _distance(thing, start, rays.reshape(-1, 3)).reshape(rays.shape[:2])
    nearer = distance < view.depth[rows, columns]
    view.depth[rows, columns][nearer] = distance[nearer]
    view.surface[rows, columns][nearer] = number


def _corners(thing: Thing) -> Reals:
    if isinstance(thing, Block):
        low, high = thing.low, thing.high
    elif isinstance(thing, Post):
        (x, y), r = thing.centre, thing.radius
        low, high = (x - r, y - r, thing.low), (x + r, y + r, thing.high)
    else:
        (x, y, z), r = thing.centre, thing.radius
        low, high = (x - r, y - r, z - r), (x + r, y + r, z + r)
    return np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])], np.float32
    )


def _extent(camera: VirtualCamera, thing: Thing) -> tuple[slice, slice]:
    """Rows and columns of samples that a thing may cover."""
    pixels, depth = camera.project(_corners(thing))
    if depth.max() < NEAREST_M:
        return slice(0, 0), slice(0, 0)
    height, width = camera.height * SAMPLES, camera.width * SAMPLES
    if depth.min() < NEAREST_M:
        return slice(0, height), slice(0, width)
    low, high = np.floor(pixels.min(axis=0)) * SAMPLES, (np.ceil(pixels.max(axis=0)) + 1) * SAMPLES
    (left, top), (right, bottom) = np.clip([low, high], 0, (width, height)).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _distance(thing: Thing, start: Reals, rays: Reals) -> Reals:
    """Where rays ``(N, 3)`` from ``start`` (1 or N, 3) first hit, in lengths of the rays; infinite where they miss."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if isinstance(thing, Block):
            return _slabs(thing, start, rays)
        if isinstance(thing, Post):
            return _post(thing, start, rays)
        return _leaf_ball(thing, start, rays)


def _slabs(block: Block, start: Reals, rays: Reals) -> Reals:
    enter = np.full(len(rays), -np.inf, np.float32)
    leave = np.full(len(rays), np.inf, np.float32)
    for axis in range(3):
        safe = np.where(np.abs(rays[:, axis]) < 1e-7, np.float32(1e-7), rays[:, axis])
        one = (np.float32(block.low[axis]) - start[:, axis]) / safe
        other = (np.float32(block.high[axis]) - start[:, axis]) / safe
        enter, leave = np.maximum(enter, np.minimum(one, other)), np.minimum(leave, np.maximum(one, other))
    hit: Reals = np.where((enter <= leave) & (enter > 0), enter, np.float32(np.inf))
    return hit


def _post(post: Post, start: Reals, rays: Reals) -> Reals:
    x, y = (start[:, axis] - np.float32(post.centre[axis]) for axis in range(2))
    a = rays[:, 0] ** 2 + rays[:, 1] ** 2
    b = x * rays[:, 0] + y * rays[:, 1]
    root = b * b - a * (x * x + y * y - np.float32(post.radius) ** 2)
    side = (-b - np.sqrt(root)) / a
    level = start[:, 2] + side * rays[:, 2]
    hit = np.where((root > 0) & (side > 0) & (level >= post.low) & (level <= post.high), side, np.inf)
    top = (np.float32(post.high) - start[:, 2]) / rays[:, 2]
    inside = (x + top * rays[:, 0]) ** 2 + (y + top * rays[:, 1]) ** 2 < post.radius**2
    nearest: Reals = np.minimum(hit, np.where(inside & (top > 0), top, np.inf)).astype(np.float32)
    return nearest


def _leaf_ball(leaves: Leaves, start: Reals, rays: Reals) -> Reals:
    """A ball whose skin is torn into leaves, the more the nearer to its rim."""
    radius = np.float32(leaves.radius)
    x, y, z = (start[:, axis] - np.float32(leaves.centre[axis]) for axis in range(3))
    a = rays[:, 0] ** 2 + rays[:, 1] ** 2 + rays[:, 2] ** 2
    b = x * rays[:, 0] + y * rays[:, 1] + z * rays[:, 2]
    root = b * b - a * (x * x + y * y + z * z - radius**2)
    hit = np.full(root.shape, np.inf, np.float32)
    on = np.nonzero(root > 0)[0]
    a, b, root = np.broadcast_to(a, hit.shape)[on], b[on], root[on]
    near = (-b - np.sqrt(root)) / a
    shape = (len(hit), 3)
    off = np.broadcast_to(start - np.asarray(leaves.centre, np.float32), shape)[on]
    point = (off + near[:, None] * np.broadcast_to(rays, shape)[on]) / radius
    turn = np.arctan2(point[:, 1], point[:, 0]) * np.float32(max(5.0, leaves.radius * 13))
    rise = point[:, 2] * np.float32(max(5.0, leaves.radius * 16))
    rim = 1 - root / (radius**2 * a)
    offset = np.float32(leaves.seed % 997)
    torn = noise(turn + offset, rise) + noise(turn * 2 + offset, rise * 2) * np.float32(0.6)
    hit[on] = np.where((near > 0) & (torn < 0.75 - 1.1 * rim), near, np.inf)
    return hit


def _paint(
    area: Area,
    view: _View,
    things: tuple[Thing, ...],
    number: int,
    samples: NDArray[np.int64],
    colour: Reals,
) -> None:
    """Gives the samples of one surface their colour."""
    rays, depth = view.rays.reshape(-1, 3)[samples], view.depth.ravel()[samples]
    if number < 0:
        colour[samples] = np.asarray(_SKY, np.float32) * (1.1 - 0.3 * np.clip(rays[:, 2:], 0, 1))
        return
    points = np.asarray(view.camera.position, np.float32) + rays * depth[:, None]
    if number in {FLOOR, 1}:
        block = area.floor if number == FLOOR else _CEILING
        up = 1.0 if number == FLOOR else -1.0
        normals = np.broadcast_to(np.array([0, 0, up], np.float32), points.shape)
        patch = Patch(points[:, 0], points[:, 1], 1, 1, True, depth)
        albedo = paint(block.material, patch, block.colour, block.second, block.seed)
    else:
        normals, albedo = _surface(things[number - 2], points, depth)
    colour[samples] = albedo * _illuminate(area, points, normals, None if number < 2 else things[number - 2])


def _surface(thing: Thing, points: Reals, depth: Reals) -> tuple[Reals, Reals]:
    """Normals and colours of points on a thing."""
    if isinstance(thing, Block):
        return _block_surface(thing, points, depth)
    if isinstance(thing, Leaves):
        normals = (points - np.asarray(thing.centre, np.float32)) / np.float32(thing.radius)
        grain = noise(points[:, 0] * 19 + points[:, 2] * 11, points[:, 1] * 19 + points[:, 2] * 13)
        green = np.power(np.asarray(thing.colour, np.float32), 2.2)
        return normals, green * (1 + 0.8 * grain)[:, None]
    flat = np.array([*thing.centre, 0], np.float32)
    normals = (points - flat) / np.float32(thing.radius)
    above = points[:, 2] > thing.high - 1e-3
    normals[:, 2] = 0
    normals[above] = (0, 0, 1)
    angle = np.arctan2(normals[:, 1], normals[:, 0]) * np.float32(thing.radius)
    patch = Patch(angle, points[:, 2], 2 * np.pi * thing.radius, thing.high, False, depth)
    return normals, paint(thing.material, patch, thing.colour, thing.second, thing.seed)


def _block_surface(block: Block, points: Reals, depth: Reals) -> tuple[Reals, Reals]:
    low, high = np.asarray(block.low, np.float32), np.asarray(block.high, np.float32)
    off = np.concatenate([np.abs(points - low), np.abs(points - high)], axis=1)
    face = off.argmin(axis=1)
    normals = np.zeros_like(points)
    normals[np.arange(len(points)), face % 3] = np.where(face < 3, -1, 1)
    albedo = np.empty_like(points)
    size = high - low
    for axis, (along, up) in enumerate(((1, 2), (0, 2), (0, 1))):
        on = face % 3 == axis
        if on.any():
            local = points[on] - low
            patch = Patch(local[:, along], local[:, up], float(size[along]), float(size[up]), axis == 2, depth[on])
            albedo[on] = paint(block.material, patch, block.colour, block.second, block.seed)
    return normals, albedo


def _illuminate(area: Area, points: Reals, normals: Reals, own: Thing | None) -> Reals:
    """Linear RGB that points scatter, but for their own colour."""
    light = area.light
    upward = normals[:, 2:] * np.float32(0.5) + np.float32(0.5)
    sky, ground = np.asarray(light.sky, np.float32), np.asarray(light.ground, np.float32)
    ambient = ground + (sky - ground) * upward
    towards = np.asarray(light.direction, np.float32)
    facing = np.maximum((normals * towards).sum(axis=1), 0)
    if light.lamps:
        facing = _lamp_light(light, points, normals)
    elif light.hard > 0 and not isinstance(own, Leaves):
        lit = facing > 0
        facing[lit] *= _shadow(area, points[lit])
    key = np.asarray(light.key, np.float32) * facing[:, None]
    total: Reals = key + ambient * _occlusion(area, points, normals, own)[:, None]
    return total


def _lamp_light(light: Light, points: Reals, normals: Reals) -> Reals:
    """Light of all lamps, about 1 on the floor below them."""
    total = np.zeros(len(points), np.float32)
    for lamp in light.lamps:
        towards = np.asarray(lamp, np.float32) - points
        square = np.maximum((towards * towards).sum(axis=1), 0.3)
        cosine = np.maximum((towards * normals).sum(axis=1), 0) / np.sqrt(square)
        downward = np.maximum(towards[:, 2], 0) / np.sqrt(square)
        total += cosine * (np.float32(0.35) + np.float32(0.65) * downward) / square
    height = np.float32(light.lamps[0][2])
    bounded: Reals = np.minimum(total * height * height * np.float32(0.62), 2.0)
    return bounded


def _shadow(area: Area, points: Reals) -> Reals:
    return 1 - np.float32(area.light.hard) * (1 - sunlit(area, points).astype(np.float32))


def _occlusion(area: Area, points: Reals, normals: Reals, own: Thing | None) -> Reals:
    """What of the light from all around arrives: less at the foot of things and in corners."""
    open_part = np.ones(len(points), np.float32)
    level = normals[:, 2] > 0.5
    if own is None:
        open_part[level] = _floor_occlusion(area, points[level])
    elif level.any():
        open_part[level] = _contacts(area, points[level], own)
    upright = ~level
    open_part[upright] = 1 - np.float32(0.45) * np.exp(-np.maximum(points[upright, 2], 0) / np.float32(0.35))
    if np.isfinite(area.ceiling_m) and own is not None:
        below = np.float32(area.ceiling_m) - points[:, 2]
        open_part *= 1 - np.float32(0.25) * np.exp(-np.abs(below) / np.float32(0.4)) * upright
    if isinstance(own, Leaves):
        depth = ((points - np.asarray(own.centre, np.float32))[:, 2] / np.float32(own.radius) + 1) / 2
        open_part *= 0.45 + 0.55 * depth
    return open_part


def _contacts(area: Area, points: Reals, own: Thing | None) -> Reals:
    part = np.ones(len(points), np.float32)
    for thing in area.solids:
        if thing is not own:
            part *= 1 - _contact(thing, points)
    return part


def _floor_occlusion(area: Area, points: Reals) -> Reals:
    """The same for points on the floor, by way of a raster: they are many."""
    if not len(points):
        return np.ones(0, np.float32)
    x1, y1, x2, y2 = area.room
    origin = np.array([x1 - _AROUND_M, y1 - _AROUND_M], np.float32)
    columns, rows = int((x2 - x1 + 2 * _AROUND_M) / _RASTER_M), int((y2 - y1 + 2 * _AROUND_M) / _RASTER_M)
    ys, xs = np.mgrid[0:rows, 0:columns].astype(np.float32)
    raster = np.stack(
        [xs.ravel() * _RASTER_M + origin[0], ys.ravel() * _RASTER_M + origin[1], np.zeros(xs.size)], axis=1
    )
    open_part = _contacts(area, raster.astype(np.float32), None).reshape(rows, columns)
    place = (points[:, :2] - origin) / np.float32(_RASTER_M)
    found = np.empty(len(points), np.float32)
    for start in range(0, len(points), _REMAP_LIMIT):  # OpenCV's limit of rows
        part = place[start : start + _REMAP_LIMIT]
        at_x, at_y = (np.ascontiguousarray(part[:, axis])[None] for axis in (0, 1))
        found[start : start + _REMAP_LIMIT] = cv2.remap(
            open_part, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[0]
    return found


def _contact(thing: Block | Post, points: Reals) -> Reals:
    """How much a thing darkens level points near its foot, 0 to 1."""
    corners = _corners(thing)
    low, high = corners.min(axis=0), corners.max(axis=0)
    above = points[:, 2]
    tall = np.clip((high[2] - above) / np.float32(0.6), 0, 1) * (low[2] - above < 0.9)
    gap = np.clip(low[2] - above, 0, 1)
    off = np.maximum(np.maximum(low[:2] - points[:, :2], points[:, :2] - high[:2]), 0)
    square = (off * off).sum(axis=1) + gap * gap
    reach = np.float32(0.18) + np.float32(0.12) * np.minimum(high[2] - low[2], 2)
    dark: Reals = np.float32(0.6) * tall * np.exp(-np.sqrt(square) / reach)
    return dark
