"""Alerts of watch lists, and who is watched for: proposed by one person for a case, approved by another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.components import component
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import ago, clock, plain, span, wrong_in
from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.watch_alerts import AlertFilter, AlertRecord, WatchAlerts
from reid_pipeline.storage.watch_lists import LONGEST_US, Proposal, WatchLists, WatchRecord, WatchState

_RENEW_S: Final = 3.0
_DAY_US: Final = 86_400_000_000
_RATES: Final = {"1 in 10": 0.1, "1 in 50": 0.02, "1 in 200": 0.005}


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("Alerts")
    allowed = ALLOWED[visitor.access.role]
    alerts, watched = st.tabs(["Alerts", "Watched for"])
    with alerts:
        if Permission.ACKNOWLEDGE in allowed:
            _show_alerts(visitor)
        else:
            st.caption("Alerts go to operators and investigators.")
    with watched:
        if Permission.WATCH in allowed or Permission.APPROVE in allowed:
            _show_watched(visitor)
        else:
            st.caption("Investigators propose whom to watch for, and a privacy officer or an admin approves it.")


@st.fragment(run_every=_RENEW_S)
def _show_alerts(visitor: Visitor) -> None:
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="center")
    only_open = left.toggle("Only those that nobody has acknowledged", value=True, key="alerts_open")
    sound = middle.toggle("Sound", key="alerts_sound", help="Two short notes with each new alert.")
    found = WatchAlerts(visitor.site.database, visitor.access).read(AlertFilter(unacknowledged=only_open))
    newest = max((each.id for each in found), default=0)
    with right:
        component("chime", "<span></span>")(key="alerts_chime", data={"newest": newest, "on": sound})
    if not found:
        st.info("No alert. They come when somebody is seen who is watched for: see the other tab.")
        return
    pictures = Overview(visitor.site.database, visitor.access).pictures([each.tracklet for each in found])
    for each in found:
        _show_alert(visitor, each, pictures.get(each.tracklet))


def _show_alert(visitor: Visitor, each: AlertRecord, path: str | None) -> None:
    with st.container(border=True, key=f"alerts_{each.id}"):
        picture, words, action = st.columns([1, 6, 2], vertical_alignment="center")
        if path is not None:
            picture.html(f'<img src="{visitor.crop_address(path)}" alt="" style="height:96px;border-radius:4px">')
        who = "nobody yet" if each.identity is None else f"person {each.identity}"
        words.markdown(f"**{plain(each.label) or f'Entry {each.entry}'}** · case {each.case}")
        words.caption(
            f"{each.tracklet[0]}, {clock(each.time_us, visitor.site.timezone)} "
            f"({ago(each.time_us, time.time_ns() // 1000)}) · {who} · {wrong_in(each.probability)}",
            help=f"Probability {each.probability:.3f} that it is who is watched for.",
        )
        if each.acknowledged is not None:
            action.caption(f"acknowledged by {plain(each.acknowledged[1])}")
        elif action.button("Acknowledge", key=f"alerts_ack_{each.id}", width="stretch"):
            _do(lambda: WatchAlerts(visitor.site.database, visitor.access).acknowledge([each.id]))


def _show_watched(visitor: Visitor) -> None:
    lists = WatchLists(visitor.site.database, visitor.access)
    if Permission.WATCH in ALLOWED[visitor.access.role]:
        _propose(visitor, lists)
    entries = lists.read()
    if not entries:
        st.info("Nobody is watched for.")
    for each in sorted(
        entries, key=lambda entry: (entry.state not in (WatchState.PENDING, WatchState.ACTIVE), -entry.id)
    ):
        _show_entry(visitor, lists, each)


def _show_entry(visitor: Visitor, lists: WatchLists, each: WatchRecord) -> None:
    with st.container(border=True, key=f"alerts_entry_{each.id}"):
        words, action = st.columns([6, 2], vertical_alignment="center")
        who = f"person {each.identity}" if each.identity is not None else "somebody, by pictures"
        words.markdown(f"**{plain(each.label) or who}** · {each.state} · case {each.case}")
        left_us = each.expires_us - time.time_ns() // 1000
        until = f"for {span(left_us // 60_000_000 * 60_000_000)} more" if left_us > 0 else "over"
        words.caption(
            f"{who} · {plain(each.reason)} · proposed by {plain(each.added[1])} · {until} · "
            f"up to 1 alert in {round(1 / each.rate)} may be wrong"
        )
        allowed = ALLOWED[visitor.access.role]
        own = each.added[1] == visitor.access.name
        if each.state is WatchState.PENDING and Permission.APPROVE in allowed:
            help_text = "Somebody else than who proposed it has to agree." if own else None
            if action.button("Approve", key=f"alerts_approve_{each.id}", disabled=own, help=help_text, width="stretch"):
                _do(lambda: lists.approve(each.id))
        if each.state in (WatchState.PENDING, WatchState.ACTIVE) and action.button(
            "End", key=f"alerts_end_{each.id}", width="stretch"
        ):
            _do(lambda: lists.end(each.id))


def _propose(visitor: Visitor, lists: WatchLists) -> None:
    cases = [each for each in Cases(visitor.site.database, visitor.access).read() if each.closed_us is None]
    with st.expander("Watch for somebody"):
        if not cases:
            st.info("Open a case first, on the page Privacy or with `reid-pipeline case open`.")
            return
        with st.form("alerts_propose", border=False):
            case = st.selectbox("Case", cases, format_func=lambda each: f"{each.id} · {each.title}")
            identity = st.number_input("Person", min_value=1, step=1, help="The number on the page People.")
            label = st.text_input("What those are told who get the alerts")
            reason = st.text_input("Reason")
            days = st.slider("Days", 1, LONGEST_US // _DAY_US, 7, help="It ends by itself after that.")
            rate = st.segmented_control(
                "How many alerts may be wrong", list(_RATES), default="1 in 50", help="Fewer wrong ones, more missed."
            )
            sent = st.form_submit_button("Propose", type="primary")
        if sent:
            expires_us = time.time_ns() // 1000 + days * _DAY_US
            wanted = Proposal(case.id, reason, expires_us, _RATES[rate or "1 in 50"], label, int(identity))
            _do(lambda: lists.propose(wanted))


def _do(change: Callable[[], object]) -> None:
    """Makes a change and shows the page anew, or says why not."""
    try:
        change()
    except StorageError as error:
        st.error(str(error))
        return
    st.rerun()
