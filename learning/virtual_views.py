"""Pictures of virtual sites to learn from, rendered once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.runtime import cache_folder, processors
from reid_pipeline.pipeline.virtual_site import build_site, render_frame
from reid_pipeline.storage.errors import StorageError

_CAMERAS: Final = 3
_SECONDS_APART: Final = 3.0
_QUALITY: Final = 92  # of the JPEG, about that of a good camera's stream


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """Which pictures: ``frames`` of each of three cameras of each of ``places`` sites, ``people`` walking in each.

    Attributes:
        places: Number of sites; their seeds count up from `seed`.
        frames: Pictures of each camera, three seconds apart.
        people: In each site.
        seed: Of the first site.
    """

    places: int
    frames: int
    people: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A picture ``(H, W, 3) uint8`` BGR with everybody in it: boxes ``(N, 4)`` and visibility ``(N,)`` in 0-1."""

    image: Image
    boxes: Boxes
    visibility: NDArray[np.float32]


def render_views(plan: ViewPlan) -> Iterator[View]:
    """Gives the pictures of a plan, site by site and camera by camera."""
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
    folder = cache_folder() / f"views-{digest}"
    shots = [(plan, place, camera, folder) for place, camera in product(range(plan.places), range(_CAMERAS))]
    with ProcessPoolExecutor(processors()) as pool:
        for stem in pool.map(_render_camera, shots):
            yield from _read(stem)


def _render_camera(shot: tuple[ViewPlan, int, int, Path]) -> Path:
    """Renders one camera's pictures into a file, unless it is there."""
    plan, place, camera, folder = shot
    file = folder / f"{place:03d}-{camera}.npz"
    if file.is_file():
        return file
    site = build_site(_CAMERAS, plan.people, plan.frames * _SECONDS_APART, 1 / _SECONDS_APART, plan.seed + place)
    arrays: dict[str, NDArray[np.generic]] = {}
    for index in range(plan.frames):
        frame = render_frame(site, camera, index)
        _, coded = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        arrays |= {f"jpeg{index}": coded, f"boxes{index}": frame.boxes, f"visibility{index}": frame.visibility}
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]  # numpy's stub takes its flag for one of the arrays
    part.replace(file)
    return file


def _read(file: Path) -> Iterator[View]:
    with np.load(file) as arrays:
        for index in range(len(arrays.files) // 3):
            image = cv2.imdecode(arrays[f"jpeg{index}"], cv2.IMREAD_COLOR)
            if image is None:
                raise StorageError(f"{file}: damaged: remove it, it will be rendered anew")
            yield View(np.asarray(image, np.uint8), arrays[f"boxes{index}"], arrays[f"visibility{index}"])
