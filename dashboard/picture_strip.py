"""Strips of pictures as HTML, with all text of data escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import clock, span
from reid_pipeline.storage.review import SeenTracklet

_STRIP = '<div style="display:flex;flex-wrap:wrap;gap:.4rem">{}</div>'
_NONE = (
    '<div style="height:{height}px;width:{width}px;border-radius:4px;background:#8882;display:flex;align-items:center;'
    'justify-content:center;text-align:center;font-size:.75rem;opacity:.7">no picture is left</div>'
)


def strip(visitor: Visitor, crops: Iterable[str], height_px: int = 120) -> str:
    """Pictures side by side; a grey box where there is none."""
    shown = [picture(visitor, crop, height_px) for crop in crops]
    return _STRIP.format("".join(shown) or _NONE.format(height=height_px, width=height_px // 2))


def picture(visitor: Visitor, crop: str, height_px: int) -> str:
    """A picture by its path in the data folder."""
    return (
        f'<img loading="lazy" src="{visitor.crop_address(crop)}" alt="" height="{height_px}" '
        f'style="height:{height_px}px;width:auto;min-width:{height_px // 3}px;border-radius:4px;background:#8882">'
    )


def labelled(visitor: Visitor, sightings: Iterable[SeenTracklet], height_px: int) -> str:
    """Pictures with camera and time below those of each tracklet."""
    return _STRIP.format("".join(_figure(visitor, each, height_px) for each in sightings))


def _figure(visitor: Visitor, each: SeenTracklet, height_px: int) -> str:
    duration = span(max(each.last_us - each.first_us, 0))
    return (
        f'<figure style="margin:0 .4rem .6rem 0">{strip(visitor, each.crops, height_px)}'
        f'<figcaption style="font-size:.8rem;line-height:1.35;margin-top:.25rem" title="in view for {duration}">'
        f"<b>{html.escape(each.camera)}</b><br>"
        f'<span style="opacity:.75">{clock(each.first_us, visitor.site.timezone)}</span></figcaption></figure>'
    )
