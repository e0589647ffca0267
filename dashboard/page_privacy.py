"""Privacy: how long what is kept, cases, erasing people, what somebody may see of themselves, the audit log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.answers import one_line, show_told, tell
from reid_pipeline.dashboard.privacy_audit import show_audit
from reid_pipeline.dashboard.privacy_cases import show_cases
from reid_pipeline.dashboard.privacy_erase import show_access, show_erase
from reid_pipeline.dashboard.retention_table import show_retention
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.pipeline.upkeep import apply_retention
from reid_pipeline.storage.permissions import ALLOWED, Permission

_PARTS: Final[dict[str, Permission]] = {
    "Retention": Permission.SEE,
    "Cases": Permission.HOLD,
    "Erase": Permission.ERASE,
    "Access": Permission.EXPORT,
    "Audit log": Permission.AUDIT,
}


def show(visitor: Visitor) -> None:
    """The page."""
    show_told()
    st.title("Privacy")
    if visitor.scope is not None:
        st.info("This page is about the whole site, and so for those who see all of its cameras.")
        return
    shows: dict[str, Callable[[Visitor], None]] = {
        "Retention": _show_retention,
        "Cases": show_cases,
        "Erase": show_erase,
        "Access": show_access,
        "Audit log": show_audit,
    }
    names = [name for name, needs in _PARTS.items() if needs in ALLOWED[visitor.access.role]]
    for name, tab in zip(
        names, st.tabs(names, key="privacy_part", on_change="rerun", bind="query-params"), strict=True
    ):
        if tab.open:
            with tab, one_line():
                shows[name](visitor)


def _show_retention(visitor: Visitor) -> None:
    st.caption(
        "A live run removes what is due by itself. What recordings gave stays until somebody removes it here, or with "
        "`reid-pipeline retention`. The times are set in cameras.yaml."
    )
    show_retention(visitor)
    if Permission.KEEP in ALLOWED[visitor.access.role] and st.button(
        "Remove what is due", key="privacy_remove", help="For good. What open cases hold stays."
    ):
        confirm_removal(visitor)


@st.dialog("Remove what is due")
def confirm_removal(visitor: Visitor) -> None:
    """Applies retention, once that is confirmed."""
    st.write("Everything that is past its time goes for good, but for what open cases hold.")
    if st.button("Remove for good", key="privacy_remove_now", type="primary"):
        with one_line():
            with st.spinner("Removing"):
                removed = apply_retention(visitor.site, time.time_ns() // 1000)
            count = sum(removed.values())
            tell(f"{count:,} pictures, vectors, tracklets and others were removed." if count else "Nothing was due.")
