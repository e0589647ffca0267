"""Draws the places of the virtual site: rooms and squares with walls around them.

Each has its own part of the world. Doors and side streets lead out of sight, where people come from and go to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reid_pipeline.pipeline.virtual_furniture import (
    BRIGHT,
    FLOORS,
    GROUNDS,
    METALS,
    STONES,
    WALLS,
    WOODS,
    Builder,
    furnish,
    gap_between,
)
from reid_pipeline.pipeline.virtual_look import Colour
from reid_pipeline.pipeline.virtual_scene import Area, Block, Light, Place, Rectangle

_SPACING_M: Final = 40.0
_PASSAGE_M: Final = 2.4
_REACH_M: Final = 4.0
"""How far a passage goes on to both sides of its door."""
_LINTEL_M: Final = 2.25


@dataclass(frozen=True, slots=True)
class _Wall:
    """A wall around a place.

    Attributes:
        along_x: Whether it runs along the x axis.
        face: Where its inner face is on the other axis.
        outward: 1 or -1, the direction out of the place.
        start: Where it starts along its axis.
        end: Where it ends.
    """

    along_x: bool
    face: float
    outward: float
    start: float
    end: float

    def rectangle(self, start: float, end: float, inner: float, outer: float) -> Rectangle:
        """A part of the floor: from ``start`` to ``end`` along the wall, and so many metres out of its inner face."""
        low, high = sorted((self.face + self.outward * inner, self.face + self.outward * outer))
        return (start, low, end, high) if self.along_x else (low, start, high, end)

    def place(self, along: float, out: float) -> Place:
        """A point of the floor."""
        across = self.face + self.outward * out
        return (along, across) if self.along_x else (across, along)


@dataclass(frozen=True, slots=True)
class _Style:
    """How the walls of a place are built."""

    outdoors: bool
    height: float
    thick: float
    door: float
    colour: Colour
    second: Colour

    @property
    def material(self) -> str:
        return "facade" if self.outdoors else "plaster"


@dataclass(frozen=True, slots=True)
class _Exit:
    """A door: its middle, the floor that leads out through it, and where people vanish."""

    door: Place
    walkable: tuple[Rectangle, Rectangle]
    portals: tuple[Place, Place]


def build_area(rng: np.random.Generator, index: int, *, outdoors: bool) -> Area:
    """Draws a place and furnishes it.

    Args:
        rng: Decides everything.
        index: Of the area; it decides where in the world it lies.
        outdoors: A square rather than a room.
    """
    wide = float(rng.uniform(15, 20) if outdoors else rng.uniform(11, 15))
    deep = float(rng.uniform(12, 15) if outdoors else rng.uniform(9.5, 12.5))
    left = index * _SPACING_M
    builder = Builder(rng, (left, 0.0, left + wide, deep))
    style = _draw_style(builder, outdoors=outdoors)
    exits = _enclose(builder, style)
    furnish(builder, style.height, outdoors=outdoors)
    return Area(
        builder.room,
        ((left + 0.3, 0.3, left + wide - 0.3, deep - 0.3), *(part for each in exits for part in each.walkable)),
        tuple(builder.obstacles),
        tuple(_draw_stops(builder, [each.door for each in exits])),
        tuple(portal for each in exits for portal in each.portals),
        outdoors,
        _draw_floor(builder, outdoors=outdoors),
        float("inf") if outdoors else style.height,
        tuple(builder.blocks),
        tuple(builder.posts),
        tuple(builder.leaves),
        _daylight(rng) if outdoors else _lamplight(builder, style.height),
    )


def _draw_style(builder: Builder, *, outdoors: bool) -> _Style:
    rng = builder.rng
    height = float(rng.uniform(7, 10) if outdoors else rng.uniform(3.1, 4.2))
    colour, second = builder.pick(*(STONES if outdoors else WALLS)), builder.pick(*WALLS)
    return _Style(outdoors, height, 2.5 if outdoors else 0.2, 2.8 if outdoors else 2.0, colour, second)


def _draw_floor(builder: Builder, *, outdoors: bool) -> Block:
    kinds = ("paving", "asphalt", "cobbles") if outdoors else ("tiles", "wood", "carpet", "terrazzo", "tiles")
    kind = kinds[int(builder.rng.integers(0, len(kinds)))]
    colour, second = (builder.pick(*(GROUNDS if outdoors else FLOORS)) for _ in range(2))
    return Block((0, 0, -1), (1, 1, 0), kind, colour, second, int(builder.rng.integers(0, 2**31)))


def _enclose(builder: Builder, style: _Style) -> list[_Exit]:
    """Builds walls on all four sides; all but the near one have a door."""
    x1, y1, x2, y2 = builder.room
    far = _Wall(True, y2, 1.0, x1 - style.thick, x2 + style.thick)
    sides = [_Wall(False, x, outward, y1 - style.thick, y2) for x, outward in ((x1, -1.0), (x2, 1.0))]
    exits = [_build_wall(builder, far, style, x1 + (x2 - x1) * float(builder.rng.uniform(0.3, 0.7)))]
    exits += [
        _build_wall(builder, each, style, y1 + (y2 - y1) * float(builder.rng.uniform(0.42, 0.6))) for each in sides
    ]
    near = y1 - (6.0 if style.outdoors else 0.0)  # out of doors it is a house across the street
    span = (x1 - style.thick - _PASSAGE_M, near - style.thick, 0.0, x2 + style.thick + _PASSAGE_M, near, style.height)
    builder.block(span, style.material, style.colour, style.second)
    for door in (each.door for each in exits):
        builder.keep_free.append((door[0] - 1.7, door[1] - 1.7, door[0] + 1.7, door[1] + 1.7))
    walls = [far, *sides] if style.outdoors else [far, *sides, _Wall(True, y1, -1.0, x1, x2)]
    for wall in walls:
        _decorate(builder, wall, style, [each.door for each in exits])
    return exits


def _build_wall(builder: Builder, wall: _Wall, style: _Style, at: float) -> _Exit:
    """Builds a wall with a door at ``at``, a passage behind it, and what closes the passage."""
    half, far = style.door / 2, style.thick + _PASSAGE_M

    def build(part: Rectangle, low: float, first: Colour, second: Colour) -> None:
        x1, y1, x2, y2 = part
        builder.block((x1, y1, low, x2, y2, style.height), style.material, first, second)

    for start, end in ((wall.start, at - half), (at + half, wall.end)):
        build(wall.rectangle(start, end, 0, style.thick), 0, style.colour, style.second)
    build(wall.rectangle(wall.start - 8, wall.end + 8, far, far + 0.5), 0, style.second, style.colour)
    if not style.outdoors:
        build(wall.rectangle(at - half, at + half, 0, style.thick), _LINTEL_M, style.colour, style.second)
    beyond = half + _REACH_M
    return _Exit(
        wall.place(at, 0),
        (
            wall.rectangle(at - half + 0.3, at + half - 0.3, -0.5, far - 0.4),
            wall.rectangle(at - beyond, at + beyond, style.thick + 0.3, far - 0.3),
        ),
        (
            wall.place(at - beyond + 0.5, style.thick + _PASSAGE_M / 2),
            wall.place(at + beyond - 0.5, style.thick + _PASSAGE_M / 2),
        ),
    )


def _decorate(builder: Builder, wall: _Wall, style: _Style, doors: list[Place]) -> None:
    """Hangs posters, boards and windows on a wall."""
    rng = builder.rng
    position = wall.start + style.thick + float(rng.uniform(0.8, 1.6))
    while position < wall.end - style.thick - 1.6:
        size = float(rng.uniform(0.6, 1.8))
        middle = wall.place(position + size / 2, 0)
        if all(np.hypot(middle[0] - x, middle[1] - y) > 1.3 + size / 2 for x, y in doors):
            _hang(builder, wall, style, position, size)
        position += size + float(rng.uniform(0.5, 2.4))


def _hang(builder: Builder, wall: _Wall, style: _Style, start: float, size: float) -> None:
    rng = builder.rng
    kind = rng.random()
    if style.outdoors:
        low, high, material = (0.0, 2.3, "shopfront") if kind < 0.55 else (2.6, 3.2, "poster")
        colours = (builder.pick(*METALS), builder.pick(*BRIGHT))
    elif kind < 0.45:
        low = float(rng.uniform(1.0, 1.4))
        high, material = low + float(rng.uniform(0.7, 1.1)), "poster"
        colours = (builder.pick(*BRIGHT), builder.pick(*BRIGHT))
    elif kind < 0.7:
        low, high, material = 0.95, min(2.3, style.height - 0.5), "window"
        colours = ((0.75, 0.80, 0.85), builder.pick(*METALS))
    elif kind < 0.85:
        low, high, material, size = 0.0, 2.1, "door", 0.95
        colours = (builder.pick(*WOODS, *METALS), builder.pick(*METALS))
    else:
        low, high, material = 1.1, 1.9, "board"
        colours = (builder.pick(*WOODS), builder.pick(*BRIGHT))
    x1, y1, x2, y2 = wall.rectangle(start, start + size, -0.05, 0)
    builder.block((x1, y1, low, x2, y2, high), material, *colours)


def _draw_stops(builder: Builder, doors: list[Place]) -> list[Place]:
    """Free places spread over the room."""
    x1, y1, x2, y2 = builder.room
    stops: list[Place] = []
    for _ in range(400):
        place = (float(builder.rng.uniform(x1 + 1, x2 - 1)), float(builder.rng.uniform(y1 + 2.0, y2 - 1)))
        spot = (place[0] - 0.1, place[1] - 0.1, place[0] + 0.1, place[1] + 0.1)
        clear = all(gap_between(spot, other) > 0.45 for other in builder.obstacles)
        spread = all(np.hypot(place[0] - x, place[1] - y) > 1.6 for x, y in [*stops, *doors])
        if clear and spread:
            stops.append(place)
        if len(stops) == 9:
            break
    return stops


def _daylight(rng: np.random.Generator) -> Light:
    """Sun or clouds; the sun stands behind the near wall, so that the far ones are lit."""
    hard = float(rng.choice([0.0, 0.6, 1.0]))
    turn, rise = float(rng.uniform(1.05, 1.95)) * np.pi, float(rng.uniform(0.6, 1.1))
    direction = (float(np.cos(rise) * np.cos(turn)), float(np.cos(rise) * np.sin(turn)), float(np.sin(rise)))
    sun = 0.35 + 0.75 * hard
    return Light(direction, (sun, sun * 0.95, sun * 0.85), (0.46, 0.50, 0.56), (0.20, 0.19, 0.18), (), hard)


def _lamplight(builder: Builder, height: float) -> Light:
    """Six lamps under the ceiling; people are lit as by one of them."""
    x1, y1, x2, y2 = builder.room
    lamps = tuple(
        (float(x), float(y), height - 0.05)
        for x in np.linspace(x1 + 2, x2 - 2, 3)
        for y in np.linspace(y1 + 2, y2 - 2, 2)
    )
    warmth = 1 + float(builder.rng.uniform(-0.1, 0.16))
    x, y = (float(lean) for lean in builder.rng.normal(0, 0.28, 2))
    length = float(np.sqrt(x * x + (y - 0.2) ** 2 + 1))
    key, sky = 0.52, 0.42
    return Light(
        (x / length, (y - 0.2) / length, 1 / length),
        (key * warmth, key, key / warmth),
        (sky * warmth, sky, sky / warmth),
        (0.24, 0.22, 0.20),
        lamps,
        0.0,
    )
