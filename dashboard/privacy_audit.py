"""The audit log on the page Privacy: newest first, some at a time, checked and taken along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.audit_csv import audit_csv
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.time_inputs import span_inputs
from reid_pipeline.dashboard.words import clock
from reid_pipeline.storage.audit_log import Action, AuditRecord
from reid_pipeline.storage.audit_reading import AuditFilter, AuditReader, Place

_SHOWN: Final = 50
_EXPORTED: Final = 100_000
_PLACES: Final = "privacy_audit_places"


def show_audit(visitor: Visitor) -> None:
    """The filter, the entries, and what can be done with all of them."""
    reader = AuditReader(visitor.site.database, visitor.access)
    wanted = _ask_filter(visitor)
    places = _places(wanted)
    page = reader.newest(_SHOWN, wanted, places[-1])
    _show_entries(visitor, page.entries)
    if not page.entries:
        far = "so far back: look further" if page.older is not None else "here"
        st.caption(f"There is no such entry {far}.")
    _show_paging(places, page.older)
    _show_whole(reader, wanted)


def _ask_filter(visitor: Visitor) -> AuditFilter:
    who, what, when = st.columns([1, 1, 2])
    actor = who.text_input(
        "Who", key="privacy_audit_who", bind="query-params", help="Their name, as it is written in the log."
    )
    action = what.selectbox(
        "What", list(Action), index=None, key="privacy_audit_what", bind="query-params", placeholder="Everything"
    )
    with when:
        since_us, until_us = span_inputs("privacy_audit", visitor.site.timezone)
    return AuditFilter(actor.strip() or None, action, since_us, until_us)


def _places(wanted: AuditFilter) -> list[Place | None]:
    """Where the pages begin that were looked at so far, the present one last; another filter begins anew."""
    known, places = st.session_state.get(_PLACES, (None, [None]))
    if known != wanted:
        places = [None]
    st.session_state[_PLACES] = (wanted, places)
    found: list[Place | None] = places
    return found


def _show_entries(visitor: Visitor, entries: Sequence[AuditRecord]) -> None:
    if not entries:
        return
    st.dataframe(
        {
            "Entry": [each.id for each in entries],
            "Time": [clock(each.at_us, visitor.site.timezone) for each in entries],
            "Who": [each.actor for each in entries],
            "What": [each.action for each in entries],
            "Why": [each.reason if each.erasure is None else f"taken by erasure {each.erasure}" for each in entries],
            "About": [subject_words(each) for each in entries],
        },
        column_config={
            "Entry": st.column_config.NumberColumn(width="small", help="Numbers have no gaps."),
            "Why": st.column_config.Column(width="medium", help="In their own words."),
            "About": st.column_config.Column(width="large", help="Numbers and names of cameras; never pictures."),
        },
        hide_index=True,
        width="stretch",
        height="content",
    )


def subject_words(entry: AuditRecord) -> str:
    """What an entry is about, such as ``hold, case 1, identity 3``."""
    what = {key: "" if key == "what" else f"{key} " for key in entry.subject}
    return ", ".join(f"{what[key]}{_words(value)}" for key, value in entry.subject.items())


def _words(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return " and ".join(map(str, value))
    return str(value) if isinstance(value, str | int) else json.dumps(value)


def _show_paging(places: list[Place | None], older: Place | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Newer", key="privacy_audit_newer", icon=":material/chevron_left:", disabled=len(places) == 1):
            places.pop()
            st.rerun()
        if st.button("Older", key="privacy_audit_older", icon=":material/chevron_right:", disabled=older is None):
            places.append(older)
            st.rerun()
        st.caption(f"Page {len(places)}")


def _show_whole(reader: AuditReader, wanted: AuditFilter) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Download all as CSV",
            partial(_csv, reader, wanted),
            "audit.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help=f"Those that the fields above choose, up to the newest {_EXPORTED:,}. It is accounted for.",
        )
        checks = st.button(
            "Check the log",
            key="privacy_audit_verify",
            icon=":material/verified_user:",
            help="Whether it is as it was written: nothing changed, nothing missing.",
        )
    if checks:
        with st.spinner("Checking"):
            _show_check(reader)


def _csv(reader: AuditReader, wanted: AuditFilter) -> bytes:
    return audit_csv(reader.export(_EXPORTED, wanted))


def _show_check(reader: AuditReader) -> None:
    check = reader.verify()
    if check.faults:
        st.error("The log is not as it was written:\n\n" + "\n".join(f"- {fault}" for fault in check.faults[:20]))
        return
    taken = f", {check.erased:,} of them emptied by erasures" if check.erased else ""
    st.success(f"{check.entries:,} entries{taken}: whole.")
    st.caption("Note the digest of its end elsewhere; a later check can be held against it.")
    st.code(f"{check.digest}\npublic key {reader.public_key}", None)
