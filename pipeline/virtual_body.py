"""The surfaces of a virtual person in a pose: each is a row of rings, as `virtual_mesh` draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from reid_pipeline.pipeline import virtual_clothes as clothes
from reid_pipeline.pipeline.virtual_camera import Reals
from reid_pipeline.pipeline.virtual_head import build_hair, build_head, build_neck, count_hair
from reid_pipeline.pipeline.virtual_look import Bag, Bottom, Hair, Look, Top
from reid_pipeline.pipeline.virtual_mesh import Topology, build_topology, frame, limb, loft, surface_normals, yawed
from reid_pipeline.pipeline.virtual_pose import (
    ANKLE,
    HEEL,
    HIP_HEIGHT,
    TOE,
    Motion,
    Pose,
    pose_body,
)

# Half widths and half depths of the trunk as parts of the stature, by height: shapes of our own drawing.
_TRUNK_Z: Final = (0.28, 0.44, 0.48, 0.52, 0.56, 0.60, 0.64, 0.69, 0.74, 0.775, 0.80, 0.82, 0.835, 0.852)
_TRUNK_MAN: Final = (0.085, 0.088, 0.095, 0.098, 0.094, 0.087, 0.086, 0.093, 0.103, 0.107, 0.105, 0.093, 0.058, 0.033)
_TRUNK_WOMAN: Final = (0.088, 0.094, 0.104, 0.107, 0.098, 0.081, 0.075, 0.082, 0.090, 0.093, 0.091, 0.080, 0.048, 0.03)
_DEPTH_MAN: Final = (0.062, 0.062, 0.068, 0.070, 0.066, 0.062, 0.062, 0.067, 0.070, 0.066, 0.057, 0.047, 0.039, 0.033)
_DEPTH_WOMAN: Final = (0.062, 0.064, 0.073, 0.074, 0.066, 0.056, 0.054, 0.061, 0.073, 0.067, 0.054, 0.043, 0.036, 0.03)
_HEM: Final = {
    Top.TSHIRT: 0.485,
    Top.SHIRT: 0.47,
    Top.SWEATER: 0.485,
    Top.JACKET: 0.465,
    Top.COAT: 0.31,
    Top.DRESS: 0.31,
}
_NECK: Final = 0.852

SHOES: Final = (2, 4)
"""Which of the surfaces are shoes."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A person in the world: ``vertices (V, 3)``, outward ``normals (V, 3)`` and the ``topology`` of both."""

    topology: Topology
    vertices: Reals
    normals: Reals


def build_body(look: Look, motion: Motion) -> Body:
    """Puts a person into the world in the pose of one moment."""
    pose = pose_body(look, motion)
    grids = list(_surfaces(look, pose))
    vertices = np.concatenate([grid.reshape(-1, 3) for grid in grids])
    normals = np.concatenate([surface_normals(grid).reshape(-1, 3) for grid in grids])
    cosine, sine = np.cos(motion.heading), np.sin(motion.heading)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], np.float32)
    placed = _multiply(vertices, turn) + np.array([*motion.position, 0.0], np.float32)
    return Body(body_topology(look), placed, _multiply(normals, turn))


@lru_cache(maxsize=512)
def body_topology(look: Look) -> Topology:
    """Grids and textures of a person, kept for those seen last."""
    pose = pose_body(look, Motion((0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0))
    shapes = [(grid.shape[0], grid.shape[1]) for grid in _surfaces(look, pose)]
    painted = list(_textures(look))
    return build_topology(shapes, [texture for texture, _ in painted], [bias for _, bias in painted])


def _multiply(points: Reals, matrix: Reals) -> Reals:
    # Not a matrix product: BLAS sums in an order that depends on the machine.
    product: Reals = points[:, :1] * matrix[0] + points[:, 1:2] * matrix[1] + points[:, 2:] * matrix[2]
    return product


def _surfaces(look: Look, pose: Pose) -> Iterator[Reals]:
    """All surfaces, in the order of `_textures`."""
    yield _lower(look, pose)
    for side in (0, 1):
        yield _leg(look, pose, side)
        yield _shoe(look, pose, side)
    yield _trunk(look, pose)
    for side in (0, 1):
        yield _arm(look, pose, side)
        yield _hand(look, pose, side)
    yield build_neck(look, pose)
    yield build_head(look, pose)
    yield from build_hair(look, pose)
    if look.bag is not Bag.NONE:
        yield _bag(look, pose)


def _textures(look: Look) -> Iterator[tuple[Reals, float]]:
    """Texture and drawing bias of each surface."""
    rng = np.random.default_rng(look.seed)
    yield clothes.paint_lower(look, rng), 0.0
    for _ in range(2):
        yield clothes.paint_leg(look, rng), 0.0
        yield clothes.paint_shoe(look), 0.0
    yield clothes.paint_trunk(look, rng), 0.03
    for _ in range(2):
        yield clothes.paint_arm(look, rng), 0.0
        yield clothes.paint_plain(look.skin, rng), 0.0
    covered = look.hair is Hair.SCARF
    yield clothes.paint_plain(look.hair_colour if covered else look.skin, rng) * np.float32(0.8), 0.0
    yield clothes.paint_head(look, rng), 0.0
    for _ in range(count_hair(look)):
        yield clothes.paint_hair(look, rng), 0.003
    if look.bag is not Bag.NONE:
        yield clothes.paint_bag(look, rng), 0.0


def _trunk_sizes(look: Look, z: Reals) -> tuple[Reals, Reals]:
    """Half widths and half depths in metres at heights ``z`` (parts of the stature), without clothes."""
    share = look.female
    wide = (1 - share) * np.interp(z, _TRUNK_Z, _TRUNK_MAN) + share * np.interp(z, _TRUNK_Z, _TRUNK_WOMAN)
    deep = (1 - share) * np.interp(z, _TRUNK_Z, _DEPTH_MAN) + share * np.interp(z, _TRUNK_Z, _DEPTH_WOMAN)
    girth = 1 + (look.build - 1) * np.interp(z, [0.5, 0.62, 0.78, 0.85], [0.9, 1.5, 0.8, 0.4])
    belly = 1 + max(0.0, look.build - 1.03) * np.interp(z, [0.5, 0.62, 0.72], [0.6, 1.3, 0.3])
    return wide * girth * look.height_m, deep * girth * belly * look.height_m


def _cover_legs(look: Look, pose: Pose, z: Reals, deep: Reals) -> tuple[Reals, Reals]:
    """Middle and half depth of a garment that hangs over both legs."""
    ahead = []
    for hip, knee, ankle in zip(pose.hips, pose.knees, pose.ankles, strict=True):
        joints = np.stack([ankle, knee, hip])
        ahead.append(np.interp(z, joints[:, 2], joints[:, 0]))
    low, high = np.minimum(*ahead), np.maximum(*ahead)
    share = np.clip((pose.pelvis[2] - z) / (0.05 * look.height_m), 0, 1)
    needed = (high - low) / 2 + 0.058 * look.height_m
    return share * (low + high) / 2, np.maximum(deep, share * needed)


def _trunk(look: Look, pose: Pose) -> Reals:
    height = look.height_m
    z = np.linspace(_HEM[look.top], _NECK, 20)
    wide, deep = _trunk_sizes(look, z)
    loose = look.looseness * np.interp(z, [0.45, 0.7, 0.82, _NECK], [1.3, 1.0, 0.6, 0.1])
    flare = 0.05 * height * np.clip((0.5 - z) / 0.2, 0, 1) if look.top in {Top.COAT, Top.DRESS} else 0.0
    level = z * height + pose.pelvis[2] - HIP_HEIGHT * height
    middle, deep = _cover_legs(look, pose, level, deep + loose + 0.4 * flare)
    return _level_rings(pose, level, wide + loose + 0.6 * flare, deep, middle, 22)


def _lower(look: Look, pose: Pose) -> Reals:
    """Seat of the trousers, or the skirt."""
    height, skirt = look.height_m, look.bottom is Bottom.SKIRT
    low = 0.445 if not skirt else 0.29 + 0.12 * (look.seed % 5) / 4
    z = np.linspace(max(low, _HEM[look.top]) if look.top is Top.DRESS else low, 0.585, 10)
    wide, deep = _trunk_sizes(look, z)
    level = z * height + pose.pelvis[2] - HIP_HEIGHT * height
    middle, deep = _cover_legs(look, pose, level, deep) if skirt else (np.zeros_like(z), deep)
    flare = 0.035 * height * np.clip((0.5 - z) / 0.2, 0, 1) if skirt else -0.006 * height * (z < 0.47)
    return _level_rings(pose, level, wide + flare, deep + flare * 0.5, middle, 18)


def _level_rings(
    pose: Pose,
    level: Reals,
    wide: Reals,
    deep: Reals,
    ahead: Reals,
    columns: int,
) -> Reals:
    """Reals of a trunk that leans and turns from the pelvis to the chest."""
    up = np.clip((level - pose.pelvis[2]) / (pose.chest[2] - pose.pelvis[2]), 0, 1.15)[:, None]
    centres = pose.pelvis + (pose.chest - pose.pelvis) * up
    centres[:, 2] = level
    centres[:, 0] += ahead
    left, forward = yawed(pose.pelvis_yaw + (pose.chest_yaw - pose.pelvis_yaw) * np.minimum(up[:, 0], 1))
    return loft(centres, left * wide[:, None], forward * deep[:, None], columns, 0.86)


def _leg(look: Look, pose: Pose, side: int) -> Reals:
    height = look.height_m
    t = np.array([-0.02, 0.03, 0.09, 0.16, 0.24, 0.32, 0.4, 0.46, 0.5, 0.54, 0.6, 0.68, 0.76, 0.84, 0.92, 1.0])
    points = limb([pose.ankles[side], pose.knees[side], pose.hips[side]], np.clip(t, 0, 1))
    points[0] += 0.35 * (points[0] - points[1])
    bare = np.interp(t, [0, 0.1, 0.3, 0.42, 0.5, 0.6, 0.8, 1], [0.021, 0.023, 0.032, 0.033, 0.030, 0.037, 0.048, 0.054])
    wear = (1 - t) < look.hem
    if look.bottom in {Bottom.TROUSERS, Bottom.JEANS, Bottom.SHORTS}:
        cut = 0.030 + 0.010 * (look.seed % 7) / 6
        bare = np.where(wear, np.maximum(bare + 0.003 + 0.15 * look.looseness, cut), bare)
    radius = bare * height * (0.45 + 0.55 * look.build)
    across, along = frame(points, np.array([0.0, 1.0, 0.0]))
    return loft(points, across * radius[:, None], along * (1.08 * radius)[:, None], 14)


def _shoe(look: Look, pose: Pose, side: int) -> Reals:
    height, toe = look.height_m, pose.toes[side]
    left = np.array([-toe[1], toe[0], 0.0])
    left /= np.linalg.norm(left)
    up = np.cross(toe, left)
    reach = np.array([HEEL - 0.004, HEEL, -0.02, 0.01, 0.04, 0.075, TOE - 0.012, TOE]) * height
    wide = np.array([0.0, 0.019, 0.024, 0.0235, 0.025, 0.028, 0.021, 0.0]) * height
    tall = np.array([0.02, 0.038, 0.048, 0.047, 0.036, 0.028, 0.018, 0.01]) * height
    sole = pose.ankles[side] - up * (ANKLE * height)
    centres = sole + reach[:, None] * toe + (tall / 2)[:, None] * up
    half = (tall / 2 * (wide > 0))[:, None]
    return loft(centres, wide[:, None] * left, -half * up, 12, 0.75)


def _arm(look: Look, pose: Pose, side: int) -> Reals:
    height = look.height_m
    t = np.array([0.0, 0.07, 0.15, 0.25, 0.35, 0.43, 0.5, 0.57, 0.66, 0.76, 0.86, 0.94, 1.0, 1.04])
    points = limb([pose.wrists[side], pose.elbows[side], pose.shoulders[side]], np.clip(t, 0, 1))
    points[-1] = pose.shoulders[side] + (0, 0, 0.010 * height)
    bare = np.interp(t, [0, 0.2, 0.4, 0.5, 0.7, 0.9, 1], [0.0155, 0.020, 0.0235, 0.022, 0.026, 0.030, 0.025])
    bare = bare * (1.03 - 0.12 * look.female) * (0.4 + 0.6 * look.build) * height
    covered = (1 - t) <= look.sleeves
    radius = np.where(covered, bare + 0.004 + 0.5 * look.looseness, bare)
    radius[-1] = 0.0
    across, along = frame(points, np.array([0.0, 1.0, 0.0]))
    across[-1], along[-1] = across[-2], along[-2]
    return loft(points, across * radius[:, None], along * radius[:, None], 12)


def _hand(look: Look, pose: Pose, side: int) -> Reals:
    height = look.height_m
    reach = pose.wrists[side] - pose.elbows[side]
    reach = reach / np.linalg.norm(reach)
    part = np.array([1.0, 0.97, 0.8, 0.5, 0.25, 0.0, -0.1])
    curl = np.array([0.02, 0.0, 0.0])
    points = pose.wrists[side] + part[:, None] * 0.093 * height * reach + (part**2)[:, None] * curl
    wide = np.array([0.0, 0.011, 0.019, 0.023, 0.020, 0.015, 0.013]) * height
    thick = np.array([0.0, 0.007, 0.010, 0.0125, 0.013, 0.013, 0.013]) * height
    across, along = frame(points, np.array([0.0, 1.0, 0.0]))
    return loft(points, across * thick[:, None], along * wide[:, None], 10)


def _bag(look: Look, pose: Pose) -> Reals:
    height = look.height_m
    left, forward = (vectors[0] for vectors in yawed(np.array([pose.chest_yaw])))
    up = np.array([0.0, 0.0, height])
    hand = pose.wrists[1] + (pose.wrists[1] - pose.elbows[1]) * 0.45
    match look.bag:
        case Bag.BACKPACK:
            behind = _trunk_sizes(look, np.array([0.7]))[1][0] + look.looseness + 0.045 * height
            centre, half = pose.chest - forward * behind - 0.095 * up, (0.05, 0.085, 0.115)
        case Bag.SHOULDER:
            beside = _trunk_sizes(look, np.array([0.52]))[0][0] + look.looseness + 0.035 * height
            centre, half = pose.pelvis - left * beside + 0.01 * up, (0.085, 0.026, 0.065)
        case Bag.HAND:
            centre, half = hand - 0.085 * up, (0.085, 0.03, 0.06)
        case _:
            centre, half = hand - 0.115 * up, (0.08, 0.04, 0.10)
    rise = np.array([-1.0, -0.97, -0.8, -0.4, 0.0, 0.4, 0.8, 0.97, 1.0])
    ring = np.array([0.0, 0.75, 0.95, 1.0, 1.0, 0.98, 0.9, 0.7, 0.0])[:, None]
    centres = centre + (rise * half[2])[:, None] * up
    return loft(centres, ring * left * half[1] * height, ring * forward * half[0] * height, 16, 0.55)
