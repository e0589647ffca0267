"""The small parts of pages that Streamlit has no widget for; each is drawn by a script in `assets`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import cv2
import streamlit as st

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.search_picture import PixelBox

_WIDEST_PX = 960


@cache
def component(name: str, html: str) -> Any:
    """The component of a name: ``assets/<name>.js`` and ``.css``."""
    assets = files(__package__) / "assets"
    style, script = ((assets / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component(f"reid_{name}", html=html, css=style, js=script)


def ask(name: str, html: str, trigger: str, key: str, data: Mapping[str, object]) -> Any:
    """Shows a component; gives what it says with a trigger in this run of the script, or None."""
    said = component(name, html)(key=key, data=data, **{f"on_{trigger}_change": _nothing})
    return said[trigger]


def show_hits(sections: Sequence[Mapping[str, object]], *, judge: bool) -> tuple[str, str] | None:
    """Shows hits as cards in sections; gives ``camera:number`` and what was said of it, or None.

    Args:
        sections: Each with `title`, `weak` (drawn faintly) and `hits`.
        judge: Whether hits can be accepted and rejected; else only opened.
    """
    data = {"sections": list(sections), "judge": judge}
    said = ask("hit_grid", '<div class="grid"></div>', "judged", "hits", data)
    return None if said is None else (str(said["key"]), str(said["verdict"]))


def pick_person(image: Image, boxes: Sequence[PixelBox], key: str) -> int | None:
    """Shows a picture that somebody has brought, and gives which of the boxes was clicked, or None."""
    height, width = image.shape[:2]
    scale = min(1.0, _WIDEST_PX / width)
    page = '<div class="frame"><img alt="The picture that you gave"><svg></svg></div>'
    data = {
        "picture": as_address(image, scale),
        "width": width,
        "height": height,
        "boxes": [list(box) for box in boxes],
    }
    chosen = ask("person_picker", page, "chosen", key, data)
    return None if chosen is None else int(chosen)


def as_address(image: Image, scale: float = 1.0) -> str:
    """A picture that somebody has brought themselves as an address that holds it; nobody else gets to see it."""
    small = image if scale == 1.0 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _nothing() -> None:
    """What a click does is up to the page, in the same run of its script."""
