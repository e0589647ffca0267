"""Journeys: one person's path over the cameras, with the pictures; corrected and exported here."""

from __future__ import annotations

import html
from typing import Final

import altair as alt
import streamlit as st

from reid_pipeline.dashboard.flows import median_times, moves, pause
from reid_pipeline.dashboard.journey_corrections import show_corrections
from reid_pipeline.dashboard.journey_download import journey_zip
from reid_pipeline.dashboard.look import PALETTE, identity_colour
from reid_pipeline.dashboard.navigation import page_link
from reid_pipeline.dashboard.picture_strip import strip
from reid_pipeline.dashboard.plot import Plot, show_plot
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.site_map import Arrow, MapCamera, all_places, show_map
from reid_pipeline.dashboard.words import clock, moment, span, time_of_day, wrong_in
from reid_pipeline.pipeline.clip_cutting import Span, spans_for_log
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.journey import find_journey
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.floor_plan import FloorPlans
from reid_pipeline.storage.journeys import JourneyRecord, JourneyTracklet
from reid_pipeline.storage.permissions import ALLOWED, Permission

_ON_A_PAGE: Final = 30
_BARS: Final = 1_000  # the newest; more could not be told apart
_PICTURES: Final = 8
_VIEWS: Final = {"path": None, "correct": Permission.CORRECT, "export": Permission.EXPORT}
_NOTED: Final = "journeys_noted"


def show(visitor: Visitor) -> None:
    """The page."""
    title, number = st.columns([4, 1], vertical_alignment="bottom")
    title.title("Journeys")
    with number:
        identity = _ask()
    if identity is None:
        st.info("Type the number of a person, or choose somebody under People.")
        people = page_link("people")
        if people is not None:
            st.page_link(people, label="Look for people")
        return
    try:
        journey = find_journey(visitor.site.repository, identity)
    except InputError:
        st.warning(f"There is no Person {identity} that you may see. Look for them under People.")
        return
    _note(visitor, journey.identity)
    _show_head(visitor, identity, journey)
    match _choose_view(visitor):
        case "correct":
            show_corrections(visitor, journey)
        case "export":
            _show_export(visitor, journey)
        case _:
            _show_path(visitor, journey)


def _ask() -> int | None:
    """Whose journey: from the address, or typed."""
    asked = st.query_params.get("id", "")
    given = int(asked) if asked.isascii() and asked.isdigit() and 0 < len(asked) < 16 else None
    known = st.session_state.get("journeys_asked")
    if given != known:  # somebody followed a link
        st.session_state["journeys_asked"] = st.session_state["journeys_number"] = given
    number = st.number_input(
        "Number of a person",
        min_value=1,
        max_value=10**15,
        value=None,
        step=1,
        placeholder="such as 12",
        key="journeys_number",
        help="As it stands beside their pictures.",
    )
    if number is None:
        return None
    st.session_state["journeys_asked"] = number
    st.query_params["id"] = str(number)
    return number


def _note(visitor: Visitor, identity: int) -> None:
    """Whom somebody looks at is accounted for, once until they look at somebody else."""
    if st.session_state.get(_NOTED) != identity:
        st.session_state[_NOTED] = identity
        AuditLog(visitor.site.database).note(visitor.access.name, Action.JOURNEY, "", {"identity": identity})


def _show_head(visitor: Visitor, asked: int, journey: JourneyRecord) -> None:
    colour = identity_colour(journey.identity)
    st.html(
        f'<h2 style="border-left:5px solid {colour};padding:0 0 0 .6rem;margin:.2rem 0">Person {journey.identity}</h2>'
    )
    if asked != journey.identity:
        st.caption(f"Person {asked} was merged into Person {journey.identity}.")
    elif journey.merged:
        st.caption(f"Merged into this person: {', '.join(str(each) for each in journey.merged)}.")
    if not journey.tracklets:
        return
    cameras = {each.camera for each in journey.tracklets}
    in_view_us = sum(each.last_us - each.first_us for each in journey.tracklets)
    figures = (
        ("Sightings", f"{len(journey.tracklets):,}", "Unbroken stretches in one camera."),
        ("Cameras", str(len(cameras)), ", ".join(sorted(cameras))),
        ("In view", span(in_view_us), "All sightings together; two cameras at once count twice."),
        (
            "First seen",
            _short(visitor, journey.tracklets[0].first_us),
            clock(journey.tracklets[0].first_us, visitor.site.timezone),
        ),
        (
            "Last seen",
            _short(visitor, max(each.last_us for each in journey.tracklets)),
            clock(max(each.last_us for each in journey.tracklets), visitor.site.timezone),
        ),
    )
    with st.container(horizontal=True, gap="large"):
        for label, value, meaning in figures:
            st.metric(label, value, help=meaning, width="content")
    search = page_link("search")
    if search is not None:
        query = {"identity": str(journey.identity)}
        st.page_link(search, label="Search for others who may be this person", query_params=query)


def _short(visitor: Visitor, time_us: int) -> str:
    return moment(time_us, visitor.site.timezone).strftime("%d %b %H:%M")


def _choose_view(visitor: Visitor) -> str:
    may = ALLOWED[visitor.access.role]
    names = [name for name, needed in _VIEWS.items() if needed is None or needed in may]
    if len(names) == 1:
        return names[0]
    asked = st.query_params.get("view")
    chosen = st.segmented_control(
        "View",
        names,
        default=asked if asked in names else names[0],
        required=True,
        format_func=str.capitalize,
        key="journeys_view",
        label_visibility="collapsed",
        help="The path; merging and splitting; a file for others.",
    )
    st.query_params["view"] = chosen
    return chosen


def _show_path(visitor: Visitor, journey: JourneyRecord) -> None:
    if not journey.tracklets:
        st.info("Nothing of this person is left: all their sightings were removed.")
        return
    timeline, walk = st.columns([3, 2], gap="large")
    with timeline:
        st.subheader("When and where", help="A bar for each sighting. Hold the pointer over one; drag and scroll.")
        show_plot(_timeline(visitor, journey.tracklets[-_BARS:]), key="journeys_timeline")
        if len(journey.tracklets) > _BARS:
            st.caption(f"The newest {_BARS:,} sightings.")
    with walk:
        st.subheader(
            "From camera to camera",
            help="An arrow for each way that this person took: how often, and how long it took most of the time.",
        )
        _show_walk(visitor, journey)
    st.subheader("Sightings", help="In order of time, each with its best pictures.")
    for each in _page_of(journey):
        _show_stay(visitor, each)


def _timeline(visitor: Visitor, tracklets: tuple[JourneyTracklet, ...]) -> Plot:
    rows = [
        {
            "Camera": each.camera,
            "From": moment(each.first_us, visitor.site.timezone).replace(tzinfo=None).isoformat(),
            "Until": moment(each.last_us, visitor.site.timezone).replace(tzinfo=None).isoformat(),
            "Sighting": f"{each.camera}:{each.number}",
            "In view": span(each.last_us - each.first_us),
            "Certainty": _certainty(each),
        }
        for each in tracklets
    ]
    cameras = sorted({each.camera for each in tracklets})
    chart: alt.Chart = (
        alt.Chart()
        .mark_bar(cornerRadius=2, height={"band": 0.6}, minBandSize=3, stroke="transparent", strokeWidth=4)
        .encode(
            x=alt.X("From:T", title=None, axis=alt.Axis(labelOverlap=True, tickCount=6)),
            x2="Until:T",
            y=alt.Y("Camera:N", title=None, sort=cameras),
            color=alt.Color("Camera:N", legend=None, scale=alt.Scale(domain=cameras, range=list(PALETTE))),
            tooltip=["Sighting:N", "From:T", "Until:T", "In view:N", "Certainty:N"],
        )
        .properties(height=max(140, 44 * len(cameras) + 50))
        .interactive(bind_y=False)
    )
    return Plot(rows, chart)


def _certainty(each: JourneyTracklet) -> str:
    return (
        "no probability: a new person, or an operator's word"
        if each.probability is None
        else wrong_in(each.probability)
    )


def _show_walk(visitor: Visitor, journey: JourneyRecord) -> None:
    cameras = tuple(dict.fromkeys(each.camera for each in journey.tracklets))
    plans = FloorPlans(visitor.site.database, visitor.access)
    places = all_places(cameras, plans.places())
    counts = {camera: sum(each.camera == camera for each in journey.tracklets) for camera in cameras}
    stays = [(each.camera, each.first_us, each.last_us) for each in journey.tracklets]
    arrows = [
        Arrow(origin, goal, f"{count} · {pause(time_us)}", f"{origin} to {goal}, {count} times, {pause(time_us)}", 3)
        for (origin, goal), count, time_us in median_times(moves(stays))
    ]
    shown = [
        MapCamera(name, places[name], str(counts[name]), f"{counts[name]} sightings in {name}") for name in cameras
    ]
    show_map(shown, arrows, plans.picture() if plans.places() else None, key="journeys_walk")
    if len(cameras) == 1:
        st.caption(f"Only {cameras[0]} saw this person.")


def _page_of(journey: JourneyRecord) -> tuple[JourneyTracklet, ...]:
    """The sightings of one page, the last page first."""
    pages = -(-len(journey.tracklets) // _ON_A_PAGE)
    if pages == 1:
        return journey.tracklets
    page = st.number_input(
        f"Page of {pages}", 1, pages, pages, key=f"journeys_page_{journey.identity}", width=160, help="Last is newest."
    )
    return journey.tracklets[(page - 1) * _ON_A_PAGE : page * _ON_A_PAGE]


def _show_stay(visitor: Visitor, each: JourneyTracklet) -> None:
    begin, end = (time_of_day(time_us, visitor.site.timezone) for time_us in (each.first_us, each.last_us))
    best = sorted(sorted(each.crops, key=lambda crop: -crop.quality)[:_PICTURES], key=lambda crop: crop.time_us)
    text, pictures = st.columns([1, 4], gap="small")
    with text:
        st.html(
            f'<div style="font-size:.88rem;line-height:1.5"><b>{html.escape(each.camera)}</b>:{each.number}<br>'
            f"{_day(visitor, each)} {begin} to {end}<br>{span(each.last_us - each.first_us)} in view<br>"
            f'<span style="opacity:.7">{_certainty(each)}</span></div>'
        )
        around = Span.around(each.camera, each.number, each.first_us, each.last_us)
        clips = Clips(visitor.site.database, visitor.access).between(around.camera, around.since_us, around.until_us)
        key = f"journeys_play_{each.camera}_{each.number}"
        if clips and st.button("Play", icon=":material/play_arrow:", key=key, help="The footage around it."):
            _note_footage(visitor, around)
            _play(visitor, each, tuple(clip.path for clip in clips))
    pictures.html(strip(visitor, [crop.path for crop in best], 128))


def _day(visitor: Visitor, each: JourneyTracklet) -> str:
    return moment(each.first_us, visitor.site.timezone).strftime("%Y-%m-%d")


def _note_footage(visitor: Visitor, around: Span) -> None:
    subject = {"clips": spans_for_log([around]), "identity": st.session_state[_NOTED]}
    AuditLog(visitor.site.database).note(visitor.access.name, Action.JOURNEY, "", subject)


@st.dialog("Footage", width="large")
def _play(visitor: Visitor, each: JourneyTracklet, paths: tuple[str, ...]) -> None:
    st.caption(f"{each.camera}, {clock(each.first_us, visitor.site.timezone)}, with what comes before and after")
    videos = (
        f'<video controls preload="metadata" style="width:100%;border-radius:6px;margin-bottom:.5rem" '
        f'src="{visitor.clip_address(path)}"></video>'
        for path in paths
    )
    st.html("".join(videos))


def _show_export(visitor: Visitor, journey: JourneyRecord) -> None:
    st.write(
        "A ZIP file with the sightings as CSV and JSON, a page to look at with all pictures, and a manifest of SHA-256 "
        "digests that shows whether anything was changed since."
    )
    reason = st.text_input("Reason", key="journeys_export_reason", help="Why, for the audit log.")
    footage = st.toggle(
        "With footage", key="journeys_export_footage", help="The video around each sighting, as far as it was kept."
    )
    site, identity = visitor.site, journey.identity
    st.download_button(
        "Export",
        data=lambda: journey_zip(site, identity, reason, footage=footage),
        file_name=f"person-{identity}.zip",
        mime="application/zip",
        icon=":material/download:",
        disabled=not reason.strip(),
        key="journeys_export",
        on_click="ignore",
        help="Type a reason first. It is written into the audit log with your name.",
    )
