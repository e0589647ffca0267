"""The queue of links that may be wrong: one at a time, decided by a key."""

from __future__ import annotations

from typing import Final

import streamlit as st

from reid_pipeline.dashboard.navigation import page_link
from reid_pipeline.dashboard.picture_strip import labelled
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import wrong_in
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.errors import InputError
from reid_pipeline.storage.records import EventType
from reid_pipeline.storage.review import Review, UncertainLink

_AT_ONCE: Final = 20
_LOOKS: Final = 4  # at parts of the log, before somebody is asked whether to go on
_BEFORE, _UNDO, _SHOWN = "people_before", "people_undo", "people_shown"
_REASON: Final = "seen in the review queue"


def show_queue(visitor: Visitor) -> None:
    """The queue."""
    links, further = _find(visitor)
    if not links:
        _show_end(further)
        return
    link = _same_as_before(links)
    more = f"{len(links)}{'+' if further is not None else ''}"
    st.caption(
        f"{more} to review",
        help="Links with a probability between 0.5 and 0.98 that still hold and that nobody has decided about, the "
        "newest first. A plus: there are more further back.",
    )
    _show_link(visitor, link)


def _find(visitor: Visitor) -> tuple[tuple[UncertainLink, ...], int | None]:
    review = Review(visitor.site.database, visitor.access)
    before = st.session_state.get(_BEFORE)
    for _ in range(_LOOKS):
        page = review.uncertain(_AT_ONCE, before)
        if page.links or page.further is None:
            return page.links, page.further
        before = page.further
    return (), before


def _same_as_before(links: tuple[UncertainLink, ...]) -> UncertainLink:
    """The link that was shown: newer ones may have come since, and an answer is about what somebody saw."""
    shown = next((each for each in links if each.log_id == st.session_state.get(_SHOWN)), links[0])
    st.session_state[_SHOWN] = shown.log_id
    return shown


def _show_end(further: int | None) -> None:
    if further is not None:
        st.info("Nothing uncertain among the newest decisions.")
        if st.button("Look further back", key="people_look_back"):
            st.session_state[_BEFORE] = further
            st.rerun()
    elif st.session_state.get(_BEFORE) is None:
        st.info("No link needs a look: those that the program is unsure of appear here as a run makes them.")
    else:
        st.info("That was the last one.")
    if st.session_state.get(_BEFORE) is not None and st.button("Begin with the newest again", key="people_newest"):
        st.session_state[_BEFORE] = None
        st.rerun()


def _show_link(visitor: Visitor, link: UncertainLink) -> None:
    what = "sighting" if link.type is EventType.ASSIGN else "people"
    st.subheader(
        f"Is this Person {link.identity}?",
        help=f"Probability {link.probability:.2f} that this {what} was linked rightly, as calibrated on this site.",
    )
    st.write(f"The program says so; {wrong_in(link.probability)}.")
    _show_answers(visitor, link)
    left, right = st.columns(2, gap="large", border=True)
    with left:
        st.caption("This sighting" if len(link.leaving) == 1 else f"These {len(link.leaving)} sightings")
        st.html(labelled(visitor, link.one, 220))
    with right:
        st.caption(f"Person {link.identity} otherwise")
        st.html(labelled(visitor, link.other, 220))


def _show_answers(visitor: Visitor, link: UncertainLink) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        same = st.button("Same person", shortcut="s", type="primary", key=f"people_same_{link.log_id}")
        different = st.button("Different people", shortcut="d", key=f"people_different_{link.log_id}")
        skip = f"people_skip_{link.log_id}"
        if st.button("Not sure", shortcut="n", key=skip, help="Leaves it as it is, and shows the next one."):
            st.session_state[_BEFORE] = link.log_id
            st.rerun()
        _show_undo(visitor)
        journeys = page_link("journeys")
        if journeys is not None:
            st.page_link(journeys, label="Whole journey", query_params={"id": str(link.identity)})
    reason = st.text_input(
        "Reason", key="people_reason", placeholder=_REASON, help="Why, for the log. Left empty: " + _REASON + "."
    )
    if same or different:
        _decide(visitor, link, reason or _REASON, same=same)


def _decide(visitor: Visitor, link: UncertainLink, reason: str, *, same: bool) -> None:
    try:
        corrections = Corrections(visitor.site.database, visitor.access, reason)
        if same:
            shown = [(each.camera, each.number) for each in (*link.one, *link.other)]
            done = corrections.confirm(link.identity, shown)
        else:
            done = corrections.split(link.identity, link.leaving)
    except InputError as error:  # somebody else was faster, or they may not
        st.error(str(error))
        return
    st.session_state[_UNDO] = done.identity, link.log_id + 1
    st.toast(f"Confirmed: Person {done.other}." if same else f"Split: they are Person {done.identity} now.")
    st.rerun()


def _show_undo(visitor: Visitor) -> None:
    last = st.session_state.get(_UNDO)
    pressed = st.button(
        "Take back", shortcut="u", disabled=last is None, key="people_undo_last", help="Your last answer here."
    )
    if pressed and last is not None:
        st.session_state[_UNDO] = None
        try:
            Corrections(visitor.site.database, visitor.access, _REASON).undo(last[0])
        except InputError as error:
            st.error(str(error))
            return
        st.session_state[_BEFORE], st.session_state[_SHOWN] = last[1], None
        st.rerun()
