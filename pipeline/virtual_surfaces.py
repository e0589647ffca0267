"""The textures of floors, walls and furniture: what colour a surface has at a point, given in metres on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from reid_pipeline.pipeline.virtual_camera import Reals
from reid_pipeline.pipeline.virtual_clothes import linear
from reid_pipeline.pipeline.virtual_look import Colour

_LATTICE: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Points of one surface.

    Attributes:
        u: ``(N,)`` metres along it.
        v: ``(N,)`` metres up it.
        width: Metres of the whole surface.
        height: Metres of the whole surface.
        flat: Whether it is level, seen from above.
        distance: ``(N,)`` metres to the camera; fine lines fade with it.
    """

    u: Reals
    v: Reals
    width: float
    height: float
    flat: bool
    distance: Reals


def paint(material: str, patch: Patch, colour: Colour, second: Colour, seed: int) -> Reals:
    """Linear RGB ``(N, 3)`` of a material at the points of a patch.

    Raises:
        KeyError: There is no such material.
    """
    offset = np.float32(seed % 9973 * 0.731)
    first, other = linear(colour), linear(second)
    share, shade = _PAINTERS[material](patch, offset, seed)
    painted: Reals = (first + (other - first) * share[:, None]) * shade[:, None]
    return painted


def noise(u: Reals, v: Reals) -> Reals:
    """Smooth noise of about -1 to 1 with one bump per unit."""
    column, row = np.floor(u), np.floor(v)
    s, t = u - column, v - row
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    x0, y0 = column.astype(np.int64) % _LATTICE, row.astype(np.int64) % _LATTICE
    x1, y1 = (x0 + 1) % _LATTICE, (y0 + 1) % _LATTICE
    table = _lattice()
    smooth: Reals = (table[y0, x0] * (1 - s) + table[y0, x1] * s) * (1 - t) + (
        table[y1, x0] * (1 - s) + table[y1, x1] * s
    ) * t
    return smooth


@lru_cache(maxsize=1)
def _lattice() -> Reals:
    return np.random.default_rng(11).uniform(-1, 1, (_LATTICE, _LATTICE)).astype(np.float32)


def _cell(u: Reals, v: Reals) -> Reals:
    """Noise that is constant in each unit square."""
    x, y = np.floor(u).astype(np.int64) % _LATTICE, np.floor(v).astype(np.int64) % _LATTICE
    return _lattice()[y, x]


def _line(u: Reals, spacing: float, width: float, distance: Reals) -> Reals:
    """1 on lines across ``u``, 0 between; lines far away are wider and fainter."""
    wide = np.maximum(np.float32(width), distance * np.float32(0.0016))
    off = np.abs((u / spacing + 0.5) % 1 - 0.5) * spacing
    lines: Reals = np.clip(1.5 - off / wide, 0, 1) * (np.float32(width) / wide)
    return lines


def _dirt(patch: Patch, offset: np.float32, strength: float) -> Reals:
    large = noise(patch.u * 0.35 + offset, patch.v * 0.35)
    small = noise(patch.u * 1.9, patch.v * 1.9 + offset)
    fine = noise(patch.u * 14 + offset, patch.v * 14) * np.clip(1.4 - patch.distance / 12, 0.2, 1)
    factors: Reals = 1 + np.float32(strength) * (0.6 * large + 0.35 * small + 0.35 * fine)
    return factors


def _none(patch: Patch) -> Reals:
    return np.zeros_like(patch.u)


Painted = tuple[Reals, Reals]


def _tiles(patch: Patch, offset: np.float32, seed: int) -> Painted:
    side = (0.4, 0.6, 0.3, 0.8)[seed % 4]
    joint = np.maximum(_line(patch.u, side, 0.006, patch.distance), _line(patch.v, side, 0.006, patch.distance))
    shade = (1 + 0.07 * _cell(patch.u / side + 40, patch.v / side)) * (1 - 0.5 * joint) * _dirt(patch, offset, 0.08)
    if seed % 5 == 0:  # a chequered floor
        return ((np.floor(patch.u / side) + np.floor(patch.v / side)) % 2).astype(np.float32) * 0.7, shade
    return _none(patch), shade


def _wood(patch: Patch, offset: np.float32, seed: int) -> Painted:
    wide = 0.14
    board = np.floor(patch.v / wide)
    shift = _cell(board, _none(patch)) * 3
    joint = np.maximum(_line(patch.v, wide, 0.003, patch.distance), _line(patch.u + shift, 1.8, 0.003, patch.distance))
    grain = noise(patch.u * 1.5 + offset + shift * 7, patch.v * 40) * np.clip(1.3 - patch.distance / 10, 0.1, 1)
    tone = _cell(np.floor((patch.u + shift) / 1.8) + 7, board)
    return _none(patch), (1 + 0.14 * tone + 0.12 * grain) * (1 - 0.45 * joint)


def _carpet(patch: Patch, offset: np.float32, seed: int) -> Painted:
    side = 0.5
    weave = noise(patch.u * 60, patch.v * 60) * np.clip(1.2 - patch.distance / 8, 0, 1)
    turned = (np.floor(patch.u / side) + np.floor(patch.v / side)) % 2
    blotch = np.clip(noise(patch.u * 3 + offset, patch.v * 3) * 0.5 + 0.2, 0, 1) * (seed % 3 == 0)
    return blotch * 0.5, 0.75 * (1 + 0.05 * turned + 0.16 * weave) * _dirt(patch, offset, 0.06)


def _terrazzo(patch: Patch, offset: np.float32, seed: int) -> Painted:
    chips = noise(patch.u * 28 + offset, patch.v * 28)
    share = np.clip((chips - 0.35) * 4, 0, 1) * np.clip(1.3 - patch.distance / 10, 0.15, 1)
    joint = np.maximum(_line(patch.u, 1.5, 0.008, patch.distance), _line(patch.v, 1.5, 0.008, patch.distance))
    return share * 0.6, (1 - 0.35 * joint) * _dirt(patch, offset, 0.06)


def _asphalt(patch: Patch, offset: np.float32, seed: int) -> Painted:
    grit = noise(patch.u * 45, patch.v * 45 + offset) * np.clip(1.3 - patch.distance / 12, 0.1, 1)
    cracks = np.clip(1 - np.abs(noise(patch.u * 0.6 + offset, patch.v * 0.6)) * 45, 0, 1)
    shade = 0.7 * (1 + 0.22 * grit) * _dirt(patch, offset, 0.16) * (1 - 0.16 * cracks)
    return _none(patch), shade


def _paving(patch: Patch, offset: np.float32, seed: int) -> Painted:
    long, wide = ((0.6, 0.4), (0.9, 0.6), (0.5, 0.5))[seed % 3]
    row = np.floor(patch.v / wide)
    u = patch.u + (row % 2) * long / 2
    joint = np.maximum(_line(u, long, 0.008, patch.distance), _line(patch.v, wide, 0.008, patch.distance))
    tone = _cell(np.floor(u / long) + 3, row)
    return np.clip(tone, 0, 1) * 0.25, (1 + 0.10 * tone) * (1 - 0.5 * joint) * _dirt(patch, offset, 0.13)


def _cobbles(patch: Patch, offset: np.float32, seed: int) -> Painted:
    side = 0.14
    row = np.floor(patch.v / side)
    u = patch.u + (row % 2) * side / 2
    fade = np.clip(1.3 - patch.distance / 14, 0.15, 1)
    joint = np.maximum(_line(u, side, 0.012, patch.distance), _line(patch.v, side, 0.012, patch.distance))
    tone = _cell(np.floor(u / side), row) * fade
    return _none(patch), (1 + 0.22 * tone) * (1 - 0.5 * joint) * _dirt(patch, offset, 0.12)


def _plaster(patch: Patch, offset: np.float32, seed: int) -> Painted:
    """A painted wall; many have a darker dado and skirting."""
    shade = _dirt(patch, offset, 0.035)
    if patch.flat:
        return _none(patch), shade
    skirting = (patch.v < 0.1).astype(np.float32)
    dado = (patch.v < 1.1).astype(np.float32) * (0.6 if seed % 3 == 0 else 0.0)
    scuffs = 0.06 * np.clip(1.2 - patch.v, 0, 1) * noise(patch.u * 5 + offset, patch.v * 9)
    return dado, shade * (1 - 0.55 * skirting) * (1 + scuffs)


def _facade(patch: Patch, offset: np.float32, seed: int) -> Painted:
    """Bricks or render, with a row of windows on each floor above the ground."""
    shade = _dirt(patch, offset, 0.09)
    if seed % 2 == 0:
        row = np.floor(patch.v / 0.075)
        u = patch.u + (row % 2) * 0.12
        joint = np.maximum(_line(u, 0.24, 0.006, patch.distance), _line(patch.v, 0.075, 0.006, patch.distance))
        shade = shade * (1 + 0.12 * _cell(np.floor(u / 0.24), row)) * (1 - 0.3 * joint)
    across = (patch.u + offset) % 2.2 - 1.1
    up = (patch.v - 3.4) % 2.9
    inside = (np.abs(across) < 0.55) & (up < 1.6) & (patch.v > 3.4)
    frame = inside & ((np.abs(across) > 0.48) | (up < 0.07) | (up > 1.53) | (np.abs(across) < 0.03))
    glass = np.where(inside & ~frame, 0.16 + 0.12 * np.clip(up, 0, 1.6), 1.0).astype(np.float32)
    plinth = np.where(patch.v < 0.5, 0.7, 1.0).astype(np.float32)
    ledge = np.where(np.abs(patch.v - 3.1) < 0.07, 1.25, 1.0).astype(np.float32)
    return frame.astype(np.float32), shade * glass * plinth * ledge


def _plain(patch: Patch, offset: np.float32, seed: int) -> Painted:
    return _none(patch), _dirt(patch, offset, 0.06)


def _planks(patch: Patch, offset: np.float32, seed: int) -> Painted:
    grain = noise(patch.u * 2 + offset, patch.v * 50)
    joint = _line(patch.v + 0.07, 0.15, 0.006, patch.distance)
    return _none(patch), (1 + 0.14 * grain) * (1 - 0.6 * joint)


def _panels(patch: Patch, offset: np.float32, seed: int) -> Painted:
    joint = _line(patch.u, 0.55, 0.006, patch.distance)
    foot = (patch.v < 0.12).astype(np.float32) * (not patch.flat)
    return foot, (1 - 0.5 * joint) * _dirt(patch, offset, 0.05)


def _cloth(patch: Patch, offset: np.float32, seed: int) -> Painted:
    return _none(patch), 0.8 * (1 + 0.1 * noise(patch.u * 9 + offset, patch.v * 9)) * (
        1 - 0.4 * _line(patch.u, 0.62, 0.01, patch.distance)
    )


def _goods(patch: Patch, offset: np.float32, seed: int) -> Painted:
    """Shelves with packets of all sizes."""
    if patch.flat:
        return _none(patch), _dirt(patch, offset, 0.05)
    shelf = patch.v % 0.36
    board = shelf < 0.03
    wide = 0.12
    item = _cell(np.floor(patch.u / wide) + offset, np.floor(patch.v / 0.36) * 5)
    tall = 0.19 + 0.1 * _cell(np.floor(patch.u / wide) + 31, np.floor(patch.v / 0.36))
    gap = (shelf > tall) & ~board
    shade = np.where(board, 1.0, np.where(gap, 0.12, 0.75 + 0.65 * item)).astype(np.float32)
    share = np.where(
        board, 0.0, np.clip(0.5 + 0.9 * _cell(np.floor(patch.u / wide) * 3 + 17, np.floor(patch.v / 0.36)), 0, 1)
    )
    return share.astype(np.float32), shade


def _poster(patch: Patch, offset: np.float32, seed: int) -> Painted:
    u, v = patch.u / patch.width, patch.v / patch.height
    border = (np.minimum(u, 1 - u) < 0.04) | (np.minimum(v, 1 - v) < 0.04)
    shape = noise(u * 2.5 + offset, v * 2.5) > 0.05
    text = (
        (v < 0.3) & ((v * 22) % 1 > 0.5) & (noise(patch.u * 30, np.floor(v * 22) * 7.3) > -0.4) & (u > 0.1) & (u < 0.9)
    )
    share = np.where(text, 0.15, np.where(shape & (v > 0.34), 1.0, 0.0)).astype(np.float32)
    return share, np.where(border, 1.3, np.where(text, 0.35, 1.0)).astype(np.float32)


def _board(patch: Patch, offset: np.float32, seed: int) -> Painted:
    sheets = _cell(patch.u / 0.3 + offset, patch.v / 0.4)
    inside = (np.abs((patch.u / 0.3) % 1 - 0.5) < 0.4) & (np.abs((patch.v / 0.4) % 1 - 0.5) < 0.42)
    on = inside & (sheets > -0.2)
    return np.where(on & (sheets > 0.6), 0.9, 0.0).astype(np.float32), np.where(on, 1.9, 0.8).astype(np.float32)


def _window(patch: Patch, offset: np.float32, seed: int) -> Painted:
    u, v = patch.u, patch.v
    edge = np.minimum(np.minimum(u, patch.width - u), np.minimum(v, patch.height - v))
    bar = np.abs((u + 0.01) % 0.8 - 0.4) > 0.375
    frame = (edge < 0.05) | bar
    glow = 1.05 + 0.25 * v / patch.height + 0.12 * noise(u * 1.5 + offset, v * 1.5)
    return frame.astype(np.float32), np.where(frame, 1.0, glow).astype(np.float32)


def _door(patch: Patch, offset: np.float32, seed: int) -> Painted:
    u, v = patch.u / patch.width, patch.v
    edge = (np.minimum(u, 1 - u) < 0.07) | (v > patch.height - 0.07)
    handle = (np.abs(u - 0.85) < 0.05) & (np.abs(v - 1.03) < 0.025)
    pane = (np.abs(u - 0.5) < 0.22) & (np.abs(v - 1.45) < 0.35)
    shade = np.where(edge, 0.6, 1.0) * np.where(pane, 0.45, 1.0) * np.where(handle, 2.0, 1.0)
    return handle.astype(np.float32), (shade * _dirt(patch, offset, 0.05)).astype(np.float32)


def _shopfront(patch: Patch, offset: np.float32, seed: int) -> Painted:
    u, v = patch.u, patch.v
    sign = v > 1.95
    frame = (np.abs((u + 0.02) % 1.1 - 0.55) > 0.51) | (v < 0.3) | (np.abs(v - 1.92) < 0.04)
    goods = 0.35 + 0.3 * np.clip(noise(u * 4 + offset, v * 4), -0.7, 1) * (v < 1.3)
    letters = sign & (noise(u * 9 + offset, np.floor(v * 9) * 3.1) > 0.1) & (np.abs(v - 2.12) < 0.09)
    shade = np.where(sign, np.where(letters, 2.2, 0.9), np.where(frame, 1.0, goods))
    return np.where(sign, 1.0, 0.0).astype(np.float32), shade.astype(np.float32)


def _machine(patch: Patch, offset: np.float32, seed: int) -> Painted:
    """A vending machine: a lit window with rows of cans."""
    u, v = patch.u / patch.width, patch.v / patch.height
    pane = (u > 0.1) & (u < 0.72) & (v > 0.3) & (v < 0.92) & (not patch.flat)
    cans = (np.abs((u * 11) % 1 - 0.5) < 0.32) & (np.abs((v * 9) % 1 - 0.5) < 0.34)
    item = _cell(u * 11 + offset, v * 9)
    slot = (u > 0.15) & (u < 0.65) & (v > 0.1) & (v < 0.2) & (not patch.flat)
    shade = np.where(pane, np.where(cans, 1.1 + 0.9 * item, 0.35), np.where(slot, 0.15, 1.0))
    return (pane & cans & (item > 0)).astype(np.float32), shade.astype(np.float32)


def _bark(patch: Patch, offset: np.float32, seed: int) -> Painted:
    return np.clip(noise(patch.u * 25 + offset, patch.v * 4), 0, 1), _dirt(patch, offset, 0.2)


def _ceiling(patch: Patch, offset: np.float32, seed: int) -> Painted:
    joint = np.maximum(_line(patch.u, 0.6, 0.012, patch.distance), _line(patch.v, 0.6, 0.012, patch.distance))
    return _none(patch), (1 - 0.3 * joint) * _dirt(patch, offset, 0.03)


_PAINTERS: Final = {
    "tiles": _tiles, "wood": _wood, "carpet": _carpet, "terrazzo": _terrazzo, "asphalt": _asphalt, "paving": _paving,
    "cobbles": _cobbles, "plaster": _plaster, "facade": _facade, "plain": _plain, "planks": _planks, "panels": _panels,
    "cloth": _cloth, "goods": _goods, "poster": _poster, "board": _board, "window": _window, "door": _door,
    "shopfront": _shopfront, "machine": _machine, "bark": _bark, "ceiling": _ceiling,
}  # fmt: skip
