"""Draws the pictures that engines are judged by, from the virtual site, into the two sheets that are shipped.

They are shipped rather than drawn at each start: the gate must not wait for a renderer, and must not change with it.
To draw them anew: ``python -m reid_pipeline.pipeline.parity_pictures DIR``, and raise the format in `runtime_choice`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.parity import CROP_SHEET, CROP_SIZE, FRAME_SHEET, FRAME_SIZE
from reid_pipeline.pipeline.virtual_site import VirtualFrame, build_site, render_frame

CAMERAS: Final = 6
PEOPLE: Final = 20
SECONDS: Final = 120
FPS: Final = 0.25
SEED: Final = 11
CROPS: Final = 48
CROPS_A_PERSON: Final = 4
FRAMES: Final = 6
_MIN_HEIGHT_PX: Final = 70
_MIN_VISIBILITY: Final = 0.8
_QUALITY: Final = 75


def draw_pictures(folder: Path) -> None:
    """Writes both sheets into a folder."""
    shots = list(_shots())
    _write(folder / CROP_SHEET, _choose_crops(shots), columns=8)
    _write(folder / FRAME_SHEET, _choose_frames(shots), columns=2)


def _shots() -> Iterator[VirtualFrame]:
    site = build_site(CAMERAS, PEOPLE, SECONDS, FPS, SEED)
    for frame in range(site.frames):
        for camera in range(CAMERAS):
            yield render_frame(site, camera, frame)


def _choose_crops(shots: list[VirtualFrame]) -> list[Image]:
    """Some views of each person, spread over all that there are."""
    views: defaultdict[int, list[Image]] = defaultdict(list)
    for shot in shots:
        for box, identity in zip(
            shot.boxes[_is_clear(shot)].astype(int), shot.identities[_is_clear(shot)], strict=True
        ):
            views[int(identity)].append(shot.image[box[1] : box[3], box[0] : box[2]])
    chosen = [
        crop
        for each in views.values()
        for crop in (each[index] for index in np.linspace(0, len(each) - 1, CROPS_A_PERSON).round().astype(int))
    ]
    kept = list({crop.tobytes(): crop for crop in chosen}.values())[:CROPS]
    return [np.asarray(cv2.resize(crop, CROP_SIZE[::-1]), np.uint8) for crop in kept]


def _choose_frames(shots: list[VirtualFrame]) -> list[Image]:
    """Those with the most people, of different moments."""
    ranked = sorted(shots, key=lambda shot: -int(_is_clear(shot).sum()))[:FRAMES]
    return [np.asarray(cv2.resize(shot.image, FRAME_SIZE[::-1]), np.uint8) for shot in ranked]


def _is_clear(shot: VirtualFrame) -> np.ndarray:
    tall = shot.boxes[:, 3] - shot.boxes[:, 1] >= _MIN_HEIGHT_PX
    return tall & (shot.visibility >= _MIN_VISIBILITY)


def _write(path: Path, pictures: list[Image], columns: int) -> None:
    rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


if __name__ == "__main__":
    draw_pictures(Path(sys.argv[1]))
