"""Learning: what the encoder learns from, what each night made of it, and which encoder serves."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from datetime import UTC
from typing import Final

import altair as alt
import streamlit as st

from reid_pipeline.dashboard.answers import one_line, show_told, tell
from reid_pipeline.dashboard.look import PALETTE
from reid_pipeline.dashboard.night_scores import FIGURES, Score, difference, scores
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import ago, clock, moment, plain, span
from reid_pipeline.pipeline.serving import models_of
from reid_pipeline.storage.corpus_queries import DAY_US
from reid_pipeline.storage.corpus_records import CorpusStats
from reid_pipeline.storage.learning_runs import LearningKind, LearningRun, LearningStatus
from reid_pipeline.storage.learning_view import CorpusSize, LearningView
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.promotions import Promotion

_RUNS: Final = 200
_STATS_KEPT_S: Final = 600
_REPORT_HEIGHT: Final = 900


def show(visitor: Visitor) -> None:
    """The page."""
    show_told()
    st.title("Learning")
    if visitor.scope is not None:
        st.info("What the site learns from shows people of all cameras, and so is for those who see all of them.")
        return
    view = LearningView(visitor.site.database, visitor.access)
    runs = view.runs(_RUNS)
    base = models_of(visitor.site.database).base
    _show_serving(visitor, view, base)
    _show_corpus(visitor, view.size())
    st.subheader("Nights", help="What was learnt, newest first: each is examined before it may serve.")
    if not runs:
        st.info(
            "Nothing was learnt yet. Start `reid-pipeline nightly`, once or from a timer: it learns from the crops "
            "above, and a new encoder serves only where it is shown to be better."
        )
        return
    _show_scores(visitor, scores(runs))
    _show_runs(visitor, view, runs)


# Which encoder serves


def _show_serving(visitor: Visitor, view: LearningView, base: str | None) -> None:
    promoted = view.promoted(base)
    with st.container(border=True):
        words, action = st.columns([5, 2], vertical_alignment="center")
        words.markdown(_serving_words(promoted))
        allowed = Permission.KEEP in ALLOWED[visitor.access.role]
        if promoted and base is not None and allowed:
            help_text = f"From the next run on, {_before(promoted)} serves again."
            right = action.container(horizontal=True, horizontal_alignment="right")
            if right.button("Roll back", key="learning_roll_back", icon=":material/undo:", help=help_text):
                confirm_rollback(visitor)


def _serving_words(promoted: Sequence[Promotion]) -> str:
    if not promoted:
        return "**The configured encoder serves.**  \n:small[No night has made a better one yet, or it was taken back.]"
    last = promoted[-1]
    when = last.time[:16].replace("T", " ")
    return (
        f"**{plain(last.name)} serves.**  \n"
        f":small[Promoted {when} UTC by {plain(last.actor)}: {plain(last.reason) or 'no reason was given'}]"
    )


def _before(promoted: Sequence[Promotion]) -> str:
    return promoted[-2].name if len(promoted) > 1 else "the configured encoder"


@st.dialog("Roll back")
def confirm_rollback(visitor: Visitor) -> None:
    """Takes the last promotion back, once that is confirmed."""
    view = LearningView(visitor.site.database, visitor.access)
    base = models_of(visitor.site.database).base
    promoted = view.promoted(base)
    if base is None or not promoted:
        st.info("There is nothing to take back.")
        return
    st.write(
        f"From the next run on, {plain(_before(promoted))} serves again in the place of {plain(promoted[-1].name)}. "
        "A run that goes on changes over by itself."
    )
    with st.form("learning_rollback", border=False):
        reason = st.text_input("Why", help="For the audit log.")
        sent = st.form_submit_button("Roll back", type="primary")
    if sent and not reason.strip():
        st.error("Say why.")
    elif sent:
        with one_line():
            undone = view.roll_back(base, reason)
            tell(f"{undone.name} was taken back.")


# What it learns from


def _show_corpus(visitor: Visitor, size: CorpusSize) -> None:
    st.subheader("Corpus", help="Crops of people nobody has named: what the encoder learns from.")
    if not size.crops:
        st.info("There is no crop to learn from yet. A run collects them by itself; `corpus import` adds others.")
        return
    with st.container(horizontal=True, gap="large"):
        st.metric("Crops", f"{size.crops:,}", help="Pictures of one person each.", width="content")
        st.metric("Tracklets", f"{size.tracklets:,}", help="Unbroken stretches of one person.", width="content")
        st.metric("On disk", f"{size.bytes / 1e6:,.1f} MB", help="The files of the corpus.", width="content")
    if st.toggle("By camera, day and quality", key="learning_corpus", help="May take some seconds the first time."):
        _show_stats(visitor, _stats(visitor, visitor.scope))


@st.cache_data(ttl=_STATS_KEPT_S, show_spinner="Counting")
def _stats(_visitor: Visitor, scope: tuple[str, ...] | None) -> CorpusStats:
    return LearningView(_visitor.site.database, _visitor.access).stats()


def _show_stats(visitor: Visitor, stats: CorpusStats) -> None:
    if stats.first_us is not None and stats.last_us is not None:
        first, last = (clock(each, visitor.site.timezone) for each in (stats.first_us, stats.last_us))
        st.caption(f"From {first} to {last}. Counted at most {span(_STATS_KEPT_S * 1_000_000)} ago.")
    cameras = [{"of": each.camera, "crops": each.crops} for each in stats.cameras]
    days = [{"of": str(moment(day * DAY_US, UTC).date()), "crops": count} for day, count in stats.days]
    qualities = [{"of": f"{step / 10:.1f}-{step / 10 + 0.1:.1f}", "crops": count} for step, count in stats.qualities]
    sizes = [{"of": f"{height} px", "crops": count} for height, count in stats.heights]
    plots = (("Camera", cameras), ("Day (UTC)", days), ("Quality", qualities), ("Height", sizes))
    for column, (title, rows) in zip(st.columns(len(plots), gap="medium"), plots, strict=True):
        column.altair_chart(_bars(title, rows), width="stretch")


def _bars(title: str, rows: Sequence[dict[str, object]]) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .mark_bar(color=PALETTE[0])
        .encode(
            x=alt.X("crops:Q", title="crops", axis=alt.Axis(tickCount=3)),
            y=alt.Y("of:N", sort=None, title=None, axis=alt.Axis(labelOverlap=False)),
            tooltip=[alt.Tooltip("of:N", title=title), alt.Tooltip("crops:Q", title="Crops", format=",")],
        )
        .properties(title=title, height=alt.Step(18))
    )
    return chart


# The nights


def _show_scores(visitor: Visitor, found: Sequence[Score]) -> None:
    if not found:
        return
    st.caption(
        "Each night the encoder that serves (line) and the new one (dots; filled where it was promoted) are examined "
        "on visits kept back from learning. No labels are needed. Higher is better; nights differ in their visits."
    )
    for column, (figure, (title, meaning)) in zip(st.columns(len(FIGURES), gap="medium"), FIGURES.items(), strict=True):
        rows = [_row(visitor, each) for each in found if each.figure == figure]
        with column:
            st.markdown(f"**{title}**", help=meaning)
            if rows:
                st.altair_chart(_curve(rows), width="stretch")
            else:
                st.caption("Not measured yet.")


def _row(visitor: Visitor, score: Score) -> dict[str, object]:
    return {
        "time": clock(score.time_us, visitor.site.timezone),
        "before": round(score.before, 4),
        "after": round(score.after, 4),
        "promoted": "promoted" if score.promoted else "kept out",
    }


def _curve(rows: Sequence[dict[str, object]]) -> alt.LayerChart:
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        x=alt.X("time:T", title=None, axis=alt.Axis(tickCount=4))
    )
    scale = alt.Scale(zero=False, padding=8, nice=True)
    line = base.mark_line(color=PALETTE[7], interpolate="step-after", point={"size": 20, "color": PALETTE[7]}).encode(
        y=alt.Y("before:Q", title=None, scale=scale)
    )
    dots = base.mark_point(size=70, strokeWidth=2, color=PALETTE[1]).encode(
        y=alt.Y("after:Q", title=None, scale=scale),
        fill=alt.condition("datum.promoted == 'promoted'", alt.value(PALETTE[1]), alt.value("transparent")),
        tooltip=[
            alt.Tooltip("time:T", title="Night", format="%Y-%m-%d %H:%M"),
            alt.Tooltip("before:Q", title="Served", format=".3f"),
            alt.Tooltip("after:Q", title="New", format=".3f"),
            alt.Tooltip("promoted:N", title="Decision"),
        ],
    )
    chart: alt.LayerChart = (line + dots).properties(height=180)
    return chart


def _show_runs(visitor: Visitor, view: LearningView, runs: Sequence[LearningRun]) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    kinds = left.pills(
        "Which",
        list(LearningKind),
        selection_mode="multi",
        key="learning_kinds",
        label_visibility="collapsed",
        help="Show only these; all where none is chosen.",
    )
    shown = [each for each in runs if not kinds or each.start.kind in kinds]
    most = right.number_input("Shown", 5, _RUNS, 10, 5, key="learning_shown", help="How many of the newest.")
    for run in shown[: int(most)]:
        _show_run(visitor, view, run)
    if len(shown) > most:
        st.caption(f"{len(shown) - int(most)} more are older.")


def _show_run(visitor: Visitor, view: LearningView, run: LearningRun) -> None:
    with st.container(border=True, key=f"learning_{run.id}"):
        words, action = st.columns([6, 2], vertical_alignment="center")
        with words:
            began = clock(run.started_us, visitor.site.timezone)[:16]
            st.markdown(f"**{began}** · {run.start.kind} · {_verdict(run)}  \n:small[{_reason(run)}]")
            if figures := _figures(run):
                st.html(figures)
        report = view.report_of(run.end.model)
        if report is not None and action.toggle(
            "Report", key=f"learning_report_{run.id}", help="What it changed, with pictures."
        ):
            address = visitor.report_address(report)
            action.link_button("Open it alone", address, icon=":material/open_in_new:")
            st.iframe(address, height=_REPORT_HEIGHT)


def _verdict(run: LearningRun) -> str:
    if run.end.status is LearningStatus.RUNNING:
        return f":blue-badge[learning since {ago(run.started_us, time.time_ns() // 1000)}]"
    if run.end.status is not LearningStatus.DONE:
        return f":red-badge[{run.end.status.value}]"
    if run.end.promoted:
        return f":green-badge[promoted] {plain(run.end.model or '')}"
    return ":gray-badge[not promoted]" if run.start.kind is not LearningKind.PRETRAIN else ":gray-badge[done]"


def _reason(run: LearningRun) -> str:
    """Why it was promoted or not, or what went wrong; and how long it took."""
    took = "" if run.ended_us is None else f"took {span(run.ended_us - run.started_us)}"
    return " · ".join(part for part in (plain(run.end.reason or ""), took) if part)


def _figures(run: LearningRun) -> str:
    """The figures before and after, each with its meaning where somebody points at it."""
    found = [(title, meaning, difference(run, figure)) for figure, (title, meaning) in FIGURES.items()]
    parts = [
        f'<span title="{html.escape(meaning)}" style="white-space:nowrap">'
        f'<span style="opacity:.7">{title}</span> {text}</span>'
        for title, meaning, text in found
        if text
    ]
    return (
        f'<div style="font-size:.85rem;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem">{"".join(parts)}</div>'
        if parts
        else ""
    )
