"""Two looks at one crop: the random views that contrastive pre-training compares.

What is random is drawn for a whole batch at once from one generator, so it depends on the seed and the step alone, not
on who makes the views; they are then made where the network is, all together, so a GPU need not wait for processors.

Source: the chain ``ori-cj+sre`` of LUPerson (Fu et al., "Unsupervised Pre-training for Person Re-identification",
2021) as its code has it: a part of the crop, no colour jitter, seldom grey, often blurred, mirrored, and after
normalisation a rectangle filled with the mean colour. Two departures: the part is cut from the crop at the size of the
network's input, not at its own; the blur is a true Gaussian, not three boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reid_pipeline.learning.crop_pool import Size
from reid_pipeline.learning.pixels import normalise_as
from reid_pipeline.storage.model_card import InputCard

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]

_CUTS: Final = 10  # tries, then the middle is taken
_ERASE_RATIO: Final = (0.3, 1 / 0.3)  # height over width of what is hidden
_ERASURES: Final = 100  # tries, then nothing is hidden
_SIGMA: Final = (0.1, 2.0)  # pixels
_REACH: Final = 6  # pixels: three times the widest sigma
_GREY: Final = (0.114, 0.587, 0.299)  # of blue, green and red: ITU-R BT.601


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How different views are.

    Attributes:
        area: Least and most of the crop's area that is cut out.
        ratio: Least and most of the width over the height of what is cut out.
        grey: Share without colour.
        blur: Share that is blurred.
        mirror: Share that is mirrored.
        erase: Share of which a part is hidden; 0 for a stage that is to see everything.
        erase_area: Least and most of the view's area that is hidden.
    """

    area: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    grey: float = 0.2
    blur: float = 0.5
    mirror: float = 0.5
    erase: float = 0.5
    erase_area: tuple[float, float] = (0.02, 0.6)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What was drawn for N views.

    Attributes:
        windows: ``(N, 4)``: left, top, width, height in pixels of what is cut out.
        mirror: ``(N,)``.
        grey: ``(N,)``.
        sigma: ``(N,)`` in pixels, 0 for no blur.
        erased: ``(N, 4)``: left, top, width, height of what is hidden, width and height 0 for nothing.
    """

    windows: Rows
    mirror: NDArray[np.bool_]
    grey: NDArray[np.bool_]
    sigma: Numbers
    erased: Rows

    def select(self, rows: Rows) -> Draws:
        """Those of some views."""
        return Draws(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_views(rng: np.random.Generator, count: int, size: Size, settings: ViewSettings) -> Draws:
    """Draws what makes ``count`` views of crops of a size."""
    windows = _draw_windows(rng, count, size, settings)
    mirror, grey, blur, erase = (
        rng.random(count) < share for share in (settings.mirror, settings.grey, settings.blur, settings.erase)
    )
    sigma = rng.uniform(*_SIGMA, count) * blur
    return Draws(windows, mirror, grey, sigma, _draw_erased(rng, size, settings.erase_area, erase))


def _draw_windows(rng: np.random.Generator, count: int, size: Size, settings: ViewSettings) -> Rows:
    """As torchvision's `RandomResizedCrop`: the first of ten tries that fits, else the middle."""
    height, width = size
    areas = height * width * rng.uniform(*settings.area, (count, _CUTS))
    narrow, broad = np.log(settings.ratio)
    ratios = np.exp(rng.uniform(narrow, broad, (count, _CUTS)))
    wide, high, found = _first_fit(np.sqrt(areas * ratios), np.sqrt(areas / ratios), (height, width))
    ratio = min(max(width / height, settings.ratio[0]), settings.ratio[1])
    wide = np.where(found, wide, min(width, round(height * ratio)))
    high = np.where(found, high, min(height, round(width / ratio)))
    left, top = _place(rng, wide, high, size)
    middle = (width - wide) // 2, (height - high) // 2
    return np.stack([np.where(found, left, middle[0]), np.where(found, top, middle[1]), wide, high], axis=1)


def _draw_erased(rng: np.random.Generator, size: Size, area: tuple[float, float], erase: NDArray[np.bool_]) -> Rows:
    """As LUPerson's `RandomErasing`: the first of a hundred tries that is smaller than the view."""
    height, width = size
    areas = height * width * rng.uniform(*area, (len(erase), _ERASURES))
    ratios = rng.uniform(*_ERASE_RATIO, (len(erase), _ERASURES))
    wide, high, found = _first_fit(np.sqrt(areas / ratios), np.sqrt(areas * ratios), (height - 1, width - 1))
    left, top = _place(rng, np.minimum(wide, width), np.minimum(high, height), size)
    return np.stack([left, top, wide, high], axis=1) * (found & erase)[:, None]


def _first_fit(wide: Numbers, high: Numbers, most: Size) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Of each row of tries ``(N, tries)`` the first whose rounded sides are 1 to ``most``, and whether there is one."""
    sides = np.rint(wide).astype(np.int64), np.rint(high).astype(np.int64)
    fits = (sides[0] >= 1) & (sides[0] <= most[1]) & (sides[1] >= 1) & (sides[1] <= most[0])
    first = (np.arange(len(fits)), fits.argmax(axis=1))
    return sides[0][first], sides[1][first], np.asarray(fits.any(axis=1))


def _place(rng: np.random.Generator, wide: Rows, high: Rows, size: Size) -> tuple[Rows, Rows]:
    """Left and top of rectangles anywhere within ``size``."""
    return rng.integers(0, size[1] - wide + 1), rng.integers(0, size[0] - high + 1)


@torch.no_grad()
def make_views(crops: Tensor, draws: Draws, card: InputCard) -> Tensor:
    """The views that were drawn of crops.

    Args:
        crops: ``(N, H, W, 3) uint8`` BGR.
        draws: Of as many views.
        card: Of the network that they are for.

    Returns:
        Its input ``(N, 3, H, W)``.
    """
    device = crops.device
    images = _cut(crops.permute(0, 3, 1, 2).float(), draws)
    grey = (images * images.new_tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    images = torch.where(torch.from_numpy(draws.grey).to(device).view(-1, 1, 1, 1), grey, images)
    blurred = np.flatnonzero(draws.sigma)
    if len(blurred):
        chosen = torch.from_numpy(blurred).to(device)
        images[chosen] = _blur(images[chosen], torch.from_numpy(draws.sigma[blurred]).float().to(device))
    views = normalise_as(card, images).masked_fill_(_hidden(draws.erased, images), 0.0)
    return views.contiguous(memory_format=torch.channels_last)


def _cut(images: Tensor, draws: Draws) -> Tensor:
    """The windows, enlarged to the whole and mirrored; nothing beyond a window is looked at."""
    height, width = images.shape[2:]
    left, top, wide, high = (torch.from_numpy(each).float().to(images.device) for each in draws.windows.T[:, :, None])
    mirror = torch.from_numpy(draws.mirror).to(images.device)[:, None]
    across = (torch.arange(width, device=images.device) + 0.5) / width
    down = (torch.arange(height, device=images.device) + 0.5) / height
    across = torch.where(mirror, 1.0 - across, across)
    columns = left + (across * wide).clamp(min=0.5).minimum(wide - 0.5)
    rows = top + (down * high).clamp(min=0.5).minimum(high - 0.5)
    grid = torch.stack(
        [
            (2 * columns / width - 1)[:, None, :].expand(-1, height, -1),
            (2 * rows / height - 1)[:, :, None].expand(-1, -1, width),
        ],
        dim=3,
    )
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blurs each image by its own sigma ``(N,)``, first across, then down; the border goes on beyond itself."""
    count, channels, height, width = images.shape
    taps = torch.arange(-_REACH, _REACH + 1, device=images.device)
    weights = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2))
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, None]
    flat = functional.pad(images.reshape(1, -1, height, width), (_REACH,) * 4, mode="replicate")
    across = functional.conv2d(flat, weights, groups=count * channels)
    return functional.conv2d(across, weights.transpose(2, 3), groups=count * channels).view_as(images)


def _hidden(erased: Rows, images: Tensor) -> Tensor:
    """``(N, 1, H, W)``: where nothing is to be seen."""
    left, top, wide, high = (torch.from_numpy(each).to(images.device) for each in erased.T[:, :, None])
    columns = torch.arange(images.shape[3], device=images.device)
    rows = torch.arange(images.shape[2], device=images.device)
    across = (columns >= left) & (columns < left + wide)
    down = (rows >= top) & (rows < top + high)
    return (across[:, None, :] & down[:, :, None])[:, None]
