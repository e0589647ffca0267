"""The plots of the map page, of figures from `flows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt

from reid_pipeline.dashboard.flows import Bar, Flow, HourCount, dwell_labels, pause
from reid_pipeline.dashboard.look import PALETTE
from reid_pipeline.dashboard.plot import Plot

_HEIGHT: Final = 300
_HOURS: Final = [f"{hour:02}" for hour in range(24)]
_BLUES: Final = alt.Scale(scheme="teals")


def hours_plot(counts: Sequence[HourCount], step: int) -> Plot:
    """Sightings by hour or day, a colour for each camera."""
    rows = [
        {"Camera": each.camera, "Time": each.at.isoformat(), "Sightings": each.tracklets, "People": each.people}
        for each in counts
    ]
    by_hour = step == 1
    chart: alt.Chart = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=alt.X("yearmonthdatehours(Time):T" if by_hour else "yearmonthdate(Time):T", title=None),
            y=alt.Y("sum(Sightings):Q", title=f"sightings {'an hour' if by_hour else 'a day'}"),
            color=_by_name({each.camera for each in counts}),
            tooltip=["Camera:N", alt.Tooltip("Time:T", format="%d %b %H:%M"), "Sightings:Q", "People:Q"],
        )
        .properties(height=_HEIGHT)
    )
    return Plot(rows, chart)


def heat_plot(bars: Sequence[Bar]) -> Plot:
    """Sightings by time of day and camera."""
    cameras = {each.camera for each in bars}
    rows = [{"Camera": each.camera, "Hour": each.label, "Sightings a day": round(each.value, 2)} for each in bars]
    chart: alt.Chart = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X("Hour:O", title="hour of the day", scale=alt.Scale(domain=_HOURS), axis=alt.Axis(labelAngle=0)),
            y=alt.Y("Camera:N", title=None),
            color=alt.Color("Sightings a day:Q", scale=_BLUES, legend=alt.Legend(title=None)),
            tooltip=["Camera:N", "Hour:O", "Sightings a day:Q"],
        )
        .properties(height=max(180, 34 * len(cameras) + 70))
    )
    return Plot(rows, chart)


def dwell_plot(bars: Sequence[Bar]) -> Plot:
    """How long people stay in view, a line for each camera."""
    rows = [{"Camera": each.camera, "In view": each.label, "Share": each.value} for each in bars]
    chart: alt.Chart = (
        alt.Chart()
        .mark_line(point=True)
        .encode(
            x=alt.X("In view:O", title=None, sort=list(dwell_labels()), axis=alt.Axis(labelAngle=-35)),
            y=alt.Y("Share:Q", title="share of sightings", axis=alt.Axis(format="%")),
            color=_by_name({each.camera for each in bars}),
            tooltip=["Camera:N", "In view:O", alt.Tooltip("Share:Q", format=".1%")],
        )
        .properties(height=_HEIGHT)
    )
    return Plot(rows, chart)


def flow_plot(found: Sequence[Flow]) -> Plot:
    """How many went from which camera to which."""
    rows = [
        {"From": each.origin, "To": each.goal, "People": each.count, "Median time": pause(each.median_us)}
        for each in found
    ]
    chart: alt.Chart = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X("To:N", title="to", axis=alt.Axis(labelAngle=-35)),
            y=alt.Y("From:N", title="from"),
            color=alt.Color("People:Q", scale=_BLUES, legend=alt.Legend(title=None)),
            tooltip=["From:N", "To:N", "People:Q", "Median time:N"],
        )
        .properties(height=max(240, 34 * len({each.origin for each in found}) + 110))
    )
    return Plot(rows, chart)


def zone_plot(bars: Sequence[Bar]) -> Plot:
    """Entries by hour, a colour for each zone."""
    rows = [{"Zone": each.camera, "Time": each.label, "Entries": each.value} for each in bars]
    chart: alt.Chart = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=alt.X("yearmonthdatehours(Time):T", title=None),
            y=alt.Y("sum(Entries):Q", title="entries an hour"),
            color=_by_name({each.camera for each in bars}, "Zone"),
            tooltip=["Zone:N", alt.Tooltip("Time:T", format="%d %b %H:%M"), "Entries:Q"],
        )
        .properties(height=_HEIGHT)
    )
    return Plot(rows, chart)


def _by_name(names: set[str], field: str = "Camera") -> alt.Color:
    scale = alt.Scale(domain=sorted(names), range=list(PALETTE))
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=6))
