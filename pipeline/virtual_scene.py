"""What a place of the virtual site is made of: blocks, posts and leaves, in metres, z up, and the light on them."""

from __future__ import annotations

from dataclasses import dataclass

from reid_pipeline.pipeline.virtual_look import Colour

Rectangle = tuple[float, float, float, float]
"""x1, y1, x2, y2 on the floor, metres."""
Place = tuple[float, float]
"""x, y on the floor, metres."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box whose edges run along the axes.

    Attributes:
        low: Smallest x, y, z.
        high: Largest.
        material: Name of a texture in `virtual_surfaces`.
        colour: Of the texture.
        second: Its other colour.
        seed: Of the texture.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    material: str
    colour: Colour
    second: Colour
    seed: int


@dataclass(frozen=True, slots=True)
class Post:
    """An upright cylinder."""

    centre: Place
    radius: float
    low: float
    high: float
    material: str
    colour: Colour
    second: Colour
    seed: int


@dataclass(frozen=True, slots=True)
class Leaves:
    """A ball of leaves."""

    centre: tuple[float, float, float]
    radius: float
    colour: Colour
    seed: int


Thing = Block | Post | Leaves
"""What stands in an area."""


@dataclass(frozen=True, slots=True)
class Light:
    """What falls on an area, in linear RGB.

    Attributes:
        direction: Unit vector to where the strongest light comes from.
        key: That light.
        sky: From above.
        ground: From below.
        lamps: Places of lamps; none out of doors.
        hard: Sharpness of shadows, 0 overcast or lamps to 1 sun.
    """

    direction: tuple[float, float, float]
    key: Colour
    sky: Colour
    ground: Colour
    lamps: tuple[tuple[float, float, float], ...]
    hard: float


@dataclass(frozen=True, slots=True)
class Area:
    """One place.

    Attributes:
        room: The part that cameras look at.
        walkable: Rectangles whose union is the floor that can be walked on.
        obstacles: Rectangles of that floor that are not free.
        stops: Where people stop or turn.
        portals: Where they vanish, out of sight.
        outdoors: Whether the sky is above.
        floor: Texture, colours and seed of the floor, as a block.
        ceiling_m: Height of the ceiling; infinite out of doors.
        blocks: Walls and furniture.
        posts: Pillars, bins, lamp posts.
        leaves: Plants.
        light: What falls on it.
    """

    room: Rectangle
    walkable: tuple[Rectangle, ...]
    obstacles: tuple[Rectangle, ...]
    stops: tuple[Place, ...]
    portals: tuple[Place, ...]
    outdoors: bool
    floor: Block
    ceiling_m: float
    blocks: tuple[Block, ...]
    posts: tuple[Post, ...]
    leaves: tuple[Leaves, ...]
    light: Light

    def __hash__(self) -> int:
        return hash((self.room, self.floor))  # enough to tell areas apart, and there are hundreds of things in one

    @property
    def solids(self) -> tuple[Block | Post, ...]:
        """Walls and furniture without plants."""
        return (*self.blocks, *self.posts)

    @property
    def things(self) -> tuple[Thing, ...]:
        """All that stands in the area."""
        return (*self.blocks, *self.posts, *self.leaves)
