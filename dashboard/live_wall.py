"""The wall of live pictures: a component that draws them itself, so that no picture goes through the page's script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reid_pipeline.dashboard.components import ask
from reid_pipeline.dashboard.look import identity_colour
from reid_pipeline.dashboard.served_site import Visitor

_COLOURS: Final = 512  # identities beyond begin anew; neighbours still differ


def show_wall(visitor: Visitor, cameras: tuple[str, ...], columns: int) -> str | None:
    """Shows some cameras live; gives ``camera:tracklet`` of a person that was clicked, or None.

    Args:
        visitor: Who looks.
        cameras: Names of the cameras.
        columns: Pictures in a row, where the window is wide enough.
    """
    data: Mapping[str, object] = {
        "token": visitor.wall_token(cameras),
        "cameras": cameras,
        "columns": columns,
        "colours": [identity_colour(number) for number in range(_COLOURS)],
        "unknown": identity_colour(None),
    }
    clicked = ask("live_wall", '<div class="wall" role="list"></div>', "person", "wall", data)
    return None if clicked is None else str(clicked)
