"""Erasing people, and giving them what there is of them, on the page Privacy."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.answers import one_line
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.time_inputs import span_inputs
from reid_pipeline.dashboard.words import clock
from reid_pipeline.pipeline.access import access_archive
from reid_pipeline.pipeline.erasure_words import BESIDE, parts, whose
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.journey import find_journey
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.erasure import ErasureReport, Erasures
from reid_pipeline.storage.erasure_plan import ErasurePreview, Target, TrackletKey
from reid_pipeline.storage.journeys import JourneyRecord

_TARGET: Final = "privacy_target"
_DONE: Final = "privacy_erased"
_KINDS: Final = ("A person", "Sightings", "A camera")
_REPORTS_SHOWN: Final = 20
_FORM_WIDTH: Final = 520


def show_erase(visitor: Visitor) -> None:
    """Whom, what would go, the confirmation; and the reports of what went."""
    erasures = Erasures(visitor.site.database, visitor.access)
    done: int | None = st.session_state.pop(_DONE, None)
    if done is not None:
        st.success(f"Erasure {done} is done. Its signed report is below: keep it.")
    st.caption(
        "Erasing takes everything that is kept of somebody, now and for good: tracklets, pictures, vectors, crops to "
        "learn from, clips, logs. No run, learning or recording may go on meanwhile."
    )
    if Erasures.are_broken_off(visitor.site.database):
        _offer_end(visitor)
    target = _ask_target(visitor)
    if target is not None:
        st.session_state[_TARGET] = target
    if _TARGET in st.session_state:
        with one_line():
            _show_preview(visitor, erasures, st.session_state[_TARGET])
    _show_reports(visitor, erasures.read(), opened=done)


def _offer_end(visitor: Visitor) -> None:
    """What was begun has to be ended: part of it is gone, and part may still be there."""
    st.warning("An erasure was broken off. End it before anything else.")
    if st.button("End it", key="privacy_erase_end", type="primary"):
        with one_line(), st.spinner("Erasing"), visitor.site.database.lock_for_all():
            done = Erasures(visitor.site.database, visitor.access).recover()
            st.session_state[_DONE] = done[-1].id if done else None
            st.rerun()


def _ask_target(visitor: Visitor) -> Target | None:
    kind = st.segmented_control("Erase", _KINDS, default=_KINDS[0], required=True, key="privacy_erase_kind")
    with st.form("privacy_erase", border=False, width=_FORM_WIDTH):
        read = {_KINDS[0]: _ask_person, _KINDS[1]: _ask_sightings, _KINDS[2]: _ask_camera}[kind or _KINDS[0]]
        with one_line():
            target = read(visitor)
        sent = st.form_submit_button("Show what would go", type="primary")
    if sent and target is None:
        st.error("Say first what is to be erased.")
    return target if sent else None


def _ask_person(_: Visitor) -> Target | None:
    number = st.number_input("Number of the person", min_value=1, step=1, value=None, key="privacy_erase_person")
    return None if number is None else Target(identity=int(number))


def _ask_sightings(_: Visitor) -> Target | None:
    text = st.text_input("Sightings", placeholder="hall:12, door:3", help="Camera and number of each tracklet.")
    found = sighting_keys(text)
    return Target(tracklets=found) if found else None


def _ask_camera(visitor: Visitor) -> Target | None:
    camera = st.selectbox("Camera", visitor.site.repository.camera_names(), index=None, key="privacy_erase_camera")
    since_us, until_us = span_inputs("privacy_erase", visitor.site.timezone)
    return None if camera is None else Target(camera=camera, since_us=since_us, until_us=until_us)


def sighting_keys(text: str) -> tuple[TrackletKey, ...]:
    """Camera and number of each tracklet that somebody named.

    Raises:
        InputError: Something else is named.

    Example:
        >>> sighting_keys("hall:12, door:3")
        (('hall', 12), ('door', 3))
    """
    found = []
    for part in text.replace(",", " ").split():
        camera, _, number = part.rpartition(":")
        if not camera or not number.isdecimal():
            raise InputError(f"{part}: expected CAMERA:NUMBER, such as hall:12")
        found.append((camera, int(number)))
    return tuple(found)


def _show_preview(visitor: Visitor, erasures: Erasures, target: Target) -> None:
    found = erasures.preview(target)
    with st.container(border=True):
        st.subheader("What would go")
        with st.container(horizontal=True, gap="large"):
            for part in parts(found):
                st.metric(part.label, f"{part.count:,}", help=part.meaning, width="content")
        st.caption(whose(found))
        if found.refusal is not None:
            tell = st.warning if found.held or found.held_clips else st.info
            tell(found.refusal)
        else:
            _confirm(visitor, target, phrase(found))


def phrase(found: ErasurePreview) -> str:
    """What has to be typed before anything goes."""
    return f"erase {len(found.tracklets)}"


def _confirm(visitor: Visitor, target: Target, expected: str) -> None:
    st.write(BESIDE)
    with st.form("privacy_confirm", border=False, width=_FORM_WIDTH):
        reason = st.text_input("Why", help="For the signed report; without names of people.")
        typed = st.text_input(f"Type “{expected}” to confirm")
        sent = st.form_submit_button("Erase for good", type="primary")
    if sent and typed.strip() != expected:
        st.error(f"Type “{expected}” to confirm.")
    elif sent:
        _erase(visitor, target, reason)


def _erase(visitor: Visitor, target: Target, reason: str) -> None:
    with one_line(), st.spinner("Erasing"), visitor.site.database.lock_for_all():
        erasures = Erasures(visitor.site.database, visitor.access)
        erasures.recover()
        st.session_state[_DONE] = erasures.erase(target, reason).id
        st.session_state.pop(_TARGET, None)
        st.rerun()


def _show_reports(visitor: Visitor, reports: tuple[ErasureReport, ...], opened: int | None) -> None:
    if not reports:
        return
    st.subheader("Reports", help="Signed by the site; they say what went, not who it was.")
    for each in reversed(reports[-_REPORTS_SHOWN:]):
        title = f"Erasure {each.id} · {_moment(each)} · {each.report.get('tracklets')} tracklets"
        with st.expander(title, expanded=each.id == opened):
            content = json.dumps(each.fields, indent=2, ensure_ascii=False)
            st.download_button(
                "Download", content, f"erasure-{each.id}.json", "application/json", key=f"privacy_report_{each.id}"
            )
            st.code(content, "json", wrap_lines=True)


def _moment(report: ErasureReport) -> str:
    """When it ended, as its signed text says."""
    return f"{str(report.report.get('ended'))[:16].replace('T', ' ')} UTC"


# Access


def show_access(visitor: Visitor) -> None:
    """What there is of a person, for that person."""
    st.caption(
        "For somebody who asks what is kept of them: times, places and pictures, with everybody else who was detected "
        "blurred. Whoever was not detected is not: look through the pictures before you hand them over."
    )
    with st.form("privacy_access", border=False, width=_FORM_WIDTH):
        identity = st.number_input("Number of the person", min_value=1, step=1, value=None)
        reason = st.text_input("Why", help="For the audit log.")
        sent = st.form_submit_button("Look", type="primary")
    if identity is None:
        return
    with one_line():
        journey = find_journey(visitor.site.repository, int(identity))
        if sent:
            subject = {"identity": journey.identity}
            AuditLog(visitor.site.database).note(visitor.access.name, Action.JOURNEY, reason, subject)
        if journey.tracklets:
            _offer_archive(visitor, journey, reason)
        else:
            st.info(f"Nothing is left of person {journey.identity}.")


def _offer_archive(visitor: Visitor, journey: JourneyRecord, reason: str) -> None:
    first, last = journey.tracklets[0].first_us, max(each.last_us for each in journey.tracklets)
    pictures = sum(len(each.crops) for each in journey.tracklets)
    st.write(
        f"Person {journey.identity}: {len(journey.tracklets):,} tracklets, {pictures:,} pictures, from "
        f"{clock(first, visitor.site.timezone)} to {clock(last, visitor.site.timezone)}."
    )
    st.download_button(
        "Download all of it",
        partial(access_archive, visitor.site, journey.identity, reason),
        f"person-{journey.identity}.zip",
        "application/zip",
        icon=":material/download:",
        type="primary",
        help="A ZIP with a table, a page to read, the pictures, and the SHA-256 of each file. It is accounted for.",
    )
