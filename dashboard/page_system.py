"""System: what the run does now, the last runs, the room on the disk, the models, and what works on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import altair as alt
import streamlit as st

from reid_pipeline.dashboard.answers import one_line
from reid_pipeline.dashboard.look import PALETTE
from reid_pipeline.dashboard.retention_table import show_retention
from reid_pipeline.dashboard.run_rates import (
    StageRate,
    dropped,
    kept,
    seen_by,
    stage_rates,
    total_fps,
    worst_lag_ms,
)
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import ago, clock, plain, span
from reid_pipeline.pipeline.doctor import Finding, check_machine
from reid_pipeline.pipeline.live_socket import CameraState, LiveState, read_live_state
from reid_pipeline.storage.model_registry import Entry, ModelRegistry
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.records import RunStatus
from reid_pipeline.storage.site_check import SiteSizes
from reid_pipeline.storage.site_status import RunRecord, SiteStatus

_RENEW_S: Final = 2.0
_RUNS: Final = 20
_STATES: Final = "system_states"
_PARTS: Final = ("Runs", "Disk and retention", "Models", "Machine")
_GIGABYTE: Final = 1e9


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("System")
    _show_now(visitor)
    if visitor.scope is not None:
        st.caption("The figures of the whole site are for those who see all of its cameras.")
        return
    runs, disk, models, machine = st.tabs(_PARTS, key="system_part", on_change="rerun", bind="query-params")
    if runs.open:
        with runs:
            _show_runs(visitor)
    if disk.open:
        with disk:
            _show_disk(visitor)
    if models.open:
        with models:
            _show_models(visitor)
    if machine.open:
        with machine:
            _show_machine(visitor)


# Now


@st.fragment(run_every=_RENEW_S)
def _show_now(visitor: Visitor) -> None:
    state = read_live_state(visitor.site.database.data_dir)
    if state is None:
        st.session_state.pop(_STATES, None)
        st.info("No run is going on. Start `reid-pipeline run cameras.yaml`, and what it does appears here.")
        return
    states = kept(st.session_state.get(_STATES, []), state)
    st.session_state[_STATES] = states
    cameras = seen_by(state, visitor.site.repository.camera_names())
    _show_figures(state, cameras)
    table, stages = st.columns([3, 2], gap="medium")
    with table:
        _show_cameras(cameras)
    with stages:
        _show_stages(stage_rates(states))


def _show_figures(state: LiveState, cameras: Sequence[CameraState]) -> None:
    lag_ms = worst_lag_ms(cameras)
    figures = (
        ("Run", str(state.run_id), "Number of the run that goes on now."),
        ("Frames a second", f"{total_fps(cameras):.1f}", "Processed, of all cameras together, over the last seconds."),
        ("Lag", "-" if lag_ms is None else span(round(lag_ms * 1000)), "Age of the oldest of the newest decisions."),
        ("Dropped", f"{dropped(cameras):,}", "Frames left out since the run began, as it could not keep up."),
        ("Waiting", str(state.waiting), "Commits that wait for the disk."),
        ("Memory", f"{state.rss_mb:,.0f} MB", "Of the run's process."),
    )
    with st.container(horizontal=True, gap="large"):
        for label, value, meaning in figures:
            st.metric(label, value, help=meaning, width="content")


def _show_cameras(cameras: Sequence[CameraState]) -> None:
    st.dataframe(
        {
            "Camera": [each.camera for each in cameras],
            "State": [each.state for each in cameras],
            "Frames/s": [each.fps for each in cameras],
            "Lag": ["" if each.lag_ms is None else span(round(each.lag_ms * 1000)) for each in cameras],
            "People": [each.people for each in cameras],
            "Frames": [each.frames for each in cameras],
            "Dropped": [", ".join(f"{count:,} {why}" for why, count in each.dropped.items()) for each in cameras],
            "Note": [each.detail for each in cameras],
        },
        column_config={
            "State": st.column_config.Column(help="Of its stream or recording."),
            "Frames/s": st.column_config.NumberColumn(help="Processed over the last seconds.", format="%.1f"),
            "Lag": st.column_config.Column(help="Age of the last decision when it was made."),
            "People": st.column_config.Column(help="How many are in the picture now."),
            "Frames": st.column_config.NumberColumn(help="Processed since the run began.", format="localized"),
            "Dropped": st.column_config.Column(help="Frames left out, by reason."),
        },
        hide_index=True,
        width="stretch",
        height="content",
    )


def _show_stages(rates: Sequence[StageRate]) -> None:
    if not rates:
        st.caption("Where the time goes is shown after a few seconds.")
        return
    rows = [{"stage": each.name, "ms": round(each.frame_ms, 2), "share": round(each.share, 3)} for each in rates]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(color=PALETTE[0], height={"band": 0.6})
        .encode(
            x=alt.X("ms:Q", title="milliseconds a frame"),
            y=alt.Y("stage:N", sort="-x", title=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("ms:Q", title="Milliseconds a frame"),
                alt.Tooltip("share:Q", title="Part of the time", format=".0%"),
            ],
        )
        .properties(height=max(90, 24 * len(rows) + 40))
    )
    st.altair_chart(bars, width="stretch")


# Runs


def _show_runs(visitor: Visitor) -> None:
    runs = SiteStatus(visitor.site.database, visitor.access).runs(_RUNS)
    if not runs:
        st.caption("There was no run yet.")
        return
    live = read_live_state(visitor.site.database.data_dir)
    now_us = time.time_ns() // 1000
    st.dataframe(
        {
            "Run": [each.id for each in runs],
            "Began": [clock(each.started_us, visitor.site.timezone) for each in runs],
            "Took": ["" if each.ended_us is None else span(each.ended_us - each.started_us) for each in runs],
            "Status": [run_status(each, live) for each in runs],
            "Tracklets": [each.tracklets for each in runs],
            "Models": [", ".join(_model_words(each)) for each in runs],
        },
        column_config={
            "Run": st.column_config.NumberColumn(width="small"),
            "Status": st.column_config.Column(help="Partial: a source broke off; what was read is kept."),
            "Tracklets": st.column_config.NumberColumn(
                help="That are still stored: unbroken stretches of one person in one camera.", format="localized"
            ),
        },
        hide_index=True,
        width="stretch",
        height="content",
    )
    st.caption(f"The last one began {ago(runs[0].started_us, now_us)}.")


def run_status(run: RunRecord, live: LiveState | None) -> str:
    """How a run ended; one that says it runs, but does not, was killed or is still starting."""
    if run.status is not RunStatus.RUNNING:
        return run.status.value
    return "running" if live is not None and live.run_id == run.id else "does not answer: starting, or killed"


def _model_words(run: RunRecord) -> list[str]:
    return [each.name + (f" ({each.runtime})" if each.runtime else "") for each in run.models]


# Disk


def _show_disk(visitor: Visitor) -> None:
    status = SiteStatus(visitor.site.database, visitor.access)
    disk = status.disk()
    used = 1 - disk.free / disk.total
    st.progress(used, f"{disk.free / _GIGABYTE:,.1f} of {disk.total / _GIGABYTE:,.1f} GB of the disk are free")
    _show_sizes(visitor, status)
    st.subheader("What goes next", help="What retention removes: by itself in a live run, else by `retention`.")
    show_retention(visitor)


def _show_sizes(visitor: Visitor, status: SiteStatus) -> None:
    key = f"system_sizes {visitor.access.name}"
    if st.button("Measure", icon=":material/straighten:", help="Counts all files and rows; may take some seconds."):
        with st.spinner("Measuring"):
            st.session_state[key] = (time.time_ns() // 1000, status.sizes())
    if key not in st.session_state:
        return
    at_us, sizes = st.session_state[key]
    st.caption(f"Measured {ago(at_us, time.time_ns() // 1000)}")
    left, right = st.columns(2, gap="medium")
    with left:
        _show_bytes(sizes)
    with right:
        _show_rows(sizes)


def _show_bytes(sizes: SiteSizes) -> None:
    parts = sorted(sizes.bytes.items(), key=lambda each: -each[1])
    st.dataframe(
        {"On disk": [name for name, _ in parts], "Megabytes": [round(size / 1e6, 1) for _, size in parts]},
        column_config={"Megabytes": st.column_config.NumberColumn(format="localized", help="Of 1,000,000 bytes.")},
        hide_index=True,
        height=260,
    )


def _show_rows(sizes: SiteSizes) -> None:
    tables = sorted(sizes.rows.items(), key=lambda each: -each[1])
    st.dataframe(
        {"In the database": [name for name, _ in tables], "Rows": [count for _, count in tables]},
        column_config={"Rows": st.column_config.NumberColumn(format="localized", help="Rows of the table.")},
        hide_index=True,
        height=260,
    )


# Models


def _show_models(visitor: Visitor) -> None:
    known = SiteStatus(visitor.site.database, visitor.access).models()
    if not known:
        st.caption("No model has made anything here yet.")
        return
    cards = {entry.model.identity: entry for entry in _registered(visitor.site.database.data_dir) if entry.model}
    for each in known:
        entry = cards.get(each.hash)
        with st.container(border=True):
            st.markdown(f"**{plain(each.name)}** · {plain(each.task)} · licence {plain(each.licence)}")
            searched = "Its vectors are searched." if each.searched else ""
            st.caption(f"`{each.hash[:12]}` {_card_words(entry)} {searched}")
            if entry is not None and entry.model is not None and entry.model.card is not None:
                with st.popover("Card", help="What its makers and measurements say."):
                    st.json(entry.model.card.model_dump(mode="json", exclude={"sha256"}, exclude_none=True))


@st.cache_data(ttl=600, show_spinner="Reading the models")
def _registered(data_dir: Path) -> list[Entry]:
    """Every model that the site can use; their files are checked against their cards, hence the cache."""
    return ModelRegistry(data_dir).entries()


def _card_words(entry: Entry | None) -> str:
    if entry is None or entry.model is None or entry.model.card is None:
        return "It is no longer here, or was changed: see `reid-pipeline model list`."
    card = entry.model.card
    trained_on = ", ".join(card.trained_on) or "unknown data"
    parent = "" if card.parent is None else f" It was made from `{card.parent[:12]}`."
    return plain(f"Trained on {trained_on}.") + parent


# Machine


def _show_machine(visitor: Visitor) -> None:
    if Permission.KEEP not in ALLOWED[visitor.access.role]:
        st.caption("What works on this machine is for those who keep the site.")
        return
    st.write("Decoders, runtimes and accelerators of the machine that shows this page.")
    if st.button("Examine", icon=":material/stethoscope:", help="As `reid-pipeline doctor`; takes some seconds."):
        with one_line(), st.spinner("Looking"):
            st.session_state["system_machine"] = _examine()
    found: list[Finding] | None = st.session_state.get("system_machine")
    if found is None:
        return
    st.dataframe(
        {
            "": ["works" if each.ok else "missing" for each in found],
            "What": [each.name for each in found],
            "Found": [each.detail for each in found],
            "To get it": ["" if each.ok else each.remedy for each in found],
        },
        hide_index=True,
        width="stretch",
        height="content",
    )


@st.cache_data(ttl=600, show_spinner=False)
def _examine() -> list[Finding]:
    return check_machine()
