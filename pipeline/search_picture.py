"""Who is in a picture that somebody searches with, and which of them is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.protocols import Detector
from reid_pipeline.pipeline.views import USUAL_ASPECT, cut

PixelBox = tuple[int, int, int, int]

_CROP_COVER: Final = 0.25  # of a crop; where two detectors found anything in 150 of Market-1501, it was more in 95 %


@dataclass(frozen=True, slots=True, eq=False)
class PersonInPicture:
    """The person of a picture that is searched for.

    Attributes:
        pixels: The part of the picture that shows the person.
        boxes: Where the detector found persons, x1 y1 x2 y2, the largest first; empty where it was not asked.
        box: Where this one is; None where the whole picture is taken.
    """

    pixels: Image
    boxes: tuple[PixelBox, ...]
    box: PixelBox | None


def find_persons(image: Image, detector: Detector) -> Boxes:
    """Where a detector finds persons in an image: ``(N, 4)``, the largest first."""
    found = detector.submit(detector.prepare(image), (image.shape[0], image.shape[1]), lambda: None).result()
    boxes: Boxes = found.boxes[np.argsort(-_areas(found.boxes), kind="stable")]
    return boxes


def find_person(image: Image, detector: Detector) -> PersonInPicture:
    """The largest person that a detector finds in an image; all of it where it finds none, or the image is a crop."""
    boxes = find_persons(image, detector)
    known = tuple(_whole(box) for box in boxes)
    if not known or _is_crop(image, float(_areas(boxes)[0])):
        return PersonInPicture(image, known, None)
    return PersonInPicture(cut(image, boxes[0]), known, known[0])


def person_at(image: Image, box: PixelBox) -> PersonInPicture:
    """The person whom somebody has chosen by a box; what of it is outside the image is left out.

    Raises:
        InputError: The box is empty, or outside.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if x1 >= x2 or y1 >= y2:
        raise InputError(f"box {','.join(map(str, box))}: expected x1,y1,x2,y2 inside a picture of {width} x {height}")
    return PersonInPicture(image[y1:y2, x1:x2], (), (x1, y1, x2, y2))


def _areas(boxes: Boxes) -> Boxes:
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: Boxes = sides[:, 0] * sides[:, 1]
    return areas


def _whole(box: Boxes) -> PixelBox:
    x1, y1, x2, y2 = (round(side) for side in box.tolist())
    return x1, y1, x2, y2


def _is_crop(image: Image, largest_px: float) -> bool:
    """Whether an image shows one person from edge to edge. In such a one a detector often finds but a part of it."""
    height, width = image.shape[:2]
    upright: bool = USUAL_ASPECT[0] < height / width < USUAL_ASPECT[1]
    return upright and largest_px >= _CROP_COVER * height * width
