"""Row ids of cameras, models and open tracklets, remembered by the writer between commits."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.schema import Camera, Model, Tracklet


def find_or_add_camera(session: Session, name: str) -> int:
    """The row of a camera, made where it is new."""
    row = session.scalar(select(Camera.id).where(Camera.name == name))
    if row is None:
        row = session.scalars(insert(Camera).values(name=name, next_number=1).returning(Camera.id)).one()
    return row


class RowIds:
    """Finds row ids by the names that the run uses.

    Only cameras, models and the tracklets that it was told of are remembered: it holds nothing more than what is open.
    """

    def __init__(self) -> None:
        self._cameras: dict[str, int] = {}
        self._models: dict[str, int] = {}
        self._tracklets: dict[tuple[str, int], int] = {}

    def camera(self, connection: Connection, name: str) -> int:
        """The row of a camera.

        Raises:
            UnknownRecord: It has none.
        """
        if name not in self._cameras:
            row = connection.scalar(select(Camera.id).where(Camera.name == name))
            if row is None:
                raise UnknownRecord(f"camera {name!r} is not in the database; open its source first")
            self._cameras[name] = row
        return self._cameras[name]

    def model(self, connection: Connection, model_hash: str) -> int:
        """The row of a model.

        Raises:
            UnknownRecord: It has none.
        """
        if model_hash not in self._models:
            row = connection.scalar(select(Model.id).where(Model.hash == model_hash))
            if row is None:
                raise UnknownRecord(f"model {model_hash!r} is not in the database; register it first")
            self._models[model_hash] = row
        return self._models[model_hash]

    def tracklet(self, connection: Connection, camera: str, number: int) -> int:
        """The row of a tracklet.

        Raises:
            UnknownRecord: It has none.
        """
        row = self._tracklets.get((camera, number))
        if row is None:
            query = select(Tracklet.id).where(
                Tracklet.camera_id == self.camera(connection, camera), Tracklet.number == number
            )
            row = connection.scalar(query)
        if row is None:
            raise UnknownRecord(f"tracklet {number} of camera {camera!r} is not in the database; it was never begun")
        return row

    def remember_tracklet(self, camera: str, number: int, row: int) -> None:
        """Keeps the row of a tracklet that was just inserted, until `forget_tracklet`."""
        self._tracklets[camera, number] = row

    def forget_tracklet(self, camera: str, number: int) -> None:
        """Drops a tracklet that ended; it is looked up again if a late decision names it."""
        self._tracklets.pop((camera, number), None)
