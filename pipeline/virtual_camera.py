"""The cameras of the virtual site: where they hang, what they see, and what their sensors do to the picture.

World coordinates are metres, z up, the floor at 0. Camera coordinates are x right, y down, z into the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Image

Reals = NDArray[np.floating]
"""Real numbers, of 32 bits where there are many."""

NEAREST_M: Final = 0.25
_NOISE_MARGIN: Final = 64


@dataclass(frozen=True, slots=True)
class Faults:
    """What sensor and lens do.

    Attributes:
        gains: White balance, factors of red, green, blue.
        exposure: Factor of all three.
        gamma: Exponent of the response is 1 / gamma.
        contrast: Slope about mid grey, 1: none.
        blur_px: Sigma of the lens.
        noise: Sigma of the sensor noise in grey levels.
        vignette: Loss of light in the corners, a fraction.
        saturation: Factor of the differences between red, green and blue.
    """

    gains: tuple[float, float, float]
    exposure: float
    gamma: float
    contrast: float
    blur_px: float
    noise: float
    vignette: float
    saturation: float


@dataclass(frozen=True, slots=True)
class VirtualCamera:
    """A pinhole camera without distortion.

    Attributes:
        name: As in cameras.yaml.
        area: Index of the area that it looks into.
        width: Pixels.
        height: Pixels.
        focal_px: Focal length; the principal point is the middle of the picture.
        position: Metres.
        look_at: The point in the middle of the picture.
        faults: Of its pictures.
        seed: Of its noise.
    """

    name: str
    area: int
    width: int
    height: int
    focal_px: float
    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    faults: Faults
    seed: int

    def intrinsics(self) -> NDArray[np.float64]:
        """The ``(3, 3)`` matrix K."""
        focal = self.focal_px
        return np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]], np.float64)

    def rotation(self) -> NDArray[np.float64]:
        """The ``(3, 3)`` matrix R from world to camera directions."""
        forward = np.subtract(self.look_at, self.position, dtype=np.float64)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        rotation: NDArray[np.float64] = np.stack([right, np.cross(forward, right), forward])
        return rotation

    def translation(self) -> NDArray[np.float64]:
        """The ``(3,)`` vector t: camera = R world + t."""
        return -self.rotation() @ np.asarray(self.position, np.float64)

    def to_camera(self, points: NDArray[np.floating]) -> Reals:
        """Camera coordinates ``(N, 3)`` of world points ``(N, 3)``."""
        turned = np.einsum("ij,nj->ni", self.rotation(), points.astype(np.float64) - self.position)
        seen: Reals = turned.astype(np.float32)
        return seen

    def project(self, points: NDArray[np.floating]) -> tuple[Reals, Reals]:
        """Projects world points ``(N, 3)``.

        Returns:
            Pixels ``(N, 2)`` and depths ``(N,)`` in metres; points nearer than `NEAREST_M` are projected as if there.
        """
        seen = self.to_camera(points)
        depth = np.maximum(seen[:, 2], np.float32(NEAREST_M))
        middle = np.array([self.width / 2, self.height / 2], np.float32)
        return seen[:, :2] / depth[:, None] * np.float32(self.focal_px) + middle, seen[:, 2]

    def rays(self, factor: int) -> Reals:
        """Directions ``(H * factor, W * factor, 3)`` in the world, of depth 1 each, through the samples."""
        xs = (np.arange(self.width * factor) + 0.5) / factor - self.width / 2
        ys = (np.arange(self.height * factor) + 0.5) / factor - self.height / 2
        right, down, forward = (axis.astype(np.float32) for axis in self.rotation())
        across = (xs / self.focal_px).astype(np.float32)[None, :, None] * right
        rays: Reals = across + (ys / self.focal_px).astype(np.float32)[:, None, None] * down + forward
        return rays


def develop(linear: Reals, faults: Faults) -> Reals:
    """Turns linear light ``(..., 3)`` RGB, 1 for white, into grey levels 0-255 in BGR order."""
    light = np.maximum(linear * (np.float32(faults.exposure) * np.array(faults.gains, np.float32)), 0)
    light = light / (1 + np.float32(0.18) * light * light)  # highlights roll off
    grey = light.mean(axis=-1, keepdims=True)
    light = np.maximum(grey + (light - grey) * np.float32(faults.saturation), 0)
    level = np.power(light, np.float32(1 / faults.gamma))
    level = (level - np.float32(0.5)) * np.float32(faults.contrast) + np.float32(0.5)
    developed: Reals = np.clip(level, 0, 1)[..., ::-1] * np.float32(255)
    return developed


def vignette(camera: VirtualCamera) -> Reals:
    """The lens's loss of light: factors ``(H, W, 1)``."""
    ys, xs = np.mgrid[-1 : 1 : camera.height * 1j, -1 : 1 : camera.width * 1j]
    factors: Reals = (1 - camera.faults.vignette * (xs**2 + ys**2) / 2).astype(np.float32)[..., None]
    return factors


def noise_sheet(camera: VirtualCamera) -> NDArray[np.int16]:
    """Sensor noise somewhat larger than the picture, from which each frame takes a part: `expose`."""
    rng = np.random.default_rng(np.random.SeedSequence([camera.seed, 77]))
    shape = (camera.height + _NOISE_MARGIN, camera.width + _NOISE_MARGIN, 3)
    coarse = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (3, 3), 0.6)
    sheet: NDArray[np.int16] = np.rint(coarse / coarse.std() * camera.faults.noise).astype(np.int16)
    return sheet


def expose(picture: Reals, camera: VirtualCamera, sheet: NDArray[np.int16], frame: int) -> Image:
    """Blurs the grey levels ``(H, W, 3)`` of frame number ``frame``, adds its noise and rounds them."""
    blurred = cv2.GaussianBlur(picture, (0, 0), camera.faults.blur_px) if camera.faults.blur_px > 0 else picture
    rng = np.random.default_rng(np.random.SeedSequence([camera.seed, 78, frame]))
    top, left = rng.integers(0, _NOISE_MARGIN, 2)
    part = sheet[top : top + camera.height, left : left + camera.width]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    image: Image = np.clip(np.rint(blurred + part), 0, 255).astype(np.uint8)
    return image


def draw_faults(rng: np.random.Generator, *, outdoors: bool) -> Faults:
    """Draws the faults of one camera."""
    warmth = rng.normal(0, 0.13)
    return Faults(
        gains=(float(1 + warmth), float(1 + rng.normal(0, 0.03)), float(1 - warmth)),
        exposure=float(rng.uniform(0.8, 1.45)),
        gamma=float(rng.uniform(2.0, 2.4)),
        contrast=float(rng.uniform(1.0, 1.22)),
        blur_px=float(rng.uniform(0.35, 0.75)),
        noise=float(rng.uniform(0.8, 2.2) if outdoors else rng.uniform(1.2, 3.2)),
        vignette=float(rng.uniform(0.04, 0.2)),
        saturation=float(rng.uniform(0.55, 1.05)),
    )
