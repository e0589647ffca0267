"""What a run tells of what it finds: lines of `events.ndjson`, and decisions as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from reid_pipeline.pipeline.events import Box, Event, iso_time
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate
from reid_pipeline.pipeline.zones import ZoneEvent
from reid_pipeline.storage.records import EventType, IdentityEvent, NewAlert

_EVENT_NAMES: Final[dict[EventType, Literal["merge", "split"]]] = {EventType.MERGE: "merge", EventType.SPLIT: "split"}


def new_event(update: TrackletUpdate, number: int, box: Sequence[float]) -> Event:
    """That a tracklet has begun."""
    return Event("new", iso_time(update.time_us), update.camera, update.frame, number, box=_rounded(box))


def end_event(update: TrackletUpdate, number: int, identity: int | None) -> Event:
    """That a tracklet has ended."""
    return Event("end", iso_time(update.time_us), update.camera, update.frame, number, identity)


def zone_event(camera: str, event: ZoneEvent, identity: int | None) -> Event:
    """That somebody has entered or left a zone, or stays there."""
    return Event(
        event.type,
        iso_time(event.time_us),
        camera,
        event.frame,
        event.tracklet,
        identity,
        box=_rounded(event.box),
        zone=event.zone,
        dwell_s=event.dwell_s,
    )


def decision_event(decision: Decision, update: TrackletUpdate) -> Event:
    """A decision; of a tracklet in another camera the present frame is not known."""
    camera, number = decision.tracklet or (update.camera, None)
    return Event(
        _EVENT_NAMES.get(decision.kind, "update"),
        iso_time(update.time_us),
        camera,
        update.frame if camera == update.camera else None,
        number,
        decision.identity,
        decision.probability,
        other=decision.other,
    )


def alert_event(alert: NewAlert, update: TrackletUpdate, identity: int | None) -> Event:
    """That somebody may be who is watched for."""
    frame = update.frame if alert.camera == update.camera else None
    time = iso_time(alert.time_us)
    return Event("alert", time, alert.camera, frame, alert.number, identity, alert.probability, watch=alert.entry)


def identity_events(decision: Decision, time_us: int) -> list[IdentityEvent]:
    """A decision as it is stored."""
    camera, number = decision.tracklet or (None, None)
    event = IdentityEvent(
        decision.kind,
        time_us,
        decision.identity,
        other=decision.other,
        camera=camera,
        number=number,
        probability=decision.probability,
        evidence=decision.evidence,
    )
    return [event, replace(event, type=EventType.ASSIGN)] if decision.kind is EventType.OPEN else [event]


def _rounded(box: Sequence[float]) -> Box:
    x1, y1, x2, y2 = (round(value, 1) for value in box)
    return x1, y1, x2, y2
