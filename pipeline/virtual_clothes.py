"""The textures of a virtual person: skin, face, hair, cloth with its folds, as linear RGB ``(h, w, 3)``.

Columns go around a limb: a quarter is the front, a half the right side, three quarters the back. Rows go up.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_camera import Reals
from reid_pipeline.pipeline.virtual_look import Bag, Bottom, Colour, Hair, Look, Pattern, Top

_FRONT: Final = 0.25
_BACK: Final = 0.75


def linear(colour: Colour) -> Reals:
    """Linear light ``(3,)`` of a colour as a screen shows it."""
    return np.power(np.asarray(colour, np.float32), np.float32(2.2))


def paint_trunk(look: Look, rng: np.random.Generator) -> Reals:
    """Upper garment, from its hem to the neck."""
    shape = (96, 160)
    cloth = _paint_pattern(look, rng, shape)
    v, u = _grid(shape)
    if look.top in {Top.JACKET, Top.COAT}:
        _paint_opening(look, rng, cloth)
    elif look.top is Top.SHIRT:
        cloth[np.abs(u - _FRONT) < 0.006] *= 0.6
        cloth[:: shape[0] // 9, int(_FRONT * shape[1])] = 0.8
    neck = 0.985 - 0.7 * np.maximum(0, 0.06 - np.abs(u - _FRONT)) * (look.top is not Top.COAT)
    opening = v > neck
    cloth[opening] = linear(look.skin) if look.hair is not Hair.SCARF else linear(look.hair_colour)
    cloth[(v > neck - 0.02) & ~opening] *= 0.8
    cloth *= _folds(rng, shape, (7, 5), 0.16)[..., None]
    if look.top not in {Top.DRESS, Top.COAT}:
        cloth[v < 0.035] *= 0.72
    _paint_straps(look, cloth)
    under_arms = np.exp(-(((u % 0.5) / 0.07) ** 2)) + np.exp(-((((u % 0.5) - 0.5) / 0.07) ** 2))
    shaded: Reals = (cloth * (1 - 0.35 * under_arms * (v < 0.8))[..., None]).astype(np.float32)
    return shaded


def paint_arm(look: Look, rng: np.random.Generator) -> Reals:
    """Skin and sleeve, from the wrist to the shoulder."""
    shape = (64, 48)
    v, _ = _grid(shape)
    covered = v > 1 - look.sleeves
    colour = linear(look.top_second if look.pattern is Pattern.BLOCKS else look.top_colour)
    cloth = np.where(covered[..., None], colour, linear(look.skin))
    if look.pattern is Pattern.STRIPES and look.top is not Top.JACKET:
        bands = (np.floor(v * 13).astype(int) % 2 == 0) & covered
        cloth[bands] = linear(look.top_second)
    cuff = np.abs(v - (1 - look.sleeves)) < 0.025
    cloth[cuff] *= 0.7
    folded = np.where(covered, _folds(rng, shape, (12, 3), 0.2), 1.0)
    return (cloth * folded[..., None]).astype(np.float32)


def paint_leg(look: Look, rng: np.random.Generator) -> Reals:
    """Trousers, tights or skin, from the ankle to the hip."""
    shape = (96, 48)
    v, u = _grid(shape)
    covered = v > 1 - look.hem
    bare = linear(look.skin)
    if look.bottom is Bottom.SKIRT and rng.random() < 0.5:
        bare = bare * 0.15  # tights
    cloth = np.where(covered[..., None], linear(look.bottom_colour), bare).astype(np.float32)
    strength = 0.06 if look.bottom is Bottom.LEGGINGS else 0.17
    folded = np.where(covered, _folds(rng, shape, (9, 3), strength), 1 + 0.04 * np.sin(6 * v))
    if look.bottom is Bottom.JEANS:
        faded = np.exp(-(((u - _FRONT) / 0.12) ** 2)) * np.exp(-(((v - 0.7) / 0.25) ** 2))
        folded = np.asarray(folded * (1 + 0.35 * faded) * rng.uniform(0.9, 1.1, shape))
    socks = (v < 0.08) & (look.hem < 0.6)
    cloth[socks] = linear((0.85, 0.85, 0.84)) if look.bottom is Bottom.SHORTS else cloth[socks]
    inner = 1 - 0.4 * np.clip((v - 0.7) / 0.3, 0, 1)
    return (cloth * folded[..., None] * inner[..., None]).astype(np.float32)


def paint_lower(look: Look, rng: np.random.Generator) -> Reals:
    """Seat of the trousers, or the skirt."""
    shape = (32, 64)
    v, u = _grid(shape)
    cloth = np.broadcast_to(linear(look.bottom_colour), (*shape, 3)).copy()
    pleats = 1 + 0.14 * np.sin(2 * np.pi * u * rng.integers(7, 15)) if look.bottom is Bottom.SKIRT else 1.0
    cloth *= (_folds(rng, shape, (4, 6), 0.14) * pleats)[..., None]
    if look.bottom is not Bottom.SKIRT:
        cloth[v > 0.88] = linear((0.12, 0.09, 0.07))
    return cloth.astype(np.float32)


def paint_head(look: Look, rng: np.random.Generator) -> Reals:
    """Face, ears and the hair that lies close, from the chin to the crown."""
    shape = (96, 144)
    v, u = _grid(shape)
    face = np.broadcast_to(linear(look.skin), (*shape, 3)).astype(np.float32)
    face *= (1 + 0.05 * _noise(rng, shape, (8, 10)))[..., None]
    off = np.abs(u - _FRONT)
    features = [
        ((off - 0.062) / 0.030, (v - 0.545) / 0.035, 0.62),  # sockets
        ((off - 0.062) / 0.014, (v - 0.545) / 0.014, 0.12),  # eyes
        ((off - 0.065) / 0.032, (v - 0.605) / 0.011, 0.35),  # brows
        (off / 0.042, (v - 0.225) / 0.014, 0.55),  # mouth
        (off / 0.03, (v - 0.345) / 0.018, 0.6),  # under the nose
        (off / 0.09, (v - 0.06) / 0.05, 0.7),  # under the chin
    ]
    for across, up, left in features:
        face *= (1 - (1 - left) * np.exp(-(across**2) - up**2))[..., None]
    lips = np.exp(-((off / 0.036) ** 2) - ((v - 0.22) / 0.02) ** 2)[..., None]
    face *= 1 - lips * np.array([0.0, 0.28, 0.22], np.float32)
    if look.beard:
        beard = np.clip(1.6 * np.exp(-((off / 0.17) ** 4) - (((v - 0.12) / 0.17) ** 4)), 0, 0.75)
        colour = linear((0.1, 0.08, 0.07) if _covered(look) else look.hair_colour)
        face += (colour - face) * beard[..., None].astype(np.float32)
    hairy = hair_field(u, v) * (look.hair is not Hair.BALD)
    strands = linear(look.hair_colour) * (1 + 0.3 * _noise(rng, shape, (5, 60)))[..., None]
    stubble = 0.75 if look.hair is Hair.CROPPED else 1.0
    hairy = hairy[..., None] * stubble
    return (face * (1 - hairy) + strands * hairy).astype(np.float32)


def paint_hair(look: Look, rng: np.random.Generator, shape: tuple[int, int] = (48, 96)) -> Reals:
    """Hair that stands off, or the cloth of what covers it."""
    v, u = _grid(shape)
    cells, strength = ((4, 7), 0.15) if _covered(look) else ((6, 44), 0.4)
    cloth = linear(look.hair_colour) * (1 + strength * _noise(rng, shape, cells))[..., None]
    if look.hair is Hair.BEANIE:
        cloth *= (1 + 0.12 * np.sin(2 * np.pi * u * 24))[..., None]
    if look.hair is not Hair.SCARF and not _covered(look):
        cloth *= (1 + 0.5 * np.exp(-(((v - 0.82) / 0.07) ** 2)) * np.abs(np.sin(2 * np.pi * u * 3 + 1)))[..., None]
    return cloth.astype(np.float32)


def paint_shoe(look: Look) -> Reals:
    """A shoe from heel to toe; its sole is at the first quarter, its laces at the third."""
    shape = (16, 24)
    v, u = _grid(shape)
    shoe = np.broadcast_to(linear(look.shoes), (*shape, 3)).astype(np.float32)
    light_sole = sum(look.shoes) > 1.2 or look.seed % 3 == 0
    shoe[np.abs(u - 0.25) < 0.16] = linear((0.8, 0.8, 0.78)) if light_sole else linear((0.05, 0.05, 0.05))
    laces = (np.abs(u - 0.75) < 0.08) & (v > 0.35) & (v < 0.7)
    shoe[laces] *= 0.6
    return shoe


def paint_plain(colour: Colour, rng: np.random.Generator, shape: tuple[int, int] = (24, 32)) -> Reals:
    """Skin or cloth of one colour."""
    painted: Reals = (linear(colour) * (1 + 0.1 * _noise(rng, shape, (4, 5)))[..., None]).astype(np.float32)
    return painted


def paint_bag(look: Look, rng: np.random.Generator) -> Reals:
    """The bag: seams, a pocket, a lid."""
    shape = (48, 64)
    v, u = _grid(shape)
    cloth = paint_plain(look.bag_colour, rng, shape)
    cloth[np.abs(v - 0.45) < 0.02] *= 0.5
    cloth[np.abs(v - 0.8) < 0.02] *= 0.5
    if look.bag is Bag.SHOPPING:
        cloth[(np.abs(v - 0.5) < 0.15) & (np.abs((u % 0.5) - 0.25) < 0.08)] = linear(look.top_second)
    return cloth * _folds(rng, shape, (4, 4), 0.1)[..., None].astype(np.float32)


def hair_field(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much of the head at columns ``u`` and rows ``v`` grows hair, 0 to 1."""
    to_face = np.abs(u - _FRONT)
    to_face = np.minimum(to_face, 1 - to_face)  # 0 front, 0.5 back
    line = np.interp(to_face, [0, 0.1, 0.15, 0.19, 0.25, 0.32, 0.5], [0.80, 0.79, 0.72, 0.46, 0.42, 0.24, 0.18])
    field: NDArray[np.float64] = 1 / (1 + np.exp(-(v - line) / 0.018))
    return field


def _covered(look: Look) -> bool:
    return look.hair in {Hair.CAP, Hair.BEANIE, Hair.SCARF}


def _grid(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    v, u = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    return v, u


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth noise of about -1 to 1 with ``cells`` bumps along rows and columns, without a seam."""
    coarse = rng.standard_normal((cells[0] + 1, cells[1]))
    coarse = np.concatenate([coarse, coarse[:, :1]], axis=1)
    smooth = np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float64)
    return np.clip(smooth * 0.7, -1.2, 1.2)


def _folds(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int], strength: float
) -> NDArray[np.float64]:
    """Brightness factors of cloth that is lit from above: its folds' upper sides bright, the lower dark."""
    height = _noise(rng, shape, cells) + 0.5 * _noise(rng, shape, (2 * cells[0], 2 * cells[1]))
    slope = -np.gradient(height, axis=0) + 0.6 * np.gradient(height, axis=1)
    factors: NDArray[np.float64] = np.clip(1 + strength * slope / max(float(slope.std()), 1e-9), 0.45, 1.6)
    return factors


def _paint_pattern(look: Look, rng: np.random.Generator, shape: tuple[int, int]) -> Reals:
    v, u = _grid(shape)
    second = np.zeros(shape, np.float64)
    match look.pattern:
        case Pattern.STRIPES:
            second = (np.floor(v * rng.integers(9, 22)) % 2).astype(float)
        case Pattern.COLUMNS:
            second = (np.floor(u * rng.integers(20, 40)) % 2).astype(float)
        case Pattern.CHECKS:
            count = rng.integers(8, 14)
            second = ((np.floor(v * count) % 2) + (np.floor(u * count * 2) % 2)) / 2
        case Pattern.BLOCKS:
            second = (v > rng.uniform(0.5, 0.75)).astype(float)
        case Pattern.LOGO:
            side = _FRONT if rng.random() < 0.75 else _BACK
            centre, size = (side, rng.uniform(0.6, 0.75)), rng.uniform(0.05, 0.1)
            second = ((np.abs(u - centre[0]) < size) & (np.abs(v - centre[1]) < size)).astype(float)
            second *= _noise(rng, shape, (14, 40)) > -0.35
        case Pattern.SPECKLED:
            second = np.clip(_noise(rng, shape, (26, 44)), 0, 1)
        case _:
            pass
    mixed = linear(look.top_colour) * (1 - second[..., None]) + linear(look.top_second) * second[..., None]
    return mixed.astype(np.float32)


def _paint_opening(look: Look, rng: np.random.Generator, cloth: Reals) -> None:
    """An open jacket shows the shirt under it; a closed one its zip."""
    v, u = _grid((cloth.shape[0], cloth.shape[1]))
    off = np.abs(u - _FRONT)
    if rng.random() < 0.6:
        wide = rng.uniform(0.015, 0.05) * (0.6 + 0.8 * np.abs(v - 0.35))
        cloth[off < wide] = linear(look.top_second)
        cloth[(off >= wide) & (off < wide + 0.012)] *= 0.6
    else:
        cloth[off < 0.007] = linear((0.3, 0.3, 0.32))
    pockets = (np.abs(v - 0.3) < 0.012) & (np.abs(off - 0.1) < 0.035)
    cloth[pockets] *= 0.5


def _paint_straps(look: Look, cloth: Reals) -> None:
    v, u = _grid((cloth.shape[0], cloth.shape[1]))
    if look.bag is Bag.BACKPACK:
        cloth[(np.abs(np.abs(u - _FRONT) - 0.1) < 0.018) & (v > 0.45) & (v < 0.96)] = linear(look.bag_colour) * 0.7
    elif look.bag is Bag.SHOULDER:
        turn = np.where(u < 0.5, u, 1 - u)
        cloth[(np.abs(v - 0.25 - 1.25 * turn) < 0.025) & (v < 0.93)] = linear(look.bag_colour) * 0.7
