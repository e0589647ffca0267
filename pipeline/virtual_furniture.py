"""Furnishes the places of the virtual site: benches, shelves, trees, wherever they leave room to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.pipeline.virtual_look import Colour
from reid_pipeline.pipeline.virtual_scene import Block, Leaves, Place, Post, Rectangle

WALLS: Final[tuple[Colour, ...]] = (
    (0.86, 0.84, 0.78), (0.80, 0.82, 0.82), (0.74, 0.78, 0.80), (0.84, 0.78, 0.66), (0.70, 0.74, 0.66),
    (0.88, 0.87, 0.85),
)  # fmt: skip
FLOORS: Final[tuple[Colour, ...]] = (
    (0.62, 0.60, 0.56), (0.50, 0.51, 0.52), (0.70, 0.66, 0.58), (0.42, 0.40, 0.38), (0.56, 0.46, 0.35),
    (0.45, 0.32, 0.22), (0.40, 0.44, 0.50), (0.76, 0.75, 0.72),
)  # fmt: skip
STONES: Final[tuple[Colour, ...]] = (
    (0.62, 0.42, 0.32), (0.74, 0.68, 0.58), (0.60, 0.60, 0.58), (0.82, 0.78, 0.70), (0.50, 0.34, 0.28),
)  # fmt: skip
GROUNDS: Final[tuple[Colour, ...]] = ((0.40, 0.40, 0.40), (0.56, 0.54, 0.50), (0.62, 0.58, 0.52), (0.48, 0.44, 0.42))
WOODS: Final[tuple[Colour, ...]] = ((0.52, 0.36, 0.22), (0.66, 0.50, 0.33), (0.36, 0.24, 0.16), (0.74, 0.64, 0.50))
METALS: Final[tuple[Colour, ...]] = ((0.30, 0.32, 0.34), (0.55, 0.57, 0.58), (0.16, 0.17, 0.18), (0.25, 0.34, 0.42))
BRIGHT: Final[tuple[Colour, ...]] = (
    (0.62, 0.20, 0.18), (0.20, 0.34, 0.55), (0.84, 0.70, 0.30), (0.25, 0.44, 0.34), (0.78, 0.50, 0.26),
    (0.88, 0.88, 0.86),
)  # fmt: skip
MUTED: Final[tuple[Colour, ...]] = (
    (0.46, 0.24, 0.22), (0.27, 0.33, 0.42), (0.66, 0.60, 0.50), (0.32, 0.40, 0.35), (0.24, 0.24, 0.26),
    (0.74, 0.73, 0.70), (0.50, 0.44, 0.38), (0.55, 0.40, 0.26),
)  # fmt: skip
GREENS: Final[tuple[Colour, ...]] = ((0.20, 0.34, 0.14), (0.28, 0.42, 0.18), (0.16, 0.28, 0.16), (0.36, 0.44, 0.20))


@dataclass(slots=True)
class Builder:
    """Collects what stands in an area while it is drawn.

    Attributes:
        rng: Decides everything.
        room: The part of the floor that is furnished.
        blocks: So far.
        posts: So far.
        leaves: So far.
        obstacles: What of the floor is taken.
        keep_free: What of it must not be, in front of doors.
    """

    rng: np.random.Generator
    room: Rectangle
    blocks: list[Block] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    leaves: list[Leaves] = field(default_factory=list)
    obstacles: list[Rectangle] = field(default_factory=list)
    keep_free: list[Rectangle] = field(default_factory=list)

    def block(self, span: tuple[float, float, float, float, float, float], material: str, *colours: Colour) -> None:
        """Adds a box: x1, y1, z1, x2, y2, z2."""
        second = colours[1] if len(colours) > 1 else colours[0]
        seed = int(self.rng.integers(0, 2**31))
        self.blocks.append(Block(span[:3], span[3:], material, colours[0], second, seed))

    def pick(self, *colours: Colour) -> Colour:
        """Draws one of the colours, somewhat lighter or darker."""
        colour = np.array(colours[int(self.rng.integers(0, len(colours)))])
        red, green, blue = np.clip(colour * self.rng.uniform(0.85, 1.15), 0, 1)
        return float(red), float(green), float(blue)


def furnish(builder: Builder, height: float, *, outdoors: bool) -> None:
    """Puts furniture where it leaves room to pass."""
    rng = builder.rng
    x1, y1, x2, y2 = builder.room
    wanted = int(rng.integers(7, 12))
    for _ in range(wanted * 12):
        if len(builder.obstacles) >= wanted:
            return
        kind, size = _draw_piece(rng, outdoors=outdoors)
        by_wall = kind in {"shelf", "machine", "counter"} and rng.random() < 0.6
        x = float(rng.uniform(x1 + 1.2, x2 - 1.2 - size[0]))
        near = 5.0 if kind in {"tree", "kiosk", "machine"} else 3.2
        y = y2 - size[1] - 0.06 if by_wall else float(rng.uniform(y1 + near, y2 - 1.2 - size[1]))
        footprint = (x, y, x + size[0], y + size[1])
        taken = [*builder.obstacles, *builder.keep_free]
        if all(gap_between(footprint, other) > (0.0 if other in builder.keep_free else 1.25) for other in taken):
            builder.obstacles.append(footprint)
            _place(builder, kind, footprint, height)


def _draw_piece(rng: np.random.Generator, *, outdoors: bool) -> tuple[str, tuple[float, float]]:
    indoor = ("bench", "counter", "shelf", "pillar", "planter", "table", "sofa", "machine", "bin", "stand")
    outdoor = ("bench", "planter", "tree", "bin", "lamp", "stand", "tree", "kiosk", "bench", "planter")
    kinds = outdoor if outdoors else indoor
    kind = kinds[int(rng.integers(0, len(kinds)))]
    sizes = {
        "bench": (1.7, 0.5), "counter": (2.2, 0.7), "shelf": (2.2, 0.6), "pillar": (0.5, 0.5), "planter": (0.7, 0.7),
        "table": (1.2, 0.8), "sofa": (1.8, 0.85), "machine": (0.95, 0.8), "bin": (0.42, 0.42), "stand": (0.6, 0.3),
        "tree": (0.9, 0.9), "lamp": (0.24, 0.24), "kiosk": (2.2, 1.6),
    }  # fmt: skip
    wide, deep = sizes[kind]
    turned = kind in {"bench", "shelf", "sofa", "table"} and rng.random() < 0.4
    return kind, (deep, wide) if turned else (wide, deep)


def gap_between(one: Rectangle, other: Rectangle) -> float:
    """Metres between two rectangles along the axis on which they are further apart; negative if they overlap."""
    across = max(one[0] - other[2], other[0] - one[2])
    along = max(one[1] - other[3], other[1] - one[3])
    return max(across, along)


def _place(builder: Builder, kind: str, at: Rectangle, height: float) -> None:
    x1, y1, x2, y2 = at
    wood, metal, muted = builder.pick(*WOODS), builder.pick(*METALS), builder.pick(*MUTED)
    match kind:
        case "bench" | "table":
            _place_boards(builder, at, 0.46 if kind == "bench" else 0.75, wood, metal)
        case "counter":
            builder.block((x1, y1, 0, x2, y2, 1.0), "panels", muted, metal)
            builder.block((x1 - 0.04, y1 - 0.04, 1.0, x2 + 0.04, y2 + 0.04, 1.05), "planks", wood)
        case "shelf":
            builder.block((x1, y1, 0, x2, y2, 1.45), "goods", metal, builder.pick(*BRIGHT))
        case "sofa":
            _place_sofa(builder, at, muted)
        case "machine":
            builder.block((x1, y1, 0, x2, y2, 1.85), "machine", builder.pick(*BRIGHT), metal)
        case "kiosk":
            builder.block((x1, y1, 0, x2, y2, 2.3), "panels", muted, metal)
            builder.block((x1 - 0.2, y1 - 0.3, 2.3, x2 + 0.2, y2 + 0.2, 2.42), "plain", metal)
        case "stand":
            picture = (x1, y1 + 0.1, 0, x2, y2 - 0.1, 1.3)
            builder.block(picture, "poster", builder.pick(*BRIGHT), builder.pick(*BRIGHT))
            builder.block((x1, y1, 0, x2, y2, 0.04), "plain", metal)
        case _:
            _place_round(builder, kind, ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1) / 2, height)


def _place_boards(builder: Builder, at: Rectangle, top: float, wood: Colour, metal: Colour) -> None:
    x1, y1, x2, y2 = at
    builder.block((x1, y1, top - 0.06, x2, y2, top), "planks", wood)
    for x in (x1 + 0.05, x2 - 0.13):
        for y in (y1 + 0.05, y2 - 0.13):
            builder.block((x, y, 0, x + 0.08, y + 0.08, top - 0.06), "plain", metal)


def _place_sofa(builder: Builder, at: Rectangle, colour: Colour) -> None:
    x1, y1, x2, y2 = at
    builder.block((x1, y1, 0.08, x2, y2, 0.45), "cloth", colour)
    back = (x1, y2 - 0.22) if x2 - x1 > y2 - y1 else (x2 - 0.22, y1)
    builder.block((*back, 0.45, x2, y2, 0.85), "cloth", colour)


def _place_round(builder: Builder, kind: str, middle: Place, radius: float, height: float) -> None:
    metal, stone, seed = builder.pick(*METALS), builder.pick(*STONES), int(builder.rng.integers(0, 2**31))
    match kind:
        case "pillar":
            builder.posts.append(Post(middle, radius, 0, height, "plaster", builder.pick(*WALLS), metal, seed))
        case "bin":
            builder.posts.append(Post(middle, radius, 0, 0.9, "plain", metal, metal, seed))
        case "lamp":
            builder.posts.append(Post(middle, 0.07, 0, 6.0, "plain", metal, metal, seed))
            builder.posts.append(Post(middle, radius, 0, 0.35, "plain", metal, metal, seed))
        case "tree":
            builder.posts.append(Post(middle, 0.16, 0, 3.4, "bark", (0.35, 0.27, 0.2), (0.22, 0.17, 0.13), seed))
            (x, y), r = middle, radius
            builder.block((x - r, y - r, 0, x + r, y + r, 0.14), "plain", stone)
            _grow(builder, middle, _Plant(3.9, 1.35, 42, 0.5))
        case _:
            builder.posts.append(Post(middle, radius, 0, 0.55, "plain", stone, stone, seed))
            _grow(builder, middle, _Plant(0.62, radius, 22, 0.34))


@dataclass(frozen=True, slots=True)
class _Plant:
    """Height of the lowest leaves, radius, number of balls of leaves, and how far they lie apart."""

    height: float
    spread: float
    count: int
    loose: float


def _grow(builder: Builder, middle: Place, plant: _Plant) -> None:
    colour = builder.pick(*GREENS)
    for _ in range(plant.count):
        x, y, z = (float(value) * plant.spread for value in builder.rng.normal(0, plant.loose, 3))
        radius = float(builder.rng.uniform(0.25, 0.42) * plant.spread)
        centre = (middle[0] + 0.9 * x, middle[1] + 0.9 * y, plant.height + abs(z))
        builder.leaves.append(Leaves(centre, radius, builder.pick(colour), int(builder.rng.integers(0, 2**31))))
