"""A journey as one HTML page without script or network. It needs no other file, but for the footage that it shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_STYLE: Final = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4em .8em .4em 0; border-bottom: 1px solid #ddd; vertical-align: top }
img, video { height: 8em; margin: 0 .3em .3em 0 }
"""
_COLUMNS: Final = ("Camera", "Tracklet", "First seen", "Last seen", "Seconds", "Probability", "Views", "Pictures")


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG and the time it was taken at, as text."""

    time: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Stay:
    """A row of the page: the texts of all columns but the pictures, these, and the paths of footage beside the page."""

    cells: tuple[str, ...]
    pictures: tuple[Picture, ...]
    clips: tuple[str, ...] = ()


def journey_page(site: str, identity: int, exported_at: str, stays: Sequence[Stay]) -> str:
    """The page; all text is escaped, and a browser may load nothing but its pictures and the footage beside it."""
    title = escape(f"{site}: identity {identity}")
    head = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
    rows = "\n".join(_row(stay) for stay in stays)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if any(stay.clips for stay in stays):
        policy += "; media-src 'self' file:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>Exported {escape(exported_at)}. All times are UTC.</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _row(stay: Stay) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in stay.cells)
    pictures = "".join(_image(picture) for picture in stay.pictures)
    clips = "".join(_video(path) for path in stay.clips)
    return f"<tr>{cells}<td>{pictures}{clips}</td></tr>"


def _image(picture: Picture) -> str:
    time = escape(picture.time, quote=True)
    return f'<img alt="{time}" title="{time}" src="data:image/jpeg;base64,{b64encode(picture.jpeg).decode()}">'


def _video(path: str) -> str:
    name = escape(path, quote=True)
    return f'<video controls preload="none" title="{name}" src="{name}"></video>'
