"""Puts people into the picture of a place: their shadows on the floor, then each from far to near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_background import SAMPLES, Background, light_at
from reid_pipeline.pipeline.virtual_body import SHOES, Body, build_body
from reid_pipeline.pipeline.virtual_camera import NEAREST_M, Reals, VirtualCamera, develop
from reid_pipeline.pipeline.virtual_look import Look
from reid_pipeline.pipeline.virtual_mesh import Layer, rasterise
from reid_pipeline.pipeline.virtual_pose import Motion
from reid_pipeline.pipeline.virtual_scene import Area

_TALL_PX: Final = ((90.0, 4), (170.0, 3))
_HALF: Final = np.float32(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A person at one moment."""

    identity: int
    look: Look
    motion: Motion


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A person's truth in one picture: ``box`` in whole pixels, within the picture; visible part in 0-1."""

    identity: int
    box: tuple[int, int, int, int]
    visibility: float


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Where people are put: ``developed (H, W, 3)`` is the background in grey levels."""

    background: Background
    camera: VirtualCamera
    area: Area
    developed: Reals


@dataclass(frozen=True, slots=True, eq=False)
class _Figure:
    """A person's pixels in a window of the picture.

    Attributes:
        standing: Who.
        distance: Metres to the camera.
        left: First column of the window.
        top: First row.
        whole: ``(h, w)`` share of each pixel that the figure covers, were it alone.
        open: The same, without what furniture hides.
        levels: ``(h, w, 3)`` grey levels.
    """

    standing: Standing
    distance: float
    left: int
    top: int
    whole: Reals
    open: Reals
    levels: Reals


def compose(canvas: Canvas, people: Sequence[Standing]) -> tuple[Reals, list[Seen]]:
    """Draws people.

    Returns:
        Grey levels ``(H, W, 3)`` BGR, and the truth of everybody who is in the picture, by identity.
    """
    picture = canvas.developed.copy()
    figures = []
    for standing in people:
        body = build_body(standing.look, standing.motion)
        lit = light_at(canvas.area, *standing.motion.position)
        if (figure := _draw(canvas, standing, body, lit)) is not None:
            _cast_shadow(canvas, picture, body, standing, lit)
            figures.append(figure)
    figures.sort(key=lambda figure: -figure.distance)
    owners = np.zeros(picture.shape[:2], np.int32)
    for number, figure in enumerate(figures, start=1):
        _put(picture, owners, figure, number)
    counts = np.bincount(owners.ravel(), minlength=len(figures) + 1)
    seen = [_truth(canvas.camera, figure, int(counts[number])) for number, figure in enumerate(figures, start=1)]
    return picture, sorted((each for each in seen if each is not None), key=lambda each: each.identity)


def _draw(canvas: Canvas, standing: Standing, body: Body, lit: float) -> _Figure | None:
    pixels, depth = canvas.camera.project(body.vertices)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    camera = canvas.camera
    if depth.min() < NEAREST_M or (high < 0).any() or low[0] > camera.width or low[1] > camera.height:
        return None
    tall = float(high[1] - low[1])
    factor = next((each for limit, each in _TALL_PX if tall < limit), 2)
    layer = rasterise(body.topology, body.vertices, _light(canvas.area, body, lit), camera, factor)
    return None if layer is None else _figure(canvas, standing, layer)


def _light(area: Area, body: Body, lit: float) -> Reals:
    """Light on each vertex: the strongest softly, that from all around less where the body is close to the floor."""
    light, normals = area.light, body.normals
    towards = np.asarray(light.direction, np.float32)
    facing = normals[:, 0] * towards[0] + normals[:, 1] * towards[1] + normals[:, 2] * towards[2]
    soft = np.float32(0.1 if light.hard > 0.5 else 0.35)
    key = np.maximum((facing + soft) / (1 + soft), 0) * np.float32(lit)
    upward = normals[:, 2:] * _HALF + _HALF
    sky, ground = np.asarray(light.sky, np.float32), np.asarray(light.ground, np.float32)
    near_floor = 0.72 + 0.28 * np.clip(body.vertices[:, 2:] / np.float32(0.9), 0, 1)
    total: Reals = key[:, None] * np.asarray(light.key, np.float32) + (ground + (sky - ground) * upward) * near_floor
    return total


def _figure(canvas: Canvas, standing: Standing, layer: Layer) -> _Figure | None:
    """Averages samples to pixels."""
    factor, camera = layer.factor, canvas.camera
    free = layer.covered & (layer.depth < _furniture(canvas, layer))
    whole, opened = (_average(mask.astype(np.float32), factor) for mask in (layer.covered, free))
    colour = _average(layer.colour * free[..., None], factor) / np.maximum(opened, np.float32(1e-6))[..., None]
    if not (whole >= _HALF).any():
        return None
    distance = float(layer.depth[layer.covered].mean())
    return _Figure(standing, distance, layer.left, layer.top, whole, opened, develop(colour, camera.faults))


def _average(samples: Reals, factor: int) -> Reals:
    height, width = samples.shape[0] // factor, samples.shape[1] // factor
    return np.asarray(cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _furniture(canvas: Canvas, layer: Layer) -> Reals:
    """Depth of the background at each sample of a layer; infinite outside of the picture."""
    depth = canvas.background.depth
    rows = layer.top * SAMPLES + (np.arange(layer.covered.shape[0]) * SAMPLES) // layer.factor
    columns = layer.left * SAMPLES + (np.arange(layer.covered.shape[1]) * SAMPLES) // layer.factor
    return depth[np.clip(rows, 0, depth.shape[0] - 1)[:, None], np.clip(columns, 0, depth.shape[1] - 1)[None]]


def _inside(shape: tuple[int, ...], left: int, top: int, height: int, width: int) -> tuple[tuple[slice, slice], ...]:
    """The part of the picture under a window, and the part of the window over the picture."""
    y1, y2 = max(top, 0), min(top + height, shape[0])
    x1, x2 = max(left, 0), min(left + width, shape[1])
    y2, x2 = max(y1, y2), max(x1, x2)
    return (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))


def _put(picture: Reals, owners: NDArray[np.int32], figure: _Figure, number: int) -> None:
    there, here = _inside(picture.shape, figure.left, figure.top, *figure.open.shape)
    share = figure.open[here][..., None]
    picture[there] += (figure.levels[here] - picture[there]) * share
    owners[there][figure.open[here] >= _HALF] = number


def _truth(camera: VirtualCamera, figure: _Figure, owned: int) -> Seen | None:
    solid = figure.whole >= _HALF
    _, here = _inside((camera.height, camera.width), figure.left, figure.top, *solid.shape)
    rows, columns = np.nonzero(solid[here])
    if not len(rows):
        return None
    left, top = max(figure.left, 0), max(figure.top, 0)
    box = (left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1)
    x1, y1, x2, y2 = (int(edge) for edge in box)
    return Seen(figure.standing.identity, (x1, y1, x2, y2), owned / int(solid.sum()))


def _cast_shadow(canvas: Canvas, picture: Reals, body: Body, standing: Standing, lit: float) -> None:
    """Darkens the floor: where the body keeps off the strongest light, and under the feet."""
    light = canvas.area.light
    towards = np.asarray(light.direction, np.float64)
    strength = (0.42 if light.lamps else 0.4 + 0.3 * light.hard) * min(lit, 1.0)
    down = body.vertices.astype(np.float64)
    down = down - towards * (down[:, 2:] / towards[2])
    halves, first = [], 0
    for rows, columns in body.topology.shapes:
        grid = down[first : first + rows * columns].reshape(rows, columns, 3)
        halves.append([grid[start : start + rows // 2 + 1].reshape(-1, 3) for start in (0, (rows - 1) // 2)])
        first += rows * columns
    soft_m = 0.012 if light.hard > 0.5 else 0.05
    _darken(canvas, picture, [half for part in halves for half in part], strength, soft_m * standing.look.height_m)
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(16)], axis=1)
    _darken(canvas, picture, [ring * 0.36 + [*standing.motion.position, 0.0]], 0.5, 0.16)
    _darken(canvas, picture, [half for shoe in SHOES for half in halves[shoe]], 0.6, 0.03)


def _darken(
    canvas: Canvas, picture: Reals, polygons: list[NDArray[np.float64]], strength: float, soft_m: float
) -> None:
    """Darkens what of the floor lies in polygons ``(K, 3)`` whose edges are ``soft_m`` wide."""
    camera = canvas.camera
    lengths = [len(polygon) for polygon in polygons]
    pixels, depth = camera.project(np.concatenate(polygons))
    if depth.min() < NEAREST_M:
        return
    sigma = max(0.6, soft_m * camera.focal_px / float(depth.mean()))
    margin = int(3 * sigma) + 2
    low, high = np.floor(pixels.min(axis=0)) - margin, np.ceil(pixels.max(axis=0)) + margin
    low, high = np.clip(low, -camera.width, 2 * camera.width), np.clip(high, -camera.width, 2 * camera.width)
    (left, top), (right, bottom) = low.astype(int).tolist(), high.astype(int).tolist()
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for points in np.split(pixels - low, np.cumsum(lengths)[:-1]):
        hull = cv2.convexHull(np.ascontiguousarray(points, np.float32))
        cv2.fillConvexPoly(mask, np.rint(hull * 8).astype(np.int32), 255, cv2.LINE_AA, 3)
    soft = cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32) / 255
    there, here = _inside(picture.shape, left, top, *mask.shape)
    dark = 1 - np.float32(strength) * soft[here] * canvas.background.floor[there]
    picture[there] *= np.power(dark, np.float32(1 / camera.faults.gamma))[..., None]
