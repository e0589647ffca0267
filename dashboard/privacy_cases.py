"""Cases on the page Privacy: inquiries, and what they hold beyond the retention time."""

from __future__ import annotations

from typing import Final

import streamlit as st

from reid_pipeline.dashboard.answers import one_line, tell
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.time_inputs import span_inputs
from reid_pipeline.dashboard.words import clock, plain
from reid_pipeline.storage.cases import CaseRecord, Cases, Hold

_CLOSED_SHOWN: Final = 50


def show_cases(visitor: Visitor) -> None:
    """The open cases, with what they hold; a new one; the closed ones."""
    cases = Cases(visitor.site.database, visitor.access)
    found = cases.read()
    with st.expander("Open a case", icon=":material/add:", expanded=not found):
        _open_case(cases)
    opened = [each for each in reversed(found) if each.closed_us is None]
    if not opened:
        st.info("No case is open. A case holds people, or what a camera saw, for as long as it is open.")
    for each in opened:
        _show_case(visitor, each)
    closed = [each for each in reversed(found) if each.closed_us is not None]
    if closed:
        with st.expander(f"Closed cases: {len(closed)}"):
            _show_closed(visitor, closed[:_CLOSED_SHOWN])


def _open_case(cases: Cases) -> None:
    with st.form("privacy_open", border=False, clear_on_submit=True, width=520):
        title = st.text_input("What it is about")
        reason = st.text_input("Why it is opened", help="For the audit log.")
        sent = st.form_submit_button("Open case", type="primary")
    if sent:
        with one_line():
            tell(f"Case {cases.open(title, reason)} is open.")


def _show_case(visitor: Visitor, case: CaseRecord) -> None:
    with st.container(border=True, key=f"privacy_case_{case.id}"):
        words, actions = st.columns([6, 2], vertical_alignment="center")
        opened = clock(case.opened_us, visitor.site.timezone)
        held = ", ".join(plain(hold_words(visitor, each)) for each in case.holds)
        words.markdown(
            f"**Case {case.id}** · {plain(case.title)}  \n"
            f":small[{plain(case.reason)} · opened by {plain(case.opened_by)}, {opened}]  \n"
            f"{f'Holds {held}.' if held else 'Holds nothing yet.'}"
        )
        with actions.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Hold", key=f"privacy_hold_{case.id}", help="Keep something for this case."):
                ask_hold(visitor, case.id)
            if st.button("Close", key=f"privacy_close_{case.id}"):
                ask_close(visitor, case.id)


@st.dialog("Hold for a case")
def ask_hold(visitor: Visitor, case: int) -> None:
    """Asks what a case is to hold."""
    kind = st.segmented_control(
        "What", ["A person", "A camera"], default="A person", required=True, key="privacy_hold_kind"
    )
    with st.form("privacy_hold", border=False):
        identity = camera = None
        span: tuple[int | None, int | None] = (None, None)
        if kind == "A person":
            identity = st.number_input("Number of the person", min_value=1, step=1, value=None)
        else:
            camera = st.selectbox("Camera", visitor.site.repository.camera_names())
            span = span_inputs("privacy_hold", visitor.site.timezone)
        reason = st.text_input("Why", help="For the audit log.")
        sent = st.form_submit_button("Hold", type="primary")
    if sent and identity is None and camera is None:
        st.error("Say who, or which camera.")
    elif sent:
        with one_line():
            held = Hold(None if identity is None else int(identity), camera, *span)
            Cases(visitor.site.database, visitor.access).hold(case, held, reason)
            tell(f"Case {case} holds it.")


@st.dialog("Close a case")
def ask_close(visitor: Visitor, case: int) -> None:
    """Closes a case, once that is confirmed."""
    st.write(f"What only case {case} holds goes with the next retention.")
    with st.form("privacy_close", border=False):
        reason = st.text_input("Why", help="For the audit log.")
        sent = st.form_submit_button(f"Close case {case}", type="primary")
    if sent:
        with one_line():
            Cases(visitor.site.database, visitor.access).close(case, reason)
            tell(f"Case {case} is closed.")


def _show_closed(visitor: Visitor, closed: list[CaseRecord]) -> None:
    timezone = visitor.site.timezone
    st.dataframe(
        {
            "Case": [each.id for each in closed],
            "Title": [each.title for each in closed],
            "Reason": [each.reason for each in closed],
            "Opened": [f"{clock(each.opened_us, timezone)} by {each.opened_by}" for each in closed],
            "Closed": [clock(each.closed_us or 0, timezone) for each in closed],
            "Held": [", ".join(hold_words(visitor, hold) for hold in each.holds) for each in closed],
        },
        hide_index=True,
        width="stretch",
    )


def hold_words(visitor: Visitor, hold: Hold) -> str:
    """What is held, in words."""
    if hold.identity is not None:
        return f"person {hold.identity}"
    since, until = (
        None if each is None else clock(each, visitor.site.timezone) for each in (hold.since_us, hold.until_us)
    )
    span = f"{f' from {since}' if since else ''}{f' until {until}' if until else ''}"
    return f"what {hold.camera} saw{span or ' at any time'}"
