"""How one `Changes` becomes rows: the statements of the writer's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from reid_pipeline.storage.box_codec import pack_boxes
from reid_pipeline.storage.corpus_writing import CorpusAppender, extend_tracklets
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.encryption import Sealer, Vault
from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.identity_log import IdentityLog
from reid_pipeline.storage.records import BoxRun, Changes, NewTracklet, SourceProgress, TrackletEnd, View
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Crop, Embedding, Segment, Source, Tracklet
from reid_pipeline.storage.vector_bytes import VectorName, seal_vector
from reid_pipeline.storage.watch_alerts import store_alerts

# Made once: to put a statement together takes longer than SQLite does to execute it.
_ADD_TRACKLET: Final = insert(Tracklet).returning(Tracklet.id, Tracklet.camera_id, Tracklet.number)
_ADD_SEGMENT: Final = insert(Segment)
_ADD_CROP: Final = insert(Crop).returning(Crop.id, Crop.tracklet_id, Crop.frame)
_ADD_EMBEDDING: Final = insert(Embedding)
_OF_ROW: Final = update(Tracklet).where(Tracklet.id == bindparam("row"))
_EXTEND: Final = _OF_ROW.values(last_frame=bindparam("frame"), last_us=bindparam("time_us"))
_CLOSE: Final = _OF_ROW.values(closed=True)


class ChangeApplier:
    """Applies changes inside a transaction of the caller.

    It remembers row ids and operators' words between calls: after a transaction that was rolled back, make a new one.
    """

    def __init__(self, crops: CropStore, corpus: CorpusAppender, vault: Vault) -> None:
        self._crops = crops
        self._vault = vault
        self._corpus = corpus
        self._rows = RowIds()
        self._identities = IdentityLog(self._rows)

    def apply(self, connection: Connection, changes: Changes) -> Sequence[str]:
        """Writes the files of new views and crops of the corpus, then all rows.

        Returns:
            Paths of crops that no row names once the transaction is committed; to be deleted then.

        Raises:
            UnknownRecord: The changes name a camera, source, tracklet, identity or model that does not exist.
            CropError: A camera's name cannot be a folder's.
            OSError: A crop cannot be written.
        """
        self._begin_tracklets(connection, changes.new_tracklets)
        self._append_boxes(connection, changes.boxes)
        replaced = self._store_views(connection, changes.views)
        self._corpus.collect(connection, self._rows, changes.corpus)
        if changes.identity_events:
            self._identities.apply(connection, changes.identity_events)
        store_alerts(connection, self._rows, changes.alerts)
        self._end_tracklets(connection, changes.ends)
        _store_progress(connection, changes.progress)
        return replaced

    def _begin_tracklets(self, connection: Connection, tracklets: Sequence[NewTracklet]) -> None:
        if not tracklets:
            return
        rows = [self._tracklet_row(connection, each) for each in tracklets]
        ids = {(camera, number): row for row, camera, number in connection.execute(_ADD_TRACKLET, rows)}
        following: dict[int, int] = {}
        for each in tracklets:
            camera = self._rows.camera(connection, each.camera)
            self._rows.remember_tracklet(each.camera, each.number, ids[camera, each.number])
            following[camera] = max(following.get(camera, 0), each.number + 1)
        for camera, number in following.items():
            counter = update(Camera).where(Camera.id == camera, Camera.next_number < number)
            connection.execute(counter.values(next_number=number))

    def _tracklet_row(self, connection: Connection, tracklet: NewTracklet) -> dict[str, object]:
        return {
            "camera_id": self._rows.camera(connection, tracklet.camera),
            "run_id": tracklet.run_id,
            "source_id": tracklet.source_id,
            "number": tracklet.number,
            "first_frame": tracklet.first_frame,
            "last_frame": tracklet.first_frame,
            "first_us": tracklet.first_us,
            "last_us": tracklet.first_us,
            "closed": False,
        }

    def _append_boxes(self, connection: Connection, runs: Sequence[BoxRun]) -> None:
        if not runs:
            return
        segments = [
            {
                "tracklet_id": self._rows.tracklet(connection, run.camera, run.number),
                "first_frame": int(run.frames[0]),
                "last_frame": int(run.frames[-1]),
                "first_us": int(run.times_us[0]),
                "last_us": int(run.times_us[-1]),
                "data": pack_boxes(run.arrays()),
            }
            for run in runs
        ]
        connection.execute(_ADD_SEGMENT, segments)
        ends = [{"row": s["tracklet_id"], "frame": s["last_frame"], "time_us": s["last_us"]} for s in segments]
        connection.execute(_EXTEND, ends)
        extend_tracklets(connection, [{"row": each["row"], "time_us": each["time_us"]} for each in ends])

    def _store_views(self, connection: Connection, views: Sequence[View]) -> Sequence[str]:
        """Inserts first, then removes what was replaced: a view may replace another one of the same commit."""
        if not views:
            return ()
        # The files before their rows, and the rows in a transaction that may fail: a row never names a missing file.
        sealer = self._vault.sealer(connection)
        crops = [self._crop_row(connection, view, sealer) for view in views]
        ids = {(tracklet, frame): crop for crop, tracklet, frame in connection.execute(_ADD_CROP, crops)}
        embeddings = [
            {
                "tracklet_id": row["tracklet_id"],
                "crop_id": ids[row["tracklet_id"], row["frame"]],
                "model_id": self._rows.model(connection, view.model_hash),
                "quality": view.quality,
                "time_us": view.time_us,
                "vector": seal_vector(
                    sealer, VectorName(view.camera, view.number, view.time_us, view.model_hash), view.embedding
                ),
            }
            for row, view in zip(crops, views, strict=True)
        ]
        connection.execute(_ADD_EMBEDDING, embeddings)
        replaced: list[str] = []
        for view in views:
            if view.replaces is not None:
                tracklet = self._rows.tracklet(connection, view.camera, view.number)
                replaced += _remove_view(connection, tracklet, view.replaces)
        return replaced

    def _crop_row(self, connection: Connection, view: View, sealer: Sealer) -> dict[str, Any]:
        """Writes the file of a view and gives its row."""
        x1, y1, x2, y2 = view.box
        return {
            "tracklet_id": self._rows.tracklet(connection, view.camera, view.number),
            "frame": view.frame,
            "time_us": view.time_us,
            "quality": view.quality,
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
            "path": self._crops.write(view.camera, view.time_us, view.number, view.frame, view.jpeg, sealer),
            "bytes": len(view.jpeg),
        }

    def _end_tracklets(self, connection: Connection, ends: Sequence[TrackletEnd]) -> None:
        if not ends:
            return
        rows = [{"row": self._rows.tracklet(connection, each.camera, each.number)} for each in ends]
        connection.execute(_CLOSE, rows)
        for each in ends:
            self._rows.forget_tracklet(each.camera, each.number)


def _remove_view(connection: Connection, tracklet: int, frame: int) -> Sequence[str]:
    """Removes the view of a frame with its embedding; one that is gone already (its time was up) is no error."""
    crop = select(Crop.id).where(Crop.tracklet_id == tracklet, Crop.frame == frame)
    connection.execute(delete(Embedding).where(Embedding.crop_id.in_(crop)))
    removed = delete(Crop).where(Crop.tracklet_id == tracklet, Crop.frame == frame).returning(Crop.path)
    return connection.scalars(removed).all()


def _store_progress(connection: Connection, progress: Sequence[SourceProgress]) -> None:
    for each in progress:
        changed = connection.execute(
            update(Source)
            .where(Source.id == each.source_id)
            .values(frames_committed=each.frames_committed, finished=each.finished)
        )
        if not changed.rowcount:
            raise UnknownRecord(f"source {each.source_id} is not in the database; open it first")
