"""Draws closed surfaces made of rings, as a person's limbs are: a small rasteriser on NumPy and OpenCV's polygons.

A surface is a grid of vertices: rows along an axis, columns around it, the last column a copy of the first. OpenCV
fills the quads far to near with their numbers, on integers; then every sample looks up its quad and interpolates depth,
light and texture in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_camera import NEAREST_M, Reals, VirtualCamera

_SHIFT: Final = 5  # fractional bits of OpenCV's coordinates
_FURTHEST_PX: Final = 30_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """What of a set of surfaces does not move.

    Attributes:
        shapes: Rows and columns of each surface.
        quads: ``(Q, 4)`` vertex numbers, in turn around each quad.
        texture_xy: ``(V, 2)`` column and row in `texels` of each vertex, fractional.
        quad_origin: ``(Q,)`` where the quad's texture starts in `texels`.
        quad_width: ``(Q,)`` columns of that texture.
        quad_bias: ``(Q,)`` metres by which the quad is drawn as if nearer: garments over what they cover.
        texels: ``(T, 3)`` linear RGB of all textures, one after another.
    """

    shapes: tuple[tuple[int, int], ...]
    quads: NDArray[np.int64]
    texture_xy: Reals
    quad_origin: NDArray[np.int64]
    quad_width: NDArray[np.int64]
    quad_bias: Reals
    texels: Reals


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One person's samples in a window of the picture.

    Attributes:
        left: First column of the window, in pixels; may lie outside of the picture.
        top: First row.
        factor: Samples per pixel along each axis.
        covered: ``(h * factor, w * factor)`` where the person is.
        depth: The same shape, metres.
        colour: ``(h * factor, w * factor, 3)`` linear RGB.
    """

    left: int
    top: int
    factor: int
    covered: NDArray[np.bool_]
    depth: Reals
    colour: Reals


def loft(centres: Reals, across: Reals, along: Reals, columns: int, power: float = 1.0) -> Reals:
    """A grid ``(rows, columns + 1, 3)`` of rings; ``power`` below 1 makes them squarer."""
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    if power != 1.0:
        cosine, sine = (np.sign(wave) * np.abs(wave) ** power for wave in (cosine, sine))
    grid = centres[:, None] + cosine[None, :, None] * across[:, None] + sine[None, :, None] * along[:, None]
    grid[:, -1] = grid[:, 0]
    smooth: Reals = grid.astype(np.float32)
    return smooth


def frame(points: Reals, lateral: Reals) -> tuple[Reals, Reals]:
    """Unit vectors across and along each ring of a limb through ``points``, lowest first."""
    axis = np.gradient(points, axis=0)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    across = lateral - axis * (axis * lateral).sum(axis=1, keepdims=True)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return across, np.cross(across, axis)


def limb(joints: Sequence[Reals], lengths: Reals) -> Reals:
    """Points along a chain of joints at parts ``lengths`` (0-1) of it, rounded at the joints."""
    chain = np.stack(joints)
    marks = np.linspace(0, 1, len(joints))
    points = np.stack([np.interp(lengths, marks, chain[:, axis]) for axis in range(3)], axis=1)
    points[1:-1] = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
    return points


def yawed(yaw: Reals) -> tuple[Reals, Reals]:
    """Unit vectors to the left and forward of level rings."""
    cosine, sine, zero = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)
    return np.stack([-sine, cosine, zero], axis=1), np.stack([cosine, sine, zero], axis=1)


def build_topology(shapes: Sequence[tuple[int, int]], textures: Sequence[Reals], biases: Sequence[float]) -> Topology:
    """Joins surfaces of ``shapes`` (rows, columns) with their textures ``(h, w, 3)``."""
    quads, places, origins, widths, lifted = [], [], [], [], []
    vertex = texel = 0
    for (rows, columns), texture, bias in zip(shapes, textures, biases, strict=True):
        grid = np.arange(rows * columns).reshape(rows, columns) + vertex
        corners = [grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]]
        quads.append(np.stack([corner.ravel() for corner in corners], axis=1))
        height, width = texture.shape[:2]
        ys, xs = np.mgrid[0 : height - 1.01 : rows * 1j, 0 : width - 1.01 : columns * 1j]
        places.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        count = len(quads[-1])
        origins.append(np.full(count, texel))
        widths.append(np.full(count, width))
        lifted.append(np.full(count, bias))
        vertex, texel = vertex + rows * columns, texel + height * width
    return Topology(
        tuple(shapes),
        np.concatenate(quads),
        np.concatenate(places).astype(np.float32),
        np.concatenate(origins),
        np.concatenate(widths),
        np.concatenate(lifted).astype(np.float32),
        np.concatenate([texture.reshape(-1, 3) for texture in textures]).astype(np.float32),
    )


def surface_normals(grid: Reals) -> Reals:
    """Outward unit normals of a grid ``(rows, columns, 3)`` whose rows go up while its columns go counter-clockwise."""
    along = np.empty_like(grid)
    along[1:-1] = grid[2:] - grid[:-2]
    along[0], along[-1] = grid[1] - grid[0], grid[-1] - grid[-2]
    around = np.empty_like(grid)
    around[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    around[:, 0] = around[:, -1] = grid[:, 1] - grid[:, -2]
    (ax, ay, az), (bx, by, bz) = along.transpose(2, 0, 1), around.transpose(2, 0, 1)
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=2)
    lengths = np.sqrt((normals * normals).sum(axis=2, keepdims=True))
    axis = grid[-1].mean(axis=0) - grid[0].mean(axis=0)
    pointed = lengths[..., 0] < 1e-9  # where a ring has shrunk to a point
    normals[pointed] = axis
    if pointed[0].any():
        normals[0] = -axis
    unit: Reals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), np.float32(1e-12))
    return unit


def window_of(pixels: Reals, camera: VirtualCamera) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels, limited to one picture's size around the picture."""
    low = np.floor(pixels.min(axis=0)) - 1
    high = np.ceil(pixels.max(axis=0)) + 2
    size = np.array([camera.width, camera.height])
    low, high = np.clip(low, -size, 2 * size), np.clip(high, -size, 2 * size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def rasterise(topology: Topology, vertices: Reals, light: Reals, camera: VirtualCamera, factor: int) -> Layer | None:
    """Draws surfaces.

    Args:
        topology: Of the surfaces.
        vertices: ``(V, 3)`` in the world.
        light: ``(V, 3)`` linear RGB that falls on each vertex and is scattered there.
        camera: Looks at them.
        factor: Samples per pixel along each axis.

    Returns:
        The samples, or nothing where the surfaces are behind the camera.
    """
    pixels, depth = camera.project(vertices)
    if depth.min() < NEAREST_M:
        return None
    left, top, right, bottom = window_of(pixels, camera)
    if right <= left or bottom <= top:
        return None
    places = np.clip((pixels - (left, top)) * factor - 0.5, -_FURTHEST_PX, _FURTHEST_PX).astype(np.float32)
    numbers = _fill(topology, places, depth, ((bottom - top) * factor, (right - left) * factor))
    covered = numbers > 0
    rows, columns = np.nonzero(covered)
    attributes = np.concatenate([topology.texture_xy, depth[:, None], light], axis=1)
    values = _interpolate(topology.quads, places, attributes, numbers[rows, columns] - 1, (columns, rows))
    texel = _texel_numbers(topology, numbers[rows, columns] - 1, values)
    far = np.full(covered.shape, np.inf, np.float32)
    far[rows, columns] = values[:, 2]
    colour = np.zeros((*covered.shape, 3), np.float32)
    colour[rows, columns] = topology.texels[texel] * values[:, 3:]
    return Layer(left, top, factor, covered, far, colour)


def _fill(topology: Topology, places: Reals, depth: Reals, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Numbers, from 1, of the nearest quad at each sample; 0 for none."""
    corners = places[topology.quads]
    first, second = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    turn = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    order = np.argsort(topology.quad_bias - depth[topology.quads].mean(axis=1), kind="stable")
    order = order[turn[order] > 0]
    numbers = np.zeros(shape, np.int32)
    fixed = np.rint(corners[order] * (1 << _SHIFT)).astype(np.int32)
    for polygon, number in zip(fixed, (order + 1).tolist(), strict=True):
        cv2.fillConvexPoly(numbers, polygon, number, cv2.LINE_8, _SHIFT)
    return numbers


def _interpolate(
    quads: NDArray[np.int64],
    places: Reals,
    attributes: Reals,
    numbers: NDArray[np.int32],
    samples: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Reals:
    """Attributes at samples: each quad is taken as the image of a square under the affine map that fits it best."""
    p0, p1, p2, p3 = (places[quads[:, corner]] for corner in range(4))
    step_s, step_t = (p1 - p0 + p2 - p3) / 2, (p3 - p0 + p2 - p1) / 2
    area = step_s[:, 0] * step_t[:, 1] - step_s[:, 1] * step_t[:, 0]
    inverse = 1 / np.where(np.abs(area) < 1e-6, np.float32(1e-6), area)
    to_s = np.stack([step_t[:, 1] * inverse, -step_t[:, 0] * inverse], axis=1)
    to_t = np.stack([-step_s[:, 1] * inverse, step_s[:, 0] * inverse], axis=1)
    middle = (p0 + p1 + p2 + p3) / 4
    a0, a1, a2, a3 = (attributes[quads[:, corner]] for corner in range(4))
    x, y = (axis.astype(np.float32) - middle[numbers, index] for index, axis in enumerate(samples))
    s = np.clip(x * to_s[numbers, 0] + y * to_s[numbers, 1], -0.5, 0.5)[:, None]
    t = np.clip(x * to_t[numbers, 0] + y * to_t[numbers, 1], -0.5, 0.5)[:, None]
    values: Reals = (a0 + a1 + a2 + a3)[numbers] / 4
    values += ((a1 - a0 + a2 - a3) / 2)[numbers] * s + ((a3 - a0 + a2 - a1) / 2)[numbers] * t
    return values


def _texel_numbers(topology: Topology, numbers: NDArray[np.int32], values: Reals) -> NDArray[np.int64]:
    column, row = np.rint(values[:, 0]).astype(np.int64), np.rint(values[:, 1]).astype(np.int64)
    texels: NDArray[np.int64] = topology.quad_origin[numbers] + row * topology.quad_width[numbers] + column
    return texels
