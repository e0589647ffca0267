"""How a virtual person stands: joints of a body in the middle of a step, or at rest.

Body coordinates are metres: x forward, y to the left, z up, the floor at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_look import Bag, Look

Point = NDArray[np.float64]

# Lengths as parts of the stature, after Drillis and Contini as in Winter, Biomechanics and Motor Control of Human
# Movement, figure 4.1, rounded.
THIGH: Final = 0.245
SHIN: Final = 0.246
ANKLE: Final = 0.039
UPPER_ARM: Final = 0.172
FOREARM: Final = 0.150
HIP_HEIGHT: Final = THIGH + SHIN + ANKLE
SHOULDER_HEIGHT: Final = 0.803
HIP_HALF: Final = 0.05
SHOULDER_HALF: Final = 0.105
HEEL: Final = -0.036
TOE: Final = 0.112


@dataclass(frozen=True, slots=True)
class Motion:
    """What a person does at one moment.

    Attributes:
        position: Metres on the floor.
        heading: Radians from the x axis, counter-clockwise.
        speed_ms: Metres per second.
        phase: Of the step, radians; 0 is the left heel touching the floor.
        time_s: For what moves at rest.
        gaze: Radians by which the head is turned to the left.
    """

    position: tuple[float, float]
    heading: float
    speed_ms: float
    phase: float
    time_s: float
    gaze: float


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Joints ``(3,)`` in body coordinates; pairs are left, right.

    Attributes:
        pelvis: Middle of the hips.
        hips: Hip joints.
        knees: Knees.
        ankles: Ankles.
        toes: Directions of the feet, unit vectors.
        chest: Middle between the shoulders.
        shoulders: Shoulder joints.
        elbows: Elbows.
        wrists: Wrists.
        chest_yaw: Turn of the shoulders, radians.
        pelvis_yaw: Turn of the hips, radians.
        head_yaw: Turn of the head, radians.
    """

    pelvis: Point
    hips: tuple[Point, Point]
    knees: tuple[Point, Point]
    ankles: tuple[Point, Point]
    toes: tuple[Point, Point]
    chest: Point
    shoulders: tuple[Point, Point]
    elbows: tuple[Point, Point]
    wrists: tuple[Point, Point]
    chest_yaw: float
    pelvis_yaw: float
    head_yaw: float


def stride_m(speed_ms: float, height_m: float) -> float:
    """Length of two steps: quicker people take longer ones."""
    return height_m * (0.42 + 0.30 * min(speed_ms, 2.2))


def pose_body(look: Look, motion: Motion) -> Pose:
    """Bends the joints of a body: as much of a step as the speed asks for, both feet on or above the floor."""
    height, phase = look.height_m, motion.phase
    walking = float(np.clip(motion.speed_ms / 0.5, 0, 1))
    swing = float(np.arcsin(np.clip(stride_m(motion.speed_ms, height) / (4 * HIP_HEIGHT * height), 0, 0.6))) * walking
    pelvis_yaw = 0.09 * np.cos(phase) * walking * -1.0
    chest_yaw = -0.9 * pelvis_yaw + 0.04 * np.sin(motion.time_s * 0.7 + look.seed)
    sway = 0.012 * height * np.sin(phase) * walking + 0.008 * np.sin(motion.time_s * 0.9 + look.seed) * (1 - walking)
    pelvis = np.array([0.0, sway, HIP_HEIGHT * height])
    gait = _Gait(swing, walking, phase)
    legs = [_leg(look, pelvis, pelvis_yaw, gait, side) for side in (1, -1)]
    lowest = min(_lowest(ankle, toe, height) for _, _, ankle, toe in legs)
    drop = np.array([0.0, 0.0, lowest])
    lean = (0.02 + 0.035 * motion.speed_ms) * (SHOULDER_HEIGHT - HIP_HEIGHT) * height
    chest = np.array([lean, sway * 0.4, SHOULDER_HEIGHT * height]) - drop
    arms = [_arm(look, motion, chest, chest_yaw, swing, side) for side in (1, -1)]
    return Pose(
        pelvis - drop,
        (legs[0][0] - drop, legs[1][0] - drop),
        (legs[0][1] - drop, legs[1][1] - drop),
        (legs[0][2] - drop, legs[1][2] - drop),
        (legs[0][3], legs[1][3]),
        chest,
        (arms[0][0], arms[1][0]),
        (arms[0][1], arms[1][1]),
        (arms[0][2], arms[1][2]),
        float(chest_yaw),
        float(pelvis_yaw),
        float(chest_yaw * 0.3 + motion.gaze),
    )


def _bump(phase: float, middle: float, narrow: float) -> float:
    return float(np.exp(narrow * (np.cos(phase - middle) - 1)))


def _turn(yaw: float, vector: Point) -> Point:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1], vector[2]])


@dataclass(frozen=True, slots=True)
class _Gait:
    """Swing of the hips in radians, how much of walking there is, 0-1, and the phase of the left leg."""

    swing: float
    walking: float
    phase: float


def _leg(look: Look, pelvis: Point, yaw: float, gait: _Gait, side: int) -> tuple[Point, Point, Point, Point]:
    """Hip, knee, ankle and the foot's direction."""
    height, swing, walking = look.height_m, gait.swing, gait.walking
    at = gait.phase if side > 0 else gait.phase + np.pi
    strength = swing / 0.4
    hip_angle = swing * (np.cos(at) + 0.22) + 0.25 * strength * _bump(at, 1.62 * np.pi, 3)
    knee_angle = 0.05 + strength * (0.2 * _bump(at, 0.3 * np.pi, 4) + 0.95 * _bump(at, 1.45 * np.pi, 3.2))
    foot_angle = strength * (0.26 * _bump(at, 0, 9) - 0.85 * _bump(at, 1.22 * np.pi, 5))
    splay = 0.02 + 0.05 * (1 - walking)
    hip = pelvis + _turn(yaw, np.array([0.0, side * HIP_HALF * height * (0.95 + 0.1 * look.female), 0.0]))
    knee = hip + THIGH * height * np.array([np.sin(hip_angle), side * splay * 0.3, -np.cos(hip_angle)])
    shin = hip_angle - knee_angle
    ankle = knee + SHIN * height * np.array([np.sin(shin), side * splay * 0.2, -np.cos(shin)])
    outward = side * (0.10 + 0.12 * (1 - walking))
    toe = np.array([np.cos(foot_angle) * np.cos(outward), np.cos(foot_angle) * np.sin(outward), np.sin(foot_angle)])
    return hip, knee, ankle, toe


def _lowest(ankle: Point, toe: Point, height: float) -> float:
    """Height of the lowest point of a sole."""
    up = np.sqrt(1 - toe[2] ** 2)
    return float(min(ankle[2] + (part * toe[2] - ANKLE * up) * height for part in (HEEL, TOE * 0.92)))


def _arm(look: Look, motion: Motion, chest: Point, yaw: float, swing: float, side: int) -> tuple[Point, Point, Point]:
    """Shoulder, elbow and wrist."""
    height = look.height_m
    habit = look.seed // 7 % 10
    at = motion.phase + (np.pi if side > 0 else 0.0)
    shoulder_angle = 0.95 * swing * np.cos(at) - 0.02
    bend = 0.22 + 0.35 * swing + 0.45 * swing * max(0.0, float(np.cos(at)))
    apart = 0.07 + 0.25 * max(0.0, look.build - 1)
    inward = 0.0
    if look.bag in {Bag.HAND, Bag.SHOPPING} and side < 0:
        shoulder_angle, bend, apart = shoulder_angle * 0.35, 0.06, apart + 0.06
    elif habit == 0 and side > 0:  # looks at a telephone
        shoulder_angle, bend, inward = 0.35, 1.75, 0.35
    elif habit == 1:  # hands in the pockets
        shoulder_angle, bend, apart, inward = -0.18 + 0.2 * shoulder_angle, 0.75, apart + 0.12, 0.22
    elif habit == 2 and motion.speed_ms < 0.3:  # arms folded
        shoulder_angle, bend, inward = 0.25, 1.45, 1.05
    shoulder = chest + _turn(yaw, np.array([0.0, side * shoulder_half(look), 0.0]))
    elbow = shoulder + UPPER_ARM * height * _turn(yaw, _direction(shoulder_angle, side * apart))
    inward_turn = _direction(shoulder_angle + bend, side * (apart * 0.3 - inward))
    return shoulder, elbow, elbow + FOREARM * height * _turn(yaw, inward_turn)


def shoulder_half(look: Look) -> float:
    """Half the distance of the shoulder joints, metres."""
    return SHOULDER_HALF * look.height_m * (1.03 - 0.13 * look.female) * (0.75 + 0.25 * look.build)


def _direction(forward: float, outward: float) -> Point:
    """Unit vector that hangs down, then is raised forward and outward by angles."""
    return np.array([np.sin(forward) * np.cos(outward), np.sin(outward), -np.cos(forward) * np.cos(outward)])
