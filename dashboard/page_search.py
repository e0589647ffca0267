"""Search: by pictures, or by somebody who was clicked; what is found is accepted or rejected, and the order follows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
import streamlit as st

from reid_pipeline.dashboard.components import as_address, pick_person, show_hits
from reid_pipeline.dashboard.navigation import page_link
from reid_pipeline.dashboard.search_state import SearchState, Span, read_state, tracklet_text
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import clock, wrong_in
from reid_pipeline.pipeline.errors import PipelineError
from reid_pipeline.pipeline.joining import join_sightings
from reid_pipeline.pipeline.search import Found, Hit
from reid_pipeline.pipeline.searcher import Examples, Wanted
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.tracklet_views import ViewFilter

_TOP: Final = 36
_THUMB: Final = "height:84px;border-radius:4px;margin-right:6px"


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("Search")
    state = read_state()
    asked, results = st.columns([1, 3], gap="medium")
    with asked:
        _ask_for_pictures(visitor, state)
        where = _ask_where(visitor)
        reason = st.text_input("Reason", key="search_reason", help="Goes into the audit log with every search.")
    with results:
        if state.is_empty:
            st.info("Drop a picture of a person on the left, or click somebody in Live, People or Journeys.")
            return
        _show_query(visitor, state)
        found = _find(visitor, state, where, reason)
        if found is not None:
            _show_found(visitor, state, found)


def _ask_for_pictures(visitor: Visitor, state: SearchState) -> None:
    files = st.file_uploader(
        "Pictures of one person",
        ["jpg", "jpeg", "png"],
        accept_multiple_files=True,
        key=f"search_files_{state.generation}",
        help="A crop, or a photo of which you choose the person. Several of one person find more than one does.",
    )
    for file in files:
        if file.file_id in state.persons:
            continue
        image = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            st.error(f"{file.name}: cannot be read as a picture: expected a JPEG or PNG.")
            continue
        _take_person(visitor, state, file.file_id, np.asarray(image, np.uint8))
    state.keep_pictures({file.file_id for file in files})


def _take_person(visitor: Visitor, state: SearchState, file_id: str, image: np.ndarray) -> None:
    """Takes the person of a picture, or asks which one where there are several."""
    person = visitor.searcher.person(image)
    if person.box is None or len(person.boxes) < 2:
        state.persons[file_id] = person
        return
    st.caption("Who of these?")
    chosen = pick_person(image, person.boxes, key=f"search_pick_{file_id}")
    if chosen is not None:
        state.persons[file_id] = visitor.searcher.person(image, person.boxes[chosen])
        st.rerun()


def _ask_where(visitor: Visitor) -> ViewFilter:
    cameras = st.multiselect(
        "Cameras", visitor.site.repository.camera_names(), key="search_cameras", placeholder="all", bind="query-params"
    )
    span = st.selectbox("When", list(Span), format_func=lambda each: each.value, key="search_span") or Span.EVER
    since_us = None if span.length_us is None else time.time_ns() // 1000 - span.length_us
    return ViewFilter(cameras=tuple(cameras), since_us=since_us)


def _show_query(visitor: Visitor, state: SearchState) -> None:
    """Who is searched for: the pictures, and what was accepted."""
    pictures = Overview(visitor.site.database, visitor.access).pictures([*state.sightings, *state.accepted])
    shown = [as_address(person.pixels) for person in state.persons.values()]
    shown += [visitor.crop_address(path) for path in pictures.values()]
    images = "".join(f'<img src="{address}" alt="" style="{_THUMB}">' for address in shown)
    names = [f"person {number}" for number in state.identities]
    names += [tracklet_text(key) for key in (*state.sightings, *state.accepted)]
    st.html(f'<div style="display:flex;align-items:center;flex-wrap:wrap">{images}</div>')
    left, right = st.columns([4, 1], vertical_alignment="center")
    counts = f"{len(state.accepted)} accepted, {len(state.rejected)} rejected"
    left.caption(
        f"Searching for {', '.join(names) or 'the person of your pictures'}. {counts}.",
        help="Accepted sightings join what is searched for; rejected ones are not shown again.",
    )
    if right.button("Start anew", key="search_clear", width="stretch"):
        state.clear()
        st.rerun()
    if len(state.accepted) + len(state.sightings) >= 2 and Permission.CORRECT in ALLOWED[visitor.access.role]:
        _offer_to_join(visitor, state)


def _offer_to_join(visitor: Visitor, state: SearchState) -> None:
    keys = [*state.sightings, *state.accepted]
    label = f"Make one person of these {len(keys)} sightings"
    if not st.button(label, key="search_join", type="primary", help="Can be undone on the journey's page."):
        return
    try:
        corrections = Corrections(visitor.site.database, visitor.access, st.session_state.get("search_reason", ""))
        identity = join_sightings(corrections, Overview(visitor.site.database, visitor.access), keys)
    except StorageError as error:
        st.error(str(error))
        return
    _open_journey(identity)


def _find(visitor: Visitor, state: SearchState, where: ViewFilter, reason: str) -> Found | None:
    """Searches, unless that was done already; each search is noted."""
    # Of a span that ends now the beginning moves: what was found a minute ago still counts.
    key = (state.key, where.cameras, None if where.since_us is None else where.since_us // 60_000_000)
    if state.found is not None and state.found[0] == key:
        return state.found[1]
    try:
        searcher = visitor.searcher
        with st.spinner("Searching", show_time=True):
            examples = Examples(list(state.persons.values()), state.sightings, state.identities)
            query = searcher.refine(searcher.query(examples), state.accepted, state.rejected)
            found = searcher.search(query, Wanted(where, _TOP))
    except (PipelineError, StorageError) as error:
        st.error(str(error))
        return None
    AuditLog(visitor.site.database).note(visitor.access.name, Action.SEARCH, reason, state.noted())
    state.found = (key, found)
    return found


def _show_found(visitor: Visitor, state: SearchState, found: Found) -> None:
    if not found.hits:
        st.info("Nobody else was seen. Choose more cameras or a longer time.")
        return
    pictures = Overview(visitor.site.database, visitor.access).pictures(
        [(hit.tracklet.camera, hit.tracklet.number) for hit in found.hits]
    )
    strong = [hit for hit in found.hits if hit.enough_evidence]
    weak = [hit for hit in found.hits if not hit.enough_evidence]
    sections: list[Mapping[str, object]] = [
        {"title": "", "weak": False, "hits": [_card(visitor, hit, pictures) for hit in strong]},
        {"title": "Not enough evidence", "weak": True, "hits": [_card(visitor, hit, pictures) for hit in weak]},
    ]
    compared = max(found.compared.values(), default=0)
    st.caption(
        f"{len(strong)} likely of {compared} sightings compared.",
        help="The probability comes from what similarities have meant on this site. Below one half it is rather "
        "somebody else. Keys: arrows move, A accepts, R rejects, Enter opens the journey.",
    )
    said = show_hits([each for each in sections if each["hits"]], judge=True)
    if said is not None:
        _heed(state, found.hits, *said)


def _card(visitor: Visitor, hit: Hit, pictures: Mapping[tuple[str, int], str]) -> dict[str, object]:
    seen = hit.tracklet
    path = pictures.get((seen.camera, seen.number))
    return {
        "key": tracklet_text((seen.camera, seen.number)),
        "who": "nobody yet" if seen.identity is None else f"Person {seen.identity}",
        "camera": seen.camera,
        "when": clock(seen.first_us, visitor.site.timezone),
        "percent": round(100 * hit.probability),
        "chance": f"{100 * hit.probability:.0f} %" if hit.probability < 0.995 else "over 99 %",
        "words": wrong_in(hit.probability),
        "picture": None if path is None else visitor.crop_address(path),
    }


def _heed(state: SearchState, hits: Sequence[Hit], key: str, verdict: str) -> None:
    if verdict == "open":
        _open_journey(next((hit.tracklet.identity for hit in hits if _text(hit) == key), None))
        return
    state.judge(key, accept=verdict == "accept")
    st.rerun()


def _text(hit: Hit) -> str:
    return tracklet_text((hit.tracklet.camera, hit.tracklet.number))


def _open_journey(identity: int | None) -> None:
    journeys = page_link("journeys")
    if identity is not None and journeys is not None:
        st.switch_page(journeys, query_params={"id": str(identity)})
