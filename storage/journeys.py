"""What the tables say about identities as people ask for it: who was seen, and where somebody went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, distinct, func, select, true
from sqlalchemy.orm import Session

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.records import Box
from reid_pipeline.storage.schema import Camera, Crop, Embedding, Identity, Run, Tracklet
from reid_pipeline.storage.settlement import assignments, survivor_of


@dataclass(frozen=True, slots=True)
class IdentityOverview:
    """An identity and what was asked for of its tracklets; `cameras` by name, times None where there is no tracklet."""

    identity: int
    merged_into: int | None
    vacant: bool
    cameras: tuple[str, ...]
    tracklets: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class CropRecord:
    """A stored view: `path` as in `CropStore`, `box` as in `View`."""

    path: str
    frame: int
    time_us: int
    quality: float
    box: Box


@dataclass(frozen=True, slots=True)
class JourneyTracklet:
    """One stay of a person in one camera.

    Attributes:
        camera: Name of the camera.
        number: Number of the tracklet.
        first_us: When it began.
        last_us: When its last box so far was.
        probability: That it is this person, as logged with the decision that counts; None where none was.
        views: How many views are known by their embeddings.
        crops: The views whose pictures are still named, in order of time.
    """

    camera: str
    number: int
    first_us: int
    last_us: int
    probability: float | None
    views: int
    crops: tuple[CropRecord, ...]


@dataclass(frozen=True, slots=True)
class JourneyRecord:
    """The path of one identity.

    Attributes:
        identity: The survivor.
        merged: The identities that redirect to it.
        tracklets: In order of time.
        models: What the runs that found them used, one mapping a run, by what it was used for.
    """

    identity: int
    merged: tuple[int, ...]
    tracklets: tuple[JourneyTracklet, ...]
    models: tuple[Mapping[str, object], ...]


def read_identities(
    session: Session, asked: tuple[str | None, int | None, int | None], seen_cameras: Collection[str] | None
) -> tuple[IdentityOverview, ...]:
    """See `Repository.identities`: camera, since and until; of all cameras where `seen_cameras` is None."""
    camera, since_us, until_us = asked
    chosen: list[ColumnElement[bool]] = []
    if seen_cameras is not None:
        chosen.append(Camera.name.in_(seen_cameras))
    if camera is not None:
        chosen.append(Camera.name == camera)
    if since_us is not None:
        chosen.append(Tracklet.last_us >= since_us)
    if until_us is not None:
        chosen.append(Tracklet.first_us < until_us)
    query = (
        select(
            Tracklet.identity,
            Camera.name,
            func.count(),
            func.min(Tracklet.first_us),
            func.max(Tracklet.last_us),
        )
        .join(Camera, Camera.id == Tracklet.camera_id)
        .where(*(chosen or [true()]))
        .group_by(Tracklet.identity, Camera.name)
        .order_by(Camera.name)
    )
    seen: defaultdict[int, list[tuple[str, int, int, int]]] = defaultdict(list)
    for identity, name, count, first_us, last_us in session.execute(query):
        if identity is not None:
            seen[identity].append((name, count, first_us, last_us))
    rows = session.execute(select(Identity.id, Identity.merged_into, Identity.vacant).order_by(Identity.id))
    return tuple(_overview(*row, seen.get(row[0], [])) for row in rows if not chosen or row[0] in seen)


def _overview(
    identity: int, merged_into: int | None, vacant: bool, seen: list[tuple[str, int, int, int]]
) -> IdentityOverview:
    return IdentityOverview(
        identity,
        merged_into,
        vacant,
        cameras=tuple(name for name, *_ in seen),
        tracklets=sum(count for _, count, _, _ in seen),
        first_us=min((first_us for *_, first_us, _ in seen), default=None),
        last_us=max((last_us for *_, last_us in seen), default=None),
    )


def read_journey(session: Session, identity: int, seen_cameras: Collection[str] | None) -> JourneyRecord:
    """See `Repository.journey`: what some cameras saw of it, or all where that is None."""
    connection = session.connection()
    survivor = survivor_of(connection, identity)
    merged = select(Identity.id).where(Identity.merged_into == survivor).order_by(Identity.id)
    probabilities = {row: probability for row, _, probability in connection.execute(assignments(survivor))}
    crops, views = _read_crops(session, survivor), _count_views(session, survivor)
    query = (
        select(Tracklet.id, Camera.name, Tracklet.number, Tracklet.first_us, Tracklet.last_us)
        .join(Camera, Camera.id == Tracklet.camera_id)
        .where(Tracklet.identity == survivor)
        .order_by(Tracklet.first_us, Camera.name, Tracklet.number)
    )
    tracklets = tuple(
        JourneyTracklet(
            camera, number, first_us, last_us, probabilities.get(row), views.get(row, 0), tuple(crops.get(row, ()))
        )
        for row, camera, number, first_us, last_us in session.execute(query)
        if seen_cameras is None or camera in seen_cameras
    )
    if seen_cameras is not None and not tracklets:
        raise UnknownRecord(f"identity {identity} is not in the database; it was never opened")
    runs = select(Run.models).where(Run.id.in_(select(Tracklet.run_id).where(Tracklet.identity == survivor)))
    models = tuple(session.scalars(runs.order_by(Run.id)))
    return JourneyRecord(survivor, tuple(session.scalars(merged)), tracklets, models)


def _read_crops(session: Session, identity: int) -> Mapping[int, list[CropRecord]]:
    query = (
        select(Crop)
        .join(Tracklet, Tracklet.id == Crop.tracklet_id)
        .where(Tracklet.identity == identity)
        .order_by(Crop.time_us)
    )
    crops: defaultdict[int, list[CropRecord]] = defaultdict(list)
    for crop in session.scalars(query):
        box = (crop.x1, crop.y1, crop.x2, crop.y2)
        crops[crop.tracklet_id].append(CropRecord(crop.path, crop.frame, crop.time_us, crop.quality, box))
    return crops


def _count_views(session: Session, identity: int) -> Mapping[int, int]:
    """By embeddings, which outlive the pictures; two models may have seen one view."""
    query = (
        select(Embedding.tracklet_id, func.count(distinct(Embedding.time_us)))
        .join(Tracklet, Tracklet.id == Embedding.tracklet_id)
        .where(Tracklet.identity == identity)
        .group_by(Embedding.tracklet_id)
    )
    return dict(session.execute(query).all())
