"""The head of a virtual person: neck, skull, hair and what covers it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from reid_pipeline.pipeline.virtual_camera import Reals
from reid_pipeline.pipeline.virtual_clothes import hair_field
from reid_pipeline.pipeline.virtual_look import Hair, Look
from reid_pipeline.pipeline.virtual_mesh import frame, loft, yawed
from reid_pipeline.pipeline.virtual_pose import SHOULDER_HEIGHT, Point, Pose

_HEAD_V: Final = (0.0, 0.03, 0.10, 0.22, 0.38, 0.52, 0.66, 0.78, 0.88, 0.96, 1.0)
_HEAD_WIDE: Final = (0.0, 0.36, 0.58, 0.76, 0.88, 0.96, 1.0, 0.95, 0.78, 0.48, 0.0)
_HEAD_DEEP: Final = (0.0, 0.30, 0.50, 0.68, 0.86, 0.96, 1.0, 0.96, 0.80, 0.50, 0.0)
_HEAD_AHEAD: Final = (0.024, 0.024, 0.021, 0.014, 0.006, 0.002, 0.0, -0.002, -0.003, -0.004, -0.004)
_HEAD_BASE: Final = 0.868
_HEAD_HEIGHT: Final = 0.132


def _head_middle(look: Look, pose: Pose) -> Point:
    """Below the chin, on the axis of the head."""
    rise = (_HEAD_BASE - SHOULDER_HEIGHT) * look.height_m
    middle: Point = pose.chest + np.array([0.012 * look.height_m + 0.15 * pose.chest[0], 0.0, rise])
    return middle


def build_neck(look: Look, pose: Pose) -> Reals:
    """The neck, or the cloth around it."""
    height, covered = look.height_m, look.hair is Hair.SCARF
    low = pose.chest + np.array([-0.006 * height, 0.0, 0.012 * height])
    high = _head_middle(look, pose) + np.array([-0.014 * height, 0.0, 0.03 * height])
    points = low + np.linspace(0, 1, 6)[:, None] * (high - low)
    radius = (0.031 - 0.004 * look.female) * height * np.ones(6)
    if covered:
        radius = np.array([0.078, 0.068, 0.056, 0.05, 0.05, 0.052]) * height
    across, along = frame(points, np.array([0.0, 1.0, 0.0]))
    return loft(points, across * radius[:, None], along * radius[:, None], 14)


def _skull(look: Look, pose: Pose, v: Reals, columns: int) -> Reals:
    """The rings of the head at heights ``v`` from the chin, 0, to the crown, 1."""
    height = look.height_m
    left, forward = yawed(np.full(len(v), pose.head_yaw))
    centres = np.repeat(_head_middle(look, pose)[None], len(v), axis=0)
    centres[:, 2] += v * _HEAD_HEIGHT * height
    centres += forward * (np.interp(v, _HEAD_V, _HEAD_AHEAD) * height)[:, None]
    wide = np.interp(v, _HEAD_V, _HEAD_WIDE) * 0.0455 * height * (1.02 - 0.05 * look.female)
    deep = np.interp(v, _HEAD_V, _HEAD_DEEP) * 0.0575 * height
    return loft(centres, left * wide[:, None], forward * deep[:, None], columns)


def build_head(look: Look, pose: Pose) -> Reals:
    """The head with its nose."""
    v = np.array(
        [0, 0.02, 0.06, 0.12, 0.19, 0.26, 0.33, 0.39, 0.46, 0.53, 0.6, 0.68, 0.76, 0.84, 0.91, 0.96, 0.99, 1.0]
    )
    grid = _skull(look, pose, v, 24)
    nose = np.interp(v, [0.30, 0.36, 0.42, 0.56], [0, 0.016, 0.012, 0]) * look.height_m
    ahead = np.array([np.cos(pose.head_yaw), np.sin(pose.head_yaw), 0.0])
    for column, share in ((5, 0.25), (6, 1.0), (7, 0.25)):
        grid[:, column] += (share * nose)[:, None].astype(np.float32) * ahead.astype(np.float32)
    return grid


def count_hair(look: Look) -> int:
    """How many surfaces `build_hair` gives."""
    if look.hair is Hair.BALD:
        return 0
    return 2 if look.hair in {Hair.LONG, Hair.BUN, Hair.TAIL, Hair.CAP} else 1


def build_hair(look: Look, pose: Pose) -> Iterator[Reals]:
    """What stands off the head: its hair or what covers it, then the rest of either."""
    if look.hair is Hair.BALD:
        return
    yield _cap_of_hair(look, pose)
    middle, height = _head_middle(look, pose), look.height_m
    ahead = np.array([np.cos(pose.head_yaw), np.sin(pose.head_yaw), 0.0])
    up = np.array([0.0, 0.0, height])
    match look.hair:
        case Hair.LONG:
            length = 0.035 + 0.05 * (look.seed % 4) / 3
            centre = middle - 0.034 * height * ahead + (0.04 - length / 2) * up
            yield _ball(centre, ahead, np.array([0.031, 0.056, 0.075 + length / 2]) * height, 0.8)
        case Hair.BUN:
            yield _ball(middle - 0.062 * height * ahead + 0.1 * up, ahead, np.full(3, 0.026) * height)
        case Hair.TAIL:
            yield _ball(middle - 0.068 * height * ahead + 0.035 * up, ahead, np.array([0.02, 0.02, 0.062]) * height)
        case Hair.CAP:
            yield _ball(middle + 0.07 * height * ahead + 0.096 * up, ahead, np.array([0.045, 0.042, 0.006]) * height)
        case _:
            pass


def _cap_of_hair(look: Look, pose: Pose) -> Reals:
    v = np.linspace(0.02, 1.0, 16)
    grid = _skull(look, pose, v, 28)
    rows, columns = np.meshgrid(v, np.linspace(0, 1, 29), indexing="ij")
    field = hair_field(columns, rows)
    thick = {Hair.SHORT: 0.09, Hair.CROPPED: 0.025, Hair.CAP: 0.1, Hair.BEANIE: 0.14, Hair.SCARF: 0.2}.get(
        look.hair, 0.13
    )
    if look.hair in {Hair.CAP, Hair.BEANIE}:
        field = 1 / (1 + np.exp(-(rows - 0.7) / 0.015))
    elif look.hair is Hair.SCARF:
        to_face = np.minimum(np.abs(columns - 0.25), 1 - np.abs(columns - 0.25))
        face = np.hypot(to_face / 0.17, (rows - 0.42) / 0.42)
        field = 1 / (1 + np.exp(-(face - 1) / 0.03))
    centre = _head_middle(look, pose) + np.array([0.0, 0.0, 0.6 * _HEAD_HEIGHT * look.height_m])
    scale = (0.82 + (0.18 + thick) * field)[..., None]
    scaled: Reals = (centre + (grid - centre) * scale).astype(np.float32)
    return scaled


def _ball(centre: Point, ahead: Point, radii: Reals, power: float = 1.0) -> Reals:
    """An ellipsoid of ``radii`` forward, sideways and up."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 9)
    ring = np.maximum(np.cos(angle), 0)[:, None] ** power
    ring[0] = ring[-1] = 0
    left = np.array([-ahead[1], ahead[0], 0.0])
    centres = centre + np.sin(angle)[:, None] * np.array([0.0, 0.0, radii[2]])
    return loft(centres, ring * left * radii[1], ring * ahead * radii[0], 14)
