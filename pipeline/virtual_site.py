"""The virtual site: people whose every step is known, seen by cameras that never were.

`build_site` draws it from a seed, `render_frame` takes one picture of it together with its truth. The same seed gives
the same site, and the same pictures. Looks, places and walks come from generators of their own, so that a further
camera or person changes nobody's looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.virtual_area import build_area
from reid_pipeline.pipeline.virtual_background import Background, cast_background
from reid_pipeline.pipeline.virtual_camera import (
    VirtualCamera,
    develop,
    draw_faults,
    expose,
    noise_sheet,
    vignette,
)
from reid_pipeline.pipeline.virtual_composition import Canvas, Standing, compose
from reid_pipeline.pipeline.virtual_look import Look, draw_look
from reid_pipeline.pipeline.virtual_paths import Walks, walk_people
from reid_pipeline.pipeline.virtual_scene import Area

MIN_VISIBILITY: Final = 0.2
"""A person of whom less is seen is not in the truth: nobody could point them out."""

_SIZES: Final = ((960, 544), (832, 624), (640, 480), (1024, 576))  # in 16s: H.264 would code what it finds beyond
_MIN_HEIGHT: Final = 0.27  # of the picture: who stands where the camera looks is at least so tall in it
_PERSON_M: Final = 1.7
_NAMES: Final = ("entrance", "lounge", "hall", "market", "court", "gallery", "station", "passage")


@dataclass(frozen=True, slots=True, eq=False)
class VirtualSite:
    """A site that can be rendered.

    Attributes:
        seed: It was drawn from.
        fps: Frames per second of every camera.
        frames: Frames of every camera.
        areas: The places.
        cameras: The first two look at one area, if there are two; each other has its own.
        looks: Identity 1 is the first.
        walks: Where everybody is.
    """

    seed: int
    fps: float
    frames: int
    areas: tuple[Area, ...]
    cameras: tuple[VirtualCamera, ...]
    looks: tuple[Look, ...]
    walks: Walks


@dataclass(frozen=True, slots=True, eq=False)
class VirtualFrame:
    """A picture and its truth; rows of the arrays belong together, by rising identity.

    A person is listed from `MIN_VISIBILITY` on. The box is that of the whole figure within the picture, what is hidden
    behind others and behind furniture included. The visibility is the part of the whole figure, within the picture or
    not, that can be seen.

    Attributes:
        image: ``(H, W, 3) uint8`` BGR.
        boxes: ``(N, 4) float32`` whole pixels.
        identities: ``(N,) int64`` from 1.
        visibility: ``(N,) float32`` in 0-1.
    """

    image: Image
    boxes: Boxes
    identities: NDArray[np.int64]
    visibility: NDArray[np.float32]


def build_site(cameras: int, people: int, seconds: float, fps: float, seed: int) -> VirtualSite:
    """Draws a site.

    Raises:
        InputError: A number is out of its range.
    """
    _check(cameras, people, seconds, fps, seed)
    outdoors = _generator(seed, 0).random() < 0.5
    areas = tuple(
        build_area(_generator(seed, 1, index), index, outdoors=bool((index + outdoors) % 2))
        for index in range(max(1, cameras - 1))
    )
    looks = tuple(draw_look(_generator(seed, 2, person)) for person in range(people))
    walkers = [_generator(seed, 3, person) for person in range(people)]
    frames = max(1, round(seconds * fps))
    walks = walk_people(areas, walkers, [look.height_m for look in looks], frames / fps)
    placed = tuple(_place_camera(seed, index, areas[max(0, index - 1)]) for index in range(cameras))
    return VirtualSite(seed, fps, frames, areas, placed, looks, walks)


def render_frame(site: VirtualSite, camera_index: int, frame_index: int) -> VirtualFrame:
    """Takes a picture; both indices count from 0.

    Raises:
        IndexError: There is no such camera or frame.
    """
    camera = site.cameras[camera_index]
    if not 0 <= frame_index < site.frames:
        raise IndexError(f"frame {frame_index}: expected 0 to {site.frames - 1}")
    stage = _stage(site.areas[camera.area], camera)
    canvas = Canvas(stage.background, camera, site.areas[camera.area], stage.developed)
    picture, seen = compose(canvas, people_in(site, camera.area, frame_index))
    listed = [each for each in seen if each.visibility >= MIN_VISIBILITY]
    return VirtualFrame(
        expose(picture * stage.vignette, camera, stage.noise, frame_index),
        np.array([each.box for each in listed], np.float32).reshape(-1, 4),
        np.array([each.identity for each in listed], np.int64),
        np.array([each.visibility for each in listed], np.float32),
    )


def people_in(site: VirtualSite, area: int, frame_index: int) -> list[Standing]:
    """Who is in an area at a frame."""
    time_s = frame_index / site.fps
    return [
        Standing(person + 1, look, site.walks.motion(person, time_s))
        for person, look in enumerate(site.looks)
        if site.walks.area_of(person, time_s) == area
    ]


def overlaps(site: VirtualSite) -> list[tuple[str, str]]:
    """Pairs of cameras that see a common part of a floor at least as large as a tenth of what both see."""
    seen = [_seen_floor(site, camera) for camera in site.cameras]
    pairs = []
    for first, camera in enumerate(site.cameras):
        for second in range(first + 1, len(site.cameras)):
            other = site.cameras[second]
            if (
                camera.area == other.area
                and (seen[first] & seen[second]).mean() > 0.1 * (seen[first] | seen[second]).mean()
            ):
                pairs.append((camera.name, other.name))
    return pairs


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """What all frames of a camera share."""

    background: Background
    developed: NDArray[np.float32]
    vignette: NDArray[np.float32]
    noise: NDArray[np.int16]


@lru_cache(maxsize=6)
def _stage(area: Area, camera: VirtualCamera) -> _Stage:
    background = cast_background(area, camera)
    return _Stage(background, develop(background.colour, camera.faults), vignette(camera), noise_sheet(camera))


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _check(cameras: int, people: int, seconds: float, fps: float, seed: int) -> None:
    ranges = (
        ("cameras", cameras, 1, len(_NAMES)),
        ("people", people, 1, 500),
        ("seconds", seconds, 0.1, 86_400),
        ("fps", fps, 0.1, 120),
        ("seed", seed, 0, 2**63),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise InputError(f"{name} is {value}; expected {low} to {high}")


def _place_camera(seed: int, index: int, area: Area) -> VirtualCamera:
    """Hangs a camera into a corner, so that it looks at about the middle of the area."""
    rng = _generator(seed, 4, index)
    x1, y1, x2, y2 = area.room
    corner = _choose_corner(seed, index, area, rng)
    high = float(rng.uniform(2.8, 5.5)) if area.outdoors else float(rng.uniform(2.3, min(3.4, area.ceiling_m - 0.3)))
    aside, ahead = (float(offset) for offset in rng.normal(0, 0.6, 2))
    width, height = _SIZES[(index + seed) % len(_SIZES)]
    aim = ((x1 + x2) / 2 + aside, (y1 + y2) / 2 + ahead, float(rng.uniform(0.8, 1.2)))
    view = float(np.deg2rad(rng.uniform(58, 84)))
    away = float(np.linalg.norm(np.subtract(aim, (*corner, high))))
    return VirtualCamera(
        name=_NAMES[index],
        area=max(0, index - 1),
        width=width,
        height=height,
        focal_px=max(width / 2 / float(np.tan(view / 2)), _MIN_HEIGHT * height * away / _PERSON_M),
        position=(*corner, high),
        look_at=aim,
        faults=draw_faults(rng, outdoors=area.outdoors),
        seed=int(rng.integers(0, 2**31)),
    )


def _choose_corner(seed: int, index: int, area: Area, rng: np.random.Generator) -> tuple[float, float]:
    """One of the two near corners; for the second camera of an area the other one, or the far corner on its side."""
    x1, y1, x2, y2 = area.room
    left = bool(_generator(seed, 5, max(0, index - 1)).random() < 0.5)
    across = x1 + 0.4 if left != (index == 1) else x2 - 0.4
    far = (across, y2 - 0.4)
    if index == 1 and rng.random() < 0.35 and _is_clear(area, far):
        return far
    return across, y1 + 0.4


def _is_clear(area: Area, corner: tuple[float, float]) -> bool:
    return all(
        np.hypot((low + high) / 2 - corner[0], (near + far) / 2 - corner[1]) > 3.0
        for low, near, high, far in area.obstacles
    )


def _seen_floor(site: VirtualSite, camera: VirtualCamera) -> NDArray[np.bool_]:
    """Which points of a raster over the camera's room are in its picture, at the height of a waist."""
    x1, y1, x2, y2 = site.areas[camera.area].room
    ys, xs = np.mgrid[y1:y2:40j, x1:x2:40j]
    points = np.stack([xs.ravel(), ys.ravel(), np.full(xs.size, 1.0)], axis=1)
    pixels, depth = camera.project(points)
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    seen: NDArray[np.bool_] = inside & (depth > 0)
    return seen
