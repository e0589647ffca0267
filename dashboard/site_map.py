"""The cameras of a site on its plan, or in a circle, with arrows between them: a component that draws it."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from reid_pipeline.dashboard.components import ask
from reid_pipeline.storage.floor_plan import Place, size_of_plan

_ASPECT: Final = 0.52  # height to width, without a plan
_ROUND: Final = (0.33, 0.36)  # of the circle, as parts of width and height


@dataclass(frozen=True, slots=True)
class MapCamera:
    """A camera on the map: where it is, a short text in its circle, and what is told of it in words."""

    name: str
    place: Place
    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one camera to another: a short text at it, what is told of it in words, and its width in pixels."""

    origin: str
    goal: str
    text: str
    help: str
    width: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A camera that was moved."""

    camera: str
    place: Place


def show_map(
    cameras: Sequence[MapCamera], arrows: Iterable[Arrow], plan: bytes | None, key: str, *, placing: bool = False
) -> Placed | None:
    """Shows the map; gives a camera that was moved, or None.

    Args:
        cameras: What to show.
        arrows: Between these.
        plan: As `FloorPlans.picture` gives it; None: without.
        key: Of the component.
        placing: Whether cameras may be moved.
    """
    width, height = (1.0, _ASPECT) if plan is None else size_of_plan(plan)
    data = {
        "label": "Map of the cameras",
        "aspect": height / width,
        "plan": None if plan is None else f"data:image/jpeg;base64,{b64encode(plan).decode()}",
        "cameras": [
            {"name": each.name, "x": each.place.x, "y": each.place.y, "text": each.text, "help": each.help}
            for each in cameras
        ],
        "flows": [asdict(each) for each in arrows],
        "placing": placing,
    }
    placed = ask("site_map", '<div class="map"></div>', "placed", key, data)
    if placed is None:
        return None
    return Placed(str(placed["camera"]), Place(float(placed["x"]), float(placed["y"])))


def all_places(cameras: Sequence[str], known: Mapping[str, Place]) -> dict[str, Place]:
    """Where cameras are: where they were placed, the others in a circle in their order."""
    across, down = _ROUND
    circle = [2 * math.pi * position / max(len(cameras), 1) - math.pi / 2 for position in range(len(cameras))]
    return {
        name: known.get(name, Place(0.5 + across * math.cos(angle), 0.48 + down * math.sin(angle)))
        for name, angle in zip(cameras, circle, strict=True)
    }
