"""Every question to the database of a site, and everything that is set up before a run writes.

Each method is one short transaction; those that return an iterator read while it is consumed. What a run finds goes
through `writer` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Row, Select, distinct, exists, func, select, true, update
from sqlalchemy.orm import Session

from reid_pipeline.configs.log import redact_url
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.box_codec import unpack_boxes
from reid_pipeline.storage.calibrations import CalibrationRecord, read_calibrations, replace_calibrations
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore, camera_of
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.identity_log import read_history
from reid_pipeline.storage.journeys import IdentityOverview, JourneyRecord, read_identities, read_journey
from reid_pipeline.storage.operator_words import read_links, read_news
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Permission
from reid_pipeline.storage.records import (
    CameraTotals,
    GalleryRow,
    IdentityLogRecord,
    IdentityRecord,
    ModelRecord,
    OperatorLink,
    OperatorNews,
    RunStatus,
    SourceSpec,
    SourceState,
    Totals,
    TrackletBoxes,
)
from reid_pipeline.storage.removal import check_removable, remove_results
from reid_pipeline.storage.row_ids import find_or_add_camera
from reid_pipeline.storage.schema import Camera, Crop, Embedding, Identity, Model, Run, Segment, Site, Source, Tracklet
from reid_pipeline.storage.tracklet_views import TrackletViews, ViewFilter, read_views
from reid_pipeline.storage.vector_bytes import VectorName, open_vectors

_ROWS_AT_ONCE = 500  # some 100 kB of boxes or vectors: enough that the cost per fetch vanishes


class Repository:
    """Reads one site, and sets up runs, models and sources.

    Args:
        database: Of the site.
        crops: Its pictures.
        access: Of whoever asks: what is about people is only what they may see, and `NotAllowed` where that is nothing
            at all. A run and what learns may see everything.
    """

    def __init__(self, database: Database, crops: CropStore, access: Access = MACHINE_ACCESS) -> None:
        self._database = database
        self._crops = crops
        self._access = access

    # Runs

    def begin_run(self, settings: Mapping[str, object], models: Mapping[str, object], started_us: int) -> int:
        """Adds a run and returns its id.

        Args:
            settings: What it was configured with, without secrets.
            models: Its models, by what they are used for.
            started_us: Wall-clock time.
        """
        with self._database.session_scope(write=True) as session:
            run = Run(
                started_us=started_us, status=RunStatus.RUNNING.value, settings=dict(settings), models=dict(models)
            )
            session.add(run)
            session.flush()
            return run.id

    def last_models(self) -> Mapping[str, object]:
        """The models of the latest run, by what they are used for; empty where there was none."""
        with self._database.session_scope() as session:
            return session.scalar(select(Run.models).order_by(Run.id.desc()).limit(1)) or {}

    def last_settings(self) -> Mapping[str, object]:
        """What the latest run was configured with; empty where there was none."""
        with self._database.session_scope() as session:
            return session.scalar(select(Run.settings).order_by(Run.id.desc()).limit(1)) or {}

    def end_run(self, run_id: int, status: RunStatus, ended_us: int) -> None:
        """Notes how a run ended.

        Raises:
            UnknownRecord: There is no such run.
        """
        with self._database.session_scope(write=True) as session:
            run = session.get(Run, run_id)
            if run is None:
                raise UnknownRecord(f"run {run_id} is not in the database")
            run.status, run.ended_us = status.value, ended_us

    def close_stale_tracklets(self) -> int:
        """Closes the tracklets that a killed run left open and marks that run as failed; returns how many.

        Call it under `Database.lock_for_run`, before `begin_run`.
        """
        with self._database.session_scope(write=True) as session:
            running = Run.status == RunStatus.RUNNING.value
            session.execute(update(Run).where(running).values(status=RunStatus.FAILED.value))
            closing = update(Tracklet).where(~Tracklet.closed).values(closed=True).returning(Tracklet.id)
            return len(session.scalars(closing).all())

    def remove_orphan_crops(self) -> int:
        """Removes crop files that no row names, as a killed run leaves them; returns how many.

        Call it under `Database.lock_for_run`, before a writer starts.
        """
        with self._database.session_scope() as session:
            named = frozenset(session.scalars(select(Crop.path)))
        return self._crops.delete_except(named)

    # Models and sources

    def register_model(self, model: ModelRecord) -> None:
        """Adds a model; one that is there already stays as it is."""
        with self._database.session_scope(write=True) as session:
            if not session.scalar(select(exists().where(Model.hash == model.hash))):
                session.add(Model(hash=model.hash, name=model.name, task=model.task, licence=model.licence))

    def open_source(self, spec: SourceSpec, *, again: bool = False) -> SourceState:
        """Makes a source the current one of its camera, and says where to go on.

        The fingerprint decides: a known one goes on after its last committed frame, with the start of the first time;
        a new one begins at frame 0.

        Args:
            spec: What is to be read.
            again: Whether to begin anew with the start of `spec`, and to remove what this source gave before.

        Raises:
            ErasureRefused: It was to begin anew, but shows somebody who was erased, or something that a case holds.
        """
        removed: Sequence[str] = ()
        with self._database.session_scope(write=True) as session:
            source = _find_or_add_source(session, spec)
            if again:
                check_removable(session, source.id, spec.location)
                removed = remove_results(session, source, AuditLog(self._database), self._access.name)
                source.frames_committed, source.finished, source.start_us = 0, False, spec.start_us
            state = SourceState(source.id, source.start_us, source.frames_committed, source.finished)
        self._crops.delete(removed)
        if again:
            CorpusStore(self._database).recover()
        return state

    # What embeddings say

    def embedding_models(self) -> tuple[ModelRecord, ...]:
        """The models of which embeddings are stored, in the order of their first use."""
        used = exists().where(Embedding.model_id == Model.id)
        with self._database.session_scope() as session:
            models = session.scalars(select(Model).where(used).order_by(Model.id))
            return tuple(ModelRecord(each.hash, each.name, each.task, each.licence) for each in models)

    def tracklet_views(self, model_hash: str, wanted: ViewFilter) -> Iterator[TrackletViews]:
        """Tracklets with their views by one model, by camera and number; a tracklet without such views is left out."""
        self._access.require(Permission.SEARCH)
        narrowed = self._access.narrow(wanted)
        if narrowed is not None:
            with self._database.session_scope() as session:
                yield from read_views(session, model_hash, narrowed, self._database.vault)

    def calibrations(self, model_hash: str) -> tuple[CalibrationRecord, ...]:
        """What similarities by a model mean here; empty where nothing was learnt yet."""
        with self._database.session_scope() as session:
            return read_calibrations(session, model_hash)

    def replace_calibrations(self, model_hash: str, records: Iterable[CalibrationRecord]) -> None:
        """Stores what similarities by a model mean, in place of what was stored of that model.

        Raises:
            UnknownRecord: The model or a camera is not in the database.
        """
        with self._database.session_scope(write=True) as session:
            replace_calibrations(session, model_hash, records)

    # Counters

    def next_number(self, camera: str) -> int:
        """The number that the next tracklet of a camera gets; 1 for a camera that is not known yet."""
        with self._database.session_scope() as session:
            return session.scalar(select(Camera.next_number).where(Camera.name == camera)) or 1

    def next_identity(self) -> int:
        """The number that the next identity gets."""
        with self._database.session_scope() as session:
            return session.scalars(select(Site.next_identity)).one()

    # Tracklets

    def camera_names(self) -> tuple[str, ...]:
        """All cameras that were ever read and may be seen, by name."""
        with self._database.session_scope() as session:
            return self._access.only(session.scalars(select(Camera.name)).all())

    def tracklet_boxes(self, camera: str, source_id: int | None = None) -> Iterator[TrackletBoxes]:
        """The tracklets of one source of a camera with all their boxes, by number.

        Args:
            camera: Name of the camera; an unknown one has no tracklets.
            source_id: Which source; the current one if left out.
        """
        if not self._may_see(camera):
            return iter(())
        chosen = Source.current if source_id is None else Source.id == source_id
        source = select(Source.id).join(Camera, Camera.id == Source.camera_id).where(Camera.name == camera, chosen)
        return self._read_boxes(_boxes_query().where(Tracklet.source_id == source.scalar_subquery()))

    def tracklet_boxes_between(self, camera: str, since_us: int, until_us: int) -> Iterator[TrackletBoxes]:
        """The boxes of a camera with ``since_us <= time_us < until_us``, whatever the source, by tracklet number."""
        if not self._may_see(camera):
            return
        query = _boxes_query().where(
            Tracklet.camera_id == select(Camera.id).where(Camera.name == camera).scalar_subquery(),
            Tracklet.last_us >= since_us,
            Tracklet.first_us < until_us,
            Segment.last_us >= since_us,
            Segment.first_us < until_us,
        )
        for tracklet in self._read_boxes(query):
            inside = (tracklet.times_us >= since_us) & (tracklet.times_us < until_us)
            if inside.any():
                yield TrackletBoxes(tracklet.number, tracklet.identity, *tracklet.arrays().where(inside))

    def totals(self, run_id: int | None = None) -> Totals:
        """Counts of tracklets and identities, of one run or of all; cameras by name, also those without any."""
        of_run = true() if run_id is None else Tracklet.run_id == run_id
        tracklets, identities = func.count(Tracklet.id), func.count(distinct(Tracklet.identity))
        with self._database.session_scope() as session:
            site = session.execute(select(tracklets, identities).where(of_run)).one()
            cameras = session.execute(
                select(Camera.name, tracklets, identities)
                .outerjoin(Tracklet, (Tracklet.camera_id == Camera.id) & of_run)
                .group_by(Camera.name)
                .order_by(Camera.name)
            ).all()
        return Totals(site[0], site[1], tuple(CameraTotals(*row) for row in cameras))

    # Identities

    def gallery(self, model_hash: str, since_us: int) -> Iterator[GalleryRow]:
        """All views of identified tracklets since a capture time, by one model, in the order of capture."""
        query = (
            select(
                Identity.id,
                Camera.name,
                Tracklet.number,
                Embedding.time_us,
                Embedding.quality,
                Embedding.vector,
                Tracklet.first_us,
                Tracklet.last_us,
            )
            .select_from(Embedding)
            .join(Model, Model.id == Embedding.model_id)
            .join(Tracklet, Tracklet.id == Embedding.tracklet_id)
            .join(Identity, Identity.id == Tracklet.identity)
            .join(Camera, Camera.id == Tracklet.camera_id)
            .where(Model.hash == model_hash, Embedding.time_us >= since_us)
            .order_by(Embedding.time_us, Camera.name, Tracklet.number)
        )
        query = query.execution_options(yield_per=_ROWS_AT_ONCE)
        with self._database.session_scope() as session, session.execute(query) as rows:
            for identity, camera, number, time_us, quality, vector, first_us, last_us in rows:
                name = VectorName(camera, number, time_us, model_hash)
                [array] = open_vectors(self._database.vault, session, [(name, vector)])
                yield GalleryRow(identity, camera, number, time_us, quality, array, first_us, last_us)

    def identity(self, number: int) -> IdentityRecord:
        """An identity, merged or not.

        Raises:
            UnknownRecord: It was never opened.
        """
        with self._database.session_scope() as session:
            row = session.get(Identity, number)
            if row is None:
                raise UnknownRecord(f"identity {number} is not in the database; it was never opened")
            return IdentityRecord(row.id, row.opened_us, row.merged_into, row.vacant)

    def identity_history(self, identity: int) -> tuple[IdentityLogRecord, ...]:
        """The decisions that name an identity on either side, oldest first."""
        self._access.require(Permission.SEE)
        with self._database.session_scope() as session:
            entries = read_history(session, identity)
        return tuple(each for each in entries if each.camera is None or self._access.sees(each.camera))

    def identities(
        self, camera: str | None = None, since_us: int | None = None, until_us: int | None = None
    ) -> tuple[IdentityOverview, ...]:
        """All identities by number, or those with a tracklet in a camera or a time; only such tracklets are counted.

        Args:
            camera: Name of the camera; an unknown one has seen nobody.
            since_us: Tracklets that last at least until then.
            until_us: Tracklets that begin before then.
        """
        self._access.require(Permission.SEE)
        with self._database.session_scope() as session:
            return read_identities(session, (camera, since_us, until_us), self._access.cameras)

    def journey(self, identity: int) -> JourneyRecord:
        """Where an identity went, or who it was merged into.

        Raises:
            UnknownRecord: It was never opened, or no camera that may be seen saw it.
        """
        self._access.require(Permission.SEE)
        with self._database.session_scope() as session:
            return read_journey(session, identity, self._access.cameras)

    def read_crop(self, path: str) -> bytes:
        """The JPEG bytes of a crop, as `JourneyRecord` names it.

        Raises:
            NotAllowed: Its camera may not be seen.
            CropError: There is no such crop any more.
        """
        self._access.require_camera(Permission.SEE, camera_of(path))
        return self._crops.read(path)

    def operator_links(self) -> tuple[OperatorLink, ...]:
        """What operators have said about pairs of tracklets, in the order of cameras and numbers.

        As few as say all, if who is one with somebody is not those whom that one is not: the other links follow. Links
        of one person lead from the first of several tracklets to each other.
        """
        with self._database.session_scope() as session:
            return read_links(session.connection())

    def operator_news(self, after: int = -1) -> OperatorNews | None:
        """What operators have decided about identities since the last time; None where there is nothing new.

        Args:
            after: `OperatorNews.log_id` of the last time.
        """
        with self._database.session_scope() as session:
            return read_news(session.connection(), after)

    def _may_see(self, camera: str) -> bool:
        self._access.require(Permission.SEE)
        return self._access.sees(camera)

    def _read_boxes(self, query: Select[int, int | None, bytes]) -> Iterator[TrackletBoxes]:
        query = query.execution_options(yield_per=_ROWS_AT_ONCE)
        with self._database.session_scope() as session, session.execute(query) as rows:
            yield from _join_segments(rows)


def _find_or_add_source(session: Session, spec: SourceSpec) -> Source:
    camera = find_or_add_camera(session, spec.camera)
    # In two steps: a camera has one current source at any time.
    session.execute(update(Source).where(Source.camera_id == camera, Source.current).values(current=False))
    known = select(Source).where(Source.camera_id == camera, Source.fingerprint == spec.fingerprint)
    source = session.scalar(known)
    if source is None:
        source = Source(
            camera_id=camera,
            fingerprint=spec.fingerprint,
            start_us=spec.start_us,
            frames_committed=0,
            finished=False,
        )
        session.add(source)
    source.location = redact_url(spec.location)
    source.live = spec.live
    source.current = True
    session.flush()
    return source


def _boxes_query() -> Select[int, int | None, bytes]:
    return (
        select(Tracklet.number, Tracklet.identity, Segment.data)
        .join(Segment, Segment.tracklet_id == Tracklet.id)
        .order_by(Tracklet.number, Segment.first_frame)
    )


def _join_segments(rows: Iterable[Row[int, int | None, bytes]]) -> Iterator[TrackletBoxes]:
    for (number, identity), segments in groupby(rows, key=itemgetter(0, 1)):
        yield TrackletBoxes(number, identity, *unpack_boxes(b"".join(data for _, _, data in segments)))
