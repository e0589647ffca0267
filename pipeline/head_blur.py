"""Heads that nobody is recognised by: a few soft blocks of colour where a box says that a head is.

No face is looked for. The head of somebody upright is at the top of their box, so the top of every box is blurred,
nearly from side to side. In a box of 64 by 160 pixels that is a field of 10 by 6 blocks, of which a head has about 4 by
5, and as many in a larger one: what is left is the mean colour of each block, which no sharpening brings back.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Detections, Image

# Heads of whole people end at 0.12 to 0.17 of the height of their boxes (looked up in Market-1501 and PETS2009). Of
# people who sit or are cut off below they are larger, about 0.38 of the width, and never half of the box.
HEAD_HEIGHT: Final = 0.17
HEAD_WIDTH: Final = 0.38
MOST_HEIGHT: Final = 0.45
BLOCKS: Final = 6  # in the height of the field
BLUR_VERSION: Final = "blurred-1"  # names what is cached of blurred pictures: raise it with any change here
SURE: Final = 0.4  # of weaker detections most show nobody; they are blurred where they continue a tracklet
_ABOVE: Final = 0.1  # of the head's height: a box may begin below the hair
_SIDE: Final = 0.1  # of the width that is left as it is on each side
_CORE: Final = 0.8  # of the way from the middle to the edge; beyond it the blur fades out
_MASK_SIZE: Final = 64


def find_heads(boxes: Boxes) -> Boxes:
    """Where the heads are of people in ``(N, 4)`` boxes: ``(N, 4)``, reaching a little above the boxes."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    tall = np.clip(HEAD_WIDTH * widths, HEAD_HEIGHT * heights, MOST_HEIGHT * heights)
    left, right = boxes[:, 0] + _SIDE * widths, boxes[:, 2] - _SIDE * widths
    return np.stack([left, boxes[:, 1] - _ABOVE * tall, right, boxes[:, 1] + tall], axis=1)


def blur_heads(image: Image, boxes: Boxes) -> None:
    """Blurs the heads of people in an ``(H, W, 3)`` image, in place.

    Args:
        image: The image.
        boxes: ``(N, 4)``, where people are in it; they may reach beyond it.
    """
    for x1, y1, x2, y2 in np.rint(find_heads(boxes)).astype(int).tolist():
        left, top = max(x1, 0), max(y1, 0)
        part = image[top : max(y2, 0), left : max(x2, 0)]
        if part.size:
            weights = _weights((x2 - x1, y2 - y1))[top - y1 :, left - x1 :][: part.shape[0], : part.shape[1]]
            _blur(part, weights, (y2 - y1) / BLOCKS)


class FrameHeads:
    """The heads in one frame, each of which is blurred once, in the frame itself.

    Args:
        image: The frame's.
        found: What was detected in it.
        enabled: Whether anything is blurred.
    """

    def __init__(self, image: Image, found: Detections, *, enabled: bool) -> None:
        self._image = image
        self._enabled = enabled
        self._done: set[bytes] = set()
        self.blur(found.boxes[found.scores >= SURE])

    def blur(self, boxes: Boxes) -> None:
        """Blurs the heads of more people in ``(N, 4)`` boxes of the frame: before they are encoded, stored or drawn."""
        fresh = [box for box in boxes if box.tobytes() not in self._done] if self._enabled else []
        if fresh:
            blur_heads(self._image, np.array(fresh))
            self._done.update(box.tobytes() for box in fresh)


def blur_head(crop: Image) -> Image:
    """A copy of an ``(h, w, 3)`` crop of one person with the head blurred."""
    blurred = crop.copy()
    blur_heads(blurred, np.array([[0, 0, crop.shape[1], crop.shape[0]]], np.float32))
    return blurred


def _blur(part: Image, weights: NDArray[np.float32], block: float) -> None:
    height, width = part.shape[:2]
    blocks = (max(round(width / block), 1), max(round(height / block), 1))
    coarse = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    part[:] = cv2.blendLinear(soft, part, weights, 1 - weights)


def _weights(size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of the blur each pixel of a field gets, 0-1; size as width and height."""
    return np.asarray(cv2.resize(_unit_weights(), size, interpolation=cv2.INTER_LINEAR), np.float32)


@cache
def _unit_weights() -> NDArray[np.float32]:
    """A rounded field, along the lines of equal ``x^4 + y^4``."""
    line = (np.arange(_MASK_SIZE) + 0.5) / _MASK_SIZE * 2 - 1
    far = (line[:, None] ** 4 + line[None] ** 4) ** 0.25
    return np.clip((1 - far) / (1 - _CORE), 0, 1).astype(np.float32)
