"""What a virtual person looks like, drawn from a generator: stature, hair, clothes, what they carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

Kind = TypeVar("Kind", bound=StrEnum)

Colour = tuple[float, float, float]
"""Red, green and blue in 0-1, as a screen shows them."""


class Top(StrEnum):
    """What is worn above."""

    TSHIRT = "tshirt"
    SHIRT = "shirt"
    SWEATER = "sweater"
    JACKET = "jacket"
    COAT = "coat"
    DRESS = "dress"


class Bottom(StrEnum):
    """What is worn below."""

    TROUSERS = "trousers"
    JEANS = "jeans"
    SHORTS = "shorts"
    SKIRT = "skirt"
    LEGGINGS = "leggings"


class Hair(StrEnum):
    """How hair is worn, or what covers it."""

    SHORT = "short"
    CROPPED = "cropped"
    BALD = "bald"
    LONG = "long"
    BUN = "bun"
    TAIL = "tail"
    CAP = "cap"
    BEANIE = "beanie"
    SCARF = "scarf"


class Bag(StrEnum):
    """What is carried."""

    NONE = "none"
    BACKPACK = "backpack"
    SHOULDER = "shoulder"
    HAND = "hand"
    SHOPPING = "shopping"


class Pattern(StrEnum):
    """How a garment is coloured."""

    PLAIN = "plain"
    STRIPES = "stripes"
    COLUMNS = "columns"
    CHECKS = "checks"
    BLOCKS = "blocks"
    LOGO = "logo"
    SPECKLED = "speckled"


@dataclass(frozen=True, slots=True)
class Look:
    """One person.

    Attributes:
        seed: Of the textures.
        height_m: Stature.
        build: Factor of the girth, 0.85 slim to 1.25 heavy.
        female: Shape of the trunk, 0 to 1.
        skin: Colour.
        hair: Style.
        hair_colour: Colour of hair, or of what covers it.
        top: Garment above.
        top_colour: Its main colour.
        top_second: Its second colour: of stripes, of the shirt under a jacket.
        pattern: How both are arranged.
        sleeves: Part of the arm that is covered.
        bottom: Garment below.
        bottom_colour: Its colour.
        hem: Part of the leg that is covered.
        shoes: Colour.
        bag: What is carried.
        bag_colour: Its colour.
        looseness: Metres between garments and body.
        beard: Whether there is one.
    """

    seed: int
    height_m: float
    build: float
    female: float
    skin: Colour
    hair: Hair
    hair_colour: Colour
    top: Top
    top_colour: Colour
    top_second: Colour
    pattern: Pattern
    sleeves: float
    bottom: Bottom
    bottom_colour: Colour
    hem: float
    shoes: Colour
    bag: Bag
    bag_colour: Colour
    looseness: float
    beard: bool


_SKINS: Final[tuple[Colour, ...]] = (
    (0.96, 0.82, 0.73), (0.92, 0.76, 0.65), (0.87, 0.69, 0.56), (0.80, 0.62, 0.48), (0.71, 0.53, 0.40),
    (0.60, 0.43, 0.31), (0.48, 0.33, 0.24), (0.36, 0.25, 0.19), (0.27, 0.19, 0.15),
)  # fmt: skip
_HAIRS: Final[tuple[Colour, ...]] = (
    (0.07, 0.06, 0.06), (0.08, 0.07, 0.07), (0.10, 0.08, 0.07), (0.14, 0.10, 0.08), (0.18, 0.12, 0.09),
    (0.27, 0.18, 0.12), (0.40, 0.27, 0.16),
    (0.68, 0.54, 0.33), (0.52, 0.25, 0.13), (0.55, 0.54, 0.53), (0.78, 0.77, 0.75),
)  # fmt: skip
_SOBER: Final[tuple[Colour, ...]] = (
    (0.07, 0.07, 0.08), (0.08, 0.08, 0.09), (0.12, 0.12, 0.13), (0.10, 0.13, 0.22), (0.11, 0.12, 0.18),
    (0.16, 0.20, 0.30), (0.25, 0.25, 0.27), (0.20, 0.20, 0.22), (0.09, 0.10, 0.13), (0.46, 0.46, 0.48),
    (0.38, 0.38, 0.40), (0.55, 0.55, 0.56), (0.72, 0.71, 0.69), (0.90, 0.89, 0.87), (0.32, 0.26, 0.20),
    (0.58, 0.50, 0.39), (0.24, 0.28, 0.20), (0.30, 0.10, 0.13), (0.82, 0.77, 0.66), (0.27, 0.36, 0.50),
)  # fmt: skip
_VIVID: Final[tuple[Colour, ...]] = (
    (0.75, 0.13, 0.14), (0.13, 0.32, 0.68), (0.10, 0.47, 0.30), (0.92, 0.74, 0.14), (0.90, 0.45, 0.13),
    (0.50, 0.20, 0.55), (0.90, 0.55, 0.66), (0.40, 0.68, 0.86), (0.10, 0.55, 0.58), (0.82, 0.90, 0.25),
)  # fmt: skip
_JEANS: Final[tuple[Colour, ...]] = (
    (0.12, 0.16, 0.25), (0.18, 0.25, 0.40), (0.28, 0.37, 0.54), (0.45, 0.54, 0.68), (0.10, 0.10, 0.12),
)  # fmt: skip
_TROUSERS: Final[tuple[Colour, ...]] = (
    (0.07, 0.07, 0.07), (0.09, 0.09, 0.10), (0.13, 0.13, 0.14),
    (0.07, 0.07, 0.08), (0.11, 0.12, 0.17), (0.22, 0.22, 0.24), (0.38, 0.37, 0.37), (0.60, 0.52, 0.40),
    (0.30, 0.25, 0.19), (0.25, 0.28, 0.21), (0.84, 0.82, 0.77), (0.36, 0.14, 0.15),
)  # fmt: skip
_SHOES: Final[tuple[Colour, ...]] = (
    (0.06, 0.06, 0.06), (0.08, 0.08, 0.08), (0.16, 0.12, 0.10), (0.33, 0.22, 0.14), (0.88, 0.88, 0.87),
    (0.82, 0.81, 0.80), (0.45, 0.45, 0.47), (0.12, 0.13, 0.18), (0.15, 0.18, 0.28), (0.25, 0.20, 0.16),
    (0.10, 0.10, 0.10), (0.50, 0.16, 0.16),
)  # fmt: skip


def draw_look(rng: np.random.Generator) -> Look:
    """Draws one person; many colours are dark, grey or blue, as on a street."""
    woman = bool(rng.random() < 0.5)
    top = _draw_top(rng, woman)
    bottom = _draw_bottom(rng, woman, top)
    hair = _draw_hair(rng, woman)
    top_colour = _draw_colour(rng, 0.16 if top in {Top.TSHIRT, Top.DRESS, Top.SWEATER} else 0.07)
    covered = hair in {Hair.CAP, Hair.BEANIE, Hair.SCARF}
    return Look(
        seed=int(rng.integers(0, 2**31)),
        height_m=float(np.clip(rng.normal(1.66 if woman else 1.78, 0.07), 1.5, 1.95)),
        build=float(np.clip(rng.normal(1.02, 0.11), 0.86, 1.3)),
        female=float(rng.uniform(0.7, 1.0) if woman else rng.uniform(0.0, 0.2)),
        skin=_vary(rng, _pick(rng, _SKINS), 0.005),
        hair=hair,
        hair_colour=_draw_colour(rng, 0.3) if covered else _vary(rng, _pick(rng, _HAIRS), 0.006),
        top=top,
        top_colour=top_colour,
        top_second=_draw_second(rng, top_colour, top),
        pattern=_draw_pattern(rng, top),
        sleeves=_draw_sleeves(rng, top),
        bottom=bottom,
        bottom_colour=_draw_bottom_colour(rng, bottom),
        hem={Bottom.SHORTS: 0.5, Bottom.SKIRT: 0.0}.get(bottom, 1.0),
        shoes=_vary(rng, _pick(rng, _SHOES), 0.03),
        bag=_choose(rng, {Bag.NONE: 0.62, Bag.BACKPACK: 0.16, Bag.SHOULDER: 0.1, Bag.HAND: 0.07, Bag.SHOPPING: 0.05}),
        bag_colour=_draw_colour(rng, 0.12),
        looseness=float(rng.uniform(0.004, 0.02) + (0.012 if top in {Top.JACKET, Top.COAT} else 0.0)),
        beard=not woman and bool(rng.random() < 0.35),
    )


def _choose(rng: np.random.Generator, weights: dict[Kind, float]) -> Kind:
    shares = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(shares / shares[-1], rng.random(), side="right"))]


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(0, len(colours)))]


def _vary(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) * rng.uniform(0.85, 1.15) + rng.normal(0, spread, 3), 0.03, 0.97)
    return float(red), float(green), float(blue)


def _draw_colour(rng: np.random.Generator, vivid: float) -> Colour:
    return _vary(rng, _pick(rng, _VIVID if rng.random() < vivid else _SOBER), 0.02)


def _draw_top(rng: np.random.Generator, woman: bool) -> Top:
    weights = {Top.TSHIRT: 0.22, Top.SHIRT: 0.16, Top.SWEATER: 0.2, Top.JACKET: 0.26, Top.COAT: 0.12}
    return _choose(rng, {**weights, Top.DRESS: 0.14} if woman else weights)


def _draw_bottom(rng: np.random.Generator, woman: bool, top: Top) -> Bottom:
    if top is Top.DRESS:
        return Bottom.SKIRT
    weights = {Bottom.TROUSERS: 0.42, Bottom.JEANS: 0.42, Bottom.SHORTS: 0.12 if top is Top.TSHIRT else 0.02}
    return _choose(rng, {**weights, Bottom.SKIRT: 0.14, Bottom.LEGGINGS: 0.16} if woman else weights)


def _draw_hair(rng: np.random.Generator, woman: bool) -> Hair:
    if woman:
        return _choose(
            rng,
            {Hair.LONG: 0.42, Hair.BUN: 0.12, Hair.TAIL: 0.2, Hair.SHORT: 0.12, Hair.SCARF: 0.08, Hair.BEANIE: 0.06},
        )
    return _choose(
        rng, {Hair.SHORT: 0.5, Hair.CROPPED: 0.2, Hair.BALD: 0.08, Hair.CAP: 0.1, Hair.BEANIE: 0.07, Hair.LONG: 0.05}
    )


def _draw_second(rng: np.random.Generator, first: Colour, top: Top) -> Colour:
    if top in {Top.JACKET, Top.COAT}:
        return _draw_colour(rng, 0.25)
    colour = _draw_colour(rng, 0.15)
    apart = float(np.abs(np.subtract(colour, first)).max())
    return colour if apart > 0.25 else _vary(rng, (0.9, 0.9, 0.88) if max(first) < 0.55 else (0.1, 0.1, 0.13), 0.02)


def _draw_pattern(rng: np.random.Generator, top: Top) -> Pattern:
    if top in {Top.JACKET, Top.COAT}:
        return _choose(rng, {Pattern.PLAIN: 0.75, Pattern.BLOCKS: 0.15, Pattern.SPECKLED: 0.1})
    weights = {Pattern.PLAIN: 0.66, Pattern.STRIPES: 0.09, Pattern.CHECKS: 0.07, Pattern.BLOCKS: 0.06}
    return _choose(rng, {**weights, Pattern.LOGO: 0.14, Pattern.SPECKLED: 0.06, Pattern.COLUMNS: 0.04})


def _draw_sleeves(rng: np.random.Generator, top: Top) -> float:
    match top:
        case Top.TSHIRT:
            return float(rng.uniform(0.28, 0.42))
        case Top.DRESS | Top.SHIRT:
            return float(rng.choice([0.35, 0.7, 1.0]))
        case _:
            return 1.0


def _draw_bottom_colour(rng: np.random.Generator, bottom: Bottom) -> Colour:
    match bottom:
        case Bottom.JEANS:
            return _vary(rng, _pick(rng, _JEANS), 0.01)
        case Bottom.SKIRT:
            return _draw_colour(rng, 0.3)
        case Bottom.LEGGINGS:
            return _vary(rng, _pick(rng, _TROUSERS[:3]), 0.01)
        case _:
            return _vary(rng, _pick(rng, _TROUSERS), 0.015)
