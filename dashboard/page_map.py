"""Map: where the cameras are, who goes from where to where and in what time, and when it is busy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.flows import (
    Flow,
    counts_by_hour,
    dwell_shares,
    figures,
    flows,
    heat,
    pause,
    plot_step,
    zone_entries,
    zone_figures,
)
from reid_pipeline.dashboard.map_plots import dwell_plot, flow_plot, heat_plot, hours_plot, zone_plot
from reid_pipeline.dashboard.plot import show_plot
from reid_pipeline.dashboard.recent_stays import stays_of
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.site_map import Arrow, MapCamera, all_places, show_map
from reid_pipeline.dashboard.time_choice import TimeSpan, choose_time
from reid_pipeline.dashboard.words import span
from reid_pipeline.pipeline.recent_events import recent_zone_visits
from reid_pipeline.storage.errors import InputError
from reid_pipeline.storage.floor_plan import LARGEST_BYTES, FloorPlans
from reid_pipeline.storage.permissions import ALLOWED, Permission
from reid_pipeline.storage.traffic import Stays

_ARROWS: Final = 40  # the most frequent; more hide each other
_VIEWS: Final = ("By hour", "Time of day", "Time in view", "Between cameras", "Zones")


def show(visitor: Visitor) -> None:
    """The page."""
    title, when = st.columns([4, 1], vertical_alignment="bottom")
    title.title("Map")
    cameras = visitor.site.repository.camera_names()
    if not cameras:
        st.info("No camera was read yet. Start `reid-pipeline run cameras.yaml`; its cameras appear here.")
        return
    with when:
        chosen = choose_time(visitor, "map", "24h")
    stays = stays_of(visitor, chosen)
    found = flows(stays)
    _show_figures(stays)
    _show_site(visitor, cameras, stays, found)
    view = _choose_view()
    if view == "Zones":
        _show_zones(visitor, chosen)
    elif not len(stays):
        st.info("Nobody was seen then. Choose a longer time.")
    else:
        _show_plot(visitor, view, stays, found)


def _show_figures(stays: Stays) -> None:
    told = figures(stays)
    with st.container(horizontal=True, gap="large"):
        st.metric("Sightings", f"{told.tracklets:,}", help="Unbroken stretches in one camera.", width="content")
        st.metric("People", f"{told.people:,}", help="Different people among them, over all cameras.", width="content")
        st.metric(
            "In several cameras", f"{told.in_several:,}", help="People whom more than one camera saw.", width="content"
        )
        st.metric("In view", span(told.median_dwell_us), help="Half of the sightings are shorter.", width="content")
    if not stays.whole:
        st.caption(f"There are more: all figures here are about the newest {len(stays):,} sightings of this time.")


def _show_site(visitor: Visitor, cameras: tuple[str, ...], stays: Stays, found: Sequence[Flow]) -> None:
    plans = FloorPlans(visitor.site.database, visitor.access)
    may_change = Permission.MANAGE in ALLOWED[visitor.access.role] and visitor.access.cameras is None
    placing = may_change and _show_change(plans)
    counts = Counter(stays.cameras[position] for position in stays.camera.tolist())
    places = all_places(cameras, plans.places())
    shown = [
        MapCamera(name, places[name], _short(counts[name]), f"{counts[name]:,} sightings in {name}") for name in cameras
    ]
    arrows = [] if placing else [_arrow(each, found[0].count) for each in found[:_ARROWS]]
    placed = show_map(shown, arrows, plans.picture(), key="map_site", placing=placing)
    if placed is not None and placing:
        plans.place(placed.camera, placed.place)
        st.rerun()
    if not placing:
        st.caption(
            "Circles: sightings. Arrows: people who were seen next in the other camera, wider for more; the time is "
            "the median between leaving one and being seen in the other.",
            help=f"The {_ARROWS} most frequent ways. Hold the pointer over one for how many and how long.",
        )


def _show_change(plans: FloorPlans) -> bool:
    """The controls of who may change the plan; tells whether cameras are being placed."""
    with st.container(horizontal=True, vertical_alignment="center"):
        placing = st.toggle(
            "Place cameras", key="map_placing", help="Drag each camera to where it is, or move it by the arrow keys."
        )
        with st.popover("Plan", icon=":material/floor:"):
            _show_upload(plans)
    return placing


def _show_upload(plans: FloorPlans) -> None:
    upload = st.file_uploader(
        f"A plan of the site, PNG or JPEG, at most {LARGEST_BYTES // 1_000_000} MB",
        type=["png", "jpg", "jpeg"],
        key="map_upload",
        help="It is scaled down, and nothing of the file but the picture is kept.",
    )
    if upload is not None and st.button("Use this plan", type="primary", key="map_use"):
        try:
            plans.replace(upload.getvalue())
        except InputError as error:
            st.error(str(error))
        else:
            st.rerun()
    if plans.picture() is not None and st.button("Remove the plan", key="map_remove"):
        plans.remove()
        st.rerun()


def _arrow(each: Flow, most: int) -> Arrow:
    told = (
        f"{each.origin} to {each.goal}: {each.count:,} times, median {pause(each.median_us)}, "
        f"most between {pause(each.low_us)} and {pause(each.high_us)}"
    )
    return Arrow(each.origin, each.goal, pause(each.median_us), told, 1.5 + 6.0 * math.sqrt(each.count / most))


def _short(count: int) -> str:
    """A number that fits into a circle."""
    return str(count) if count < 1000 else f"{count / 1000:.1f}k" if count < 10_000 else f"{count // 1000}k"


def _choose_view() -> str:
    asked = st.query_params.get("view")
    chosen = st.segmented_control(
        "Figures",
        _VIEWS,
        default=asked if asked in _VIEWS else _VIEWS[0],
        required=True,
        key="map_view",
        label_visibility="collapsed",
        help="What the plot is about.",
    )
    st.query_params["view"] = str(chosen)
    return str(chosen)


def _show_plot(visitor: Visitor, view: str, stays: Stays, found: Sequence[Flow]) -> None:
    match view:
        case "Time of day":
            st.caption("Sightings in each hour of the day, on the average of the days with any.")
            show_plot(heat_plot(heat(counts_by_hour(stays, visitor.site.timezone))), "map_heat")
        case "Time in view":
            st.caption("How long a sighting lasts: the share of each camera's.")
            show_plot(dwell_plot(dwell_shares(stays)), "map_dwell")
        case "Between cameras":
            _show_flows(found)
        case _:
            step = plot_step(stays)
            st.caption(f"Sightings that began in each {'hour' if step == 1 else 'day'}, in the site's time zone.")
            counts = counts_by_hour(stays, visitor.site.timezone, step)
            show_plot(hours_plot(counts, step), "map_hours")


def _show_flows(found: Sequence[Flow]) -> None:
    if not found:
        st.info("Nobody was seen in two cameras in this time. Choose a longer time.")
        return
    left, right = st.columns([1, 1], gap="large")
    with left:
        show_plot(flow_plot(found), "map_flows")
    rows = [
        {
            "From": each.origin,
            "To": each.goal,
            "People": each.count,
            "Median": pause(each.median_us),
            "10 %": pause(each.low_us),
            "90 %": pause(each.high_us),
        }
        for each in found
    ]
    help_of_time = "Between leaving the one camera and being seen in the other."
    right.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        key="map_flow_table",
        column_config={
            "People": st.column_config.NumberColumn(help="How often; a person may go several times."),
            "Median": st.column_config.TextColumn(help=help_of_time),
            "10 %": st.column_config.TextColumn(help="One in ten is faster."),
            "90 %": st.column_config.TextColumn(help="One in ten is slower."),
        },
    )


def _show_zones(visitor: Visitor, chosen: TimeSpan) -> None:
    data_dir = visitor.site.database.data_dir
    visits = recent_zone_visits(data_dir, visitor.access, chosen.since_us or 0, chosen.until_us)
    if not visits:
        st.info(
            "No entry into a zone in this time. Zones are drawn in cameras.yaml (`zones` of a camera); a run with "
            "`outputs.events` writes who enters and leaves them."
        )
        return
    st.caption("Of the newest events.", help="Only the end of the site's events is read: about 15,000 of them.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        show_plot(zone_plot(zone_entries(visits, visitor.site.timezone)), "map_zones")
    rows = [
        {"Zone": each.name, "Entries": each.entries, "Median stay": each.median_stay, "Longest stay": each.longest_stay}
        for each in zone_figures(visits)
    ]
    right.dataframe(rows, hide_index=True, width="stretch", key="map_zone_table")
