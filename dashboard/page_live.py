"""Live: what every camera sees now, and who came, came back or went from one camera to another."""

from __future__ import annotations

import html
import time
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.live_wall import show_wall
from reid_pipeline.dashboard.look import identity_colour
from reid_pipeline.dashboard.navigation import page_link
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import ago, span, time_of_day
from reid_pipeline.storage.overview import Overview, Sighting

_FEED: Final = 25
_RENEW_S: Final = 3.0


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("Live")
    cameras = visitor.site.repository.camera_names()
    if not cameras:
        st.info("No camera was read yet. Start `reid-pipeline run cameras.yaml`, and what it sees appears here.")
        return
    wall, feed = st.columns([3, 1], gap="medium")
    with wall:
        _show_cameras(visitor, cameras)
    with feed:
        _show_feed(visitor)


def _show_cameras(visitor: Visitor, cameras: tuple[str, ...]) -> None:
    chosen = st.pills(
        "Cameras",
        cameras,
        selection_mode="multi",
        key="live_cameras",
        label_visibility="collapsed",
        help="Show only these; all where none is chosen.",
    )
    shown = tuple(chosen) or cameras
    clicked = show_wall(visitor, shown, columns=1 if len(shown) == 1 else 2 if len(shown) <= 6 else 3)
    search = page_link("search")
    if clicked is not None and search is not None:
        st.switch_page(search, query_params={"sighting": clicked})


@st.fragment(run_every=_RENEW_S)
def _show_feed(visitor: Visitor) -> None:
    st.subheader("Comings and goings", help="The newest sightings first; renewed every three seconds.")
    sightings = Overview(visitor.site.database, visitor.access).newest(_FEED)
    if not sightings:
        st.caption("Nobody was seen yet.")
        return
    now_us = time.time_ns() // 1000
    st.html("".join(_entry(visitor, each, now_us) for each in sightings))


def _entry(visitor: Visitor, each: Sighting, now_us: int) -> str:
    picture = (
        f'<img loading="lazy" src="{visitor.crop_address(each.crop)}" alt="" width="36" height="72">'
        if each.crop
        else ""
    )
    who = "somebody" if each.identity is None else f"Person {each.identity}"
    when = time_of_day(each.first_us, visitor.site.timezone)
    return (
        '<div style="display:flex;gap:.6rem;padding:.4rem 0;border-bottom:1px solid var(--st-border-color,#8883)">'
        '<div style="width:36px;height:72px;flex:none;border-radius:4px;overflow:hidden;background:#8882">'
        f"{picture}</div>"
        f'<div style="font-size:.85rem;line-height:1.35"><b style="border-left:3px solid '
        f'{identity_colour(each.identity)};padding-left:.4rem">{who}</b><br>{html.escape(news(each))}'
        f'<br><span style="opacity:.7" title="{ago(each.first_us, now_us)}">{when}</span></div></div>'
    )


def news(each: Sighting) -> str:
    """What a sighting means: somebody new, seen again, or handed over from another camera."""
    if each.identity is None:
        return f"in {each.camera}, not decided yet"
    if each.before is None:
        return f"new in {each.camera}"
    if each.first_us <= each.before.last_us:
        return f"in {each.camera}, and in {each.before.camera} at the same time"
    pause = span(each.first_us - each.before.last_us)
    if each.before.camera == each.camera:
        return f"seen again in {each.camera} after {pause}"
    return f"from {each.before.camera} to {each.camera} in {pause}"
