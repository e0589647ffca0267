"""Correcting who somebody is: merging, splitting sightings off, taking decisions back; and all decisions about them."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.picture_strip import strip
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import clock, span
from reid_pipeline.pipeline.errors import InputError as PipelineInputError
from reid_pipeline.pipeline.journey import find_journey
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.corrections import Correction, Corrections
from reid_pipeline.storage.errors import InputError
from reid_pipeline.storage.journeys import JourneyRecord, JourneyTracklet
from reid_pipeline.storage.records import MACHINE, EventType, IdentityLogRecord

_SHOWN: Final = 8
_ON_A_PAGE: Final = 24
_UNDOABLE: Final = (EventType.MERGE, EventType.SPLIT, EventType.CONFIRM)
_NEWEST: Final = 500  # decisions in the list
_COMPARED: Final = "journeys_compared"


def show_corrections(visitor: Visitor, journey: JourneyRecord) -> None:
    """The view."""
    reason = st.text_input(
        "Reason", key="journeys_reason", help="Why, for the log of decisions and the audit log. It may be left empty."
    )
    merging, splitting, undoing = st.tabs(["Merge", "Split", "Decisions"])
    with merging:
        _show_merge(visitor, journey, reason)
    with splitting:
        _show_split(visitor, journey, reason)
    with undoing:
        _show_decisions(visitor, journey, reason)


def _correct(visitor: Visitor, reason: str, decide: Callable[[Corrections], Correction], done: str) -> None:
    """Makes one decision and shows the page anew; where it is refused, one line says why."""
    try:
        correction = decide(Corrections(visitor.site.database, visitor.access, reason))
    except InputError as error:
        st.error(str(error))
        return
    st.toast(done.format(correction))
    st.rerun()


def _show_merge(visitor: Visitor, journey: JourneyRecord, reason: str) -> None:
    number = st.number_input(
        "Is the same person as",
        min_value=1,
        max_value=10**15,
        value=None,
        placeholder="number of a person",
        key=f"journeys_merge_{journey.identity}",
        width=260,
        help="Compare the pictures first. The older of both numbers stays; the other leads to it.",
    )
    if number is None:
        return
    try:
        other = find_journey(visitor.site.repository, number)
    except PipelineInputError:
        st.warning(f"There is no Person {number} that you may see.")
        return
    if other.identity == journey.identity:
        st.info(f"Person {number} is Person {journey.identity} already.")
        return
    _note_compared(visitor, other.identity)
    for column, each in zip(st.columns(2, gap="large", border=True), (journey, other), strict=True):
        with column:
            _show_person(visitor, each)
    together = _together(journey, other)
    if together:
        st.warning(f"Both were in {together} at the same time.")
    if st.button("They are one person", type="primary", key="journeys_do_merge"):
        _correct(
            visitor,
            reason,
            lambda corrections: corrections.merge(journey.identity, other.identity),
            "Merged: Person {0.identity} is Person {0.other} now.",
        )


def _note_compared(visitor: Visitor, identity: int) -> None:
    """Whose pictures are looked at is accounted for."""
    if st.session_state.get(_COMPARED) != identity:
        st.session_state[_COMPARED] = identity
        AuditLog(visitor.site.database).note(visitor.access.name, Action.JOURNEY, "", {"identity": identity})


def _show_person(visitor: Visitor, journey: JourneyRecord) -> None:
    st.markdown(f"**Person {journey.identity}**")
    crops = [crop for each in journey.tracklets for crop in each.crops]
    best = sorted(crops, key=lambda crop: -crop.quality)[:_SHOWN]
    st.html(strip(visitor, [crop.path for crop in best], 150))
    cameras = ", ".join(dict.fromkeys(each.camera for each in journey.tracklets))
    st.caption(f"{len(journey.tracklets):,} sightings in {cameras}")
    if journey.tracklets:
        first, last = journey.tracklets[0].first_us, max(each.last_us for each in journey.tracklets)
        st.caption(f"{clock(first, visitor.site.timezone)} to {clock(last, visitor.site.timezone)}")


def _together(one: JourneyRecord, other: JourneyRecord) -> str | None:
    """A camera that saw both at once, which one person cannot be."""
    stays = sorted(
        (each.camera, each.first_us, each.last_us, is_one)
        for is_one, journey in ((True, one), (False, other))
        for each in journey.tracklets
    )
    latest: dict[bool, int] = {}
    camera = None
    for name, first_us, last_us, is_one in stays:
        latest = latest if name == camera else {}
        camera = name
        if latest.get(not is_one, -1) > first_us:
            return name
        latest[is_one] = max(latest.get(is_one, -1), last_us)
    return None


def _show_split(visitor: Visitor, journey: JourneyRecord, reason: str) -> None:
    if len(journey.tracklets) < 2:
        st.info("There is only one sighting: nothing can be split off.")
        return
    st.caption("Tick the sightings that are somebody else. Together they become a new person.")
    shown = _page_of(journey)
    leaving = [each for each in shown if _show_tick(visitor, each)]
    label = f"Split off {len(leaving)}" if leaving else "Split off"
    if st.button(label, type="primary", disabled=not leaving, key="journeys_do_split"):
        keys = [(each.camera, each.number) for each in leaving]
        _correct(
            visitor,
            reason,
            lambda corrections: corrections.split(journey.identity, keys),
            "Split: they are Person {0.identity} now.",
        )


def _page_of(journey: JourneyRecord) -> Sequence[JourneyTracklet]:
    pages = -(-len(journey.tracklets) // _ON_A_PAGE)
    if pages == 1:
        return journey.tracklets
    key = f"journeys_split_page_{journey.identity}"
    page = st.number_input(f"Page of {pages}", 1, pages, pages, key=key, width=160, help="Last is newest.")
    return journey.tracklets[(page - 1) * _ON_A_PAGE : page * _ON_A_PAGE]


def _show_tick(visitor: Visitor, each: JourneyTracklet) -> bool:
    tick, pictures = st.columns([1, 3], gap="small", vertical_alignment="center")
    with tick:
        ticked = st.checkbox(f"{each.camera}:{each.number}", key=f"journeys_leaves_{each.camera}_{each.number}")
        st.caption(f"{clock(each.first_us, visitor.site.timezone)}, {span(each.last_us - each.first_us)}")
    best = sorted(each.crops, key=lambda crop: -crop.quality)[:_SHOWN]
    pictures.html(strip(visitor, [crop.path for crop in best], 96))
    return ticked


def _show_decisions(visitor: Visitor, journey: JourneyRecord, reason: str) -> None:
    history = visitor.site.repository.identity_history(journey.identity)
    for machine, whose in ((False, "an operator"), (True, "the program")):
        last = _last_undoable(history, machine=machine)
        if last is None:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Take back", key=f"journeys_undo_{machine}", help="As if it had never been decided."):
                _undo(visitor, journey.identity, reason, machine=machine)
            st.html(f"<span>The last correction by {whose}: {html.escape(_sentence(last))}</span>", width="content")
    rows = [_row(visitor, each) for each in history[-_NEWEST:][::-1]]
    st.dataframe(rows, hide_index=True, width="stretch", key="journeys_history")


def _undo(visitor: Visitor, identity: int, reason: str, *, machine: bool) -> None:
    _correct(
        visitor, reason, lambda corrections: corrections.undo(identity, machine=machine), "Taken back: {0.undone}."
    )


def _last_undoable(history: Sequence[IdentityLogRecord], *, machine: bool) -> IdentityLogRecord | None:
    found = (
        each
        for each in reversed(history)
        if each.type in _UNDOABLE and each.undone_by is None and (each.actor == MACHINE) == machine
    )
    return next(found, None)


def _sentence(each: IdentityLogRecord) -> str:
    tracklet = "a sighting that was removed" if each.camera is None else f"{each.camera}:{each.number}"
    match each.type:
        case EventType.OPEN:
            return f"Person {each.identity} is new"
        case EventType.ASSIGN:
            return f"{tracklet} is Person {each.identity}"
        case EventType.MERGE:
            return f"Person {each.identity} is Person {each.other}"
        case EventType.SPLIT:
            return f"{tracklet} is not Person {each.other}, but Person {each.identity}"
        case EventType.CONFIRM:
            return f"{tracklet} is rightly Person {each.identity}"
    return f"taken back, about Person {each.identity} and Person {each.other}"


def _row(visitor: Visitor, each: IdentityLogRecord) -> dict[str, str]:
    evidence = {key: value for key, value in each.evidence.items() if key != "reason"}
    return {
        "Decided": clock(each.at_us, visitor.site.timezone),
        "What": _sentence(each) + (" (taken back)" if each.undone_by is not None else ""),
        "By": "program" if each.actor == MACHINE else each.actor,
        "Probability": "" if each.probability is None else f"{each.probability:.3f}",
        "Reason": str(each.evidence.get("reason", "")),
        "Evidence": ", ".join(f"{key} {value}" for key, value in evidence.items()),
    }
