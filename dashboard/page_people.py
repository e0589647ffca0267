"""People: who was seen, the newest first; and the links between sightings that somebody should look at."""

from __future__ import annotations

import time
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.card_grid import Card, show_cards
from reid_pipeline.dashboard.flows import ranked
from reid_pipeline.dashboard.look import identity_colour
from reid_pipeline.dashboard.navigation import page_link
from reid_pipeline.dashboard.recent_stays import stays_of
from reid_pipeline.dashboard.review_queue import show_queue
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.time_choice import TimeSpan, choose_time
from reid_pipeline.dashboard.words import ago, clock, span
from reid_pipeline.storage.overview import Overview, Person
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.traffic import MOST

_ON_A_PAGE: Final = 60
_ORDERS: Final = {"recent": "Last seen", "dwell": "Longest in view", "cameras": "Most cameras"}
_PAGES: Final = "people_pages"  # where each page but the first begins


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("People")
    if not visitor.site.repository.camera_names():
        st.info("Nobody was seen yet. Start `reid-pipeline run cameras.yaml`; who it sees appears here.")
        return
    if Permission.CORRECT in ALLOWED[visitor.access.role] and _choose_view() == "review":
        show_queue(visitor)
        return
    _show_everybody(visitor)


def _choose_view() -> str:
    names = {"all": "Everybody", "review": "To review"}
    chosen = st.segmented_control(
        "View",
        list(names),
        default=st.query_params.get("view") if st.query_params.get("view") in names else "all",
        required=True,
        format_func=names.__getitem__,
        key="people_view",
        label_visibility="collapsed",
        help="To review: links between sightings that may be wrong, for you to decide.",
    )
    st.query_params["view"] = str(chosen)
    return str(chosen)


def _show_everybody(visitor: Visitor) -> None:
    cameras, when, order = _choose(visitor)
    people = _find(visitor, cameras, when, order)
    if not people:
        st.info("Nobody was seen then. Choose a longer time, or other cameras.")
        _show_turning(people)
        return
    now_us = time.time_ns() // 1000
    clicked = show_cards([_card(visitor, each, now_us) for each in people], key="people_cards")
    _show_turning(people)
    journeys = page_link("journeys")
    if clicked is not None and journeys is not None:
        st.switch_page(journeys, query_params={"id": clicked})


def _choose(visitor: Visitor) -> tuple[tuple[str, ...], TimeSpan, str]:
    known = visitor.site.repository.camera_names()
    which, when, how = st.columns([3, 1, 1], gap="medium")
    with which:
        chosen = st.multiselect(
            "Cameras",
            known,
            default=[each for each in st.query_params.get_all("camera") if each in known],
            key="people_cameras",
            placeholder="All cameras",
            help="Only people whom one of these saw; all where none is chosen.",
        )
    with when:
        span_of_time = choose_time(visitor, "people", "any")
    with how:
        asked = st.query_params.get("order", "recent")
        order = st.selectbox(
            "Order",
            list(_ORDERS),
            index=list(_ORDERS).index(asked) if asked in _ORDERS else 0,
            format_func=_ORDERS.__getitem__,
            key="people_order",
            help=f"Longest and most count the sightings of the chosen time, of many the newest {MOST:,}.",
        )
    st.query_params["camera"] = chosen
    st.query_params["order"] = order
    _turn_back_after((tuple(chosen), st.query_params.get("when"), order))
    return tuple(chosen), span_of_time, order


def _turn_back_after(asked: object) -> None:
    """Begins at the first page where something else is asked for."""
    if st.session_state.get("people_asked") != asked:
        st.session_state["people_asked"] = asked
        st.session_state[_PAGES] = []


def _find(visitor: Visitor, cameras: tuple[str, ...], when: TimeSpan, order: str) -> tuple[Person, ...]:
    overview = Overview(visitor.site.database, visitor.access)
    pages = st.session_state[_PAGES]
    if order == "recent":
        before = pages[-1] if pages else None
        return overview.people(_ON_A_PAGE, when.since_us, when.until_us, cameras, before)
    stays = stays_of(visitor, when, cameras)
    begin = len(pages) * _ON_A_PAGE
    return overview.describe(ranked(stays, order)[begin : begin + _ON_A_PAGE])


def _show_turning(people: tuple[Person, ...]) -> None:
    pages = st.session_state[_PAGES]
    if not pages and len(people) < _ON_A_PAGE:
        return
    with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
        if st.button("Back", icon=":material/chevron_left:", disabled=not pages, key="people_back"):
            pages.pop()
            st.rerun()
        st.caption(f"Page {len(pages) + 1}", width="content")
        more = len(people) == _ON_A_PAGE
        if st.button("Further", icon=":material/chevron_right:", disabled=not more, key="people_further"):
            pages.append(people[-1].turn)
            st.rerun()


def _card(visitor: Visitor, each: Person, now_us: int) -> Card:
    sightings = "1 sighting" if each.tracklets == 1 else f"{each.tracklets:,} sightings"
    cameras = each.cameras[0] if len(each.cameras) == 1 else f"{len(each.cameras)} cameras"
    return Card(
        key=str(each.identity),
        address=f"journeys?id={each.identity}",
        picture=visitor.crop_address(each.crop) if each.crop else None,
        title=f"Person {each.identity}",
        colour=identity_colour(each.identity),
        lines=(
            (ago(each.last_us, now_us), f"last seen {clock(each.last_us, visitor.site.timezone)}"),
            (cameras, f"seen by {', '.join(each.cameras)}"),
            (f"{span(each.dwell_us)} in view", f"{sightings}, together {span(each.dwell_us)} long"),
        ),
    )
