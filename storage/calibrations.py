"""What similarities mean on a site: a row for each pair of cameras and model, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, aliased

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.schema import Calibration, Camera, Model


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """The log-odds that two tracklets are one person: ``intercept + slope * similarity``.

    Attributes:
        cameras: The two cameras by name, in order, twice the same for pairs in one. None: any.
        one_camera: Whether it is about pairs in one camera.
        intercept: Log-odds at similarity 0.
        slope: Log-odds a unit of similarity, above 0.
        share: Part of the pairs that are one person, as it was when this was fitted.
        tracklets: How many these pairs were made of.
        pairs: How many pairs of these cameras there were.
        fitted_us: When.
    """

    cameras: tuple[str, str] | None
    one_camera: bool
    intercept: float
    slope: float
    share: float
    tracklets: int
    pairs: int
    fitted_us: int


def read_calibrations(session: Session, model_hash: str) -> tuple[CalibrationRecord, ...]:
    """See `Repository.calibrations`."""
    first, second = aliased(Camera), aliased(Camera)
    query = (
        select(Calibration, first.name, second.name)
        .join(Model, Model.id == Calibration.model_id)
        .outerjoin(first, first.id == Calibration.first_camera_id)
        .outerjoin(second, second.id == Calibration.second_camera_id)
        .where(Model.hash == model_hash)
        .order_by(Calibration.id)
    )
    return tuple(_record(row, *names) for row, *names in session.execute(query))


def replace_calibrations(session: Session, model_hash: str, records: Iterable[CalibrationRecord]) -> None:
    """See `Repository.replace_calibrations`."""
    model_id = session.scalar(select(Model.id).where(Model.hash == model_hash))
    if model_id is None:
        raise UnknownRecord(f"model {model_hash!r} is not in the database; register it first")
    cameras = dict(session.execute(select(Camera.name, Camera.id)).all())
    session.execute(delete(Calibration).where(Calibration.model_id == model_id))
    for record in records:
        missing = [name for name in record.cameras or () if name not in cameras]
        if missing:
            raise UnknownRecord(f"camera {missing[0]!r} is not in the database; open its source first")
        first, second = record.cameras or (None, None)
        session.add(
            Calibration(
                model_id=model_id,
                first_camera_id=None if first is None else cameras[first],
                second_camera_id=None if second is None else cameras[second],
                one_camera=record.one_camera,
                intercept=record.intercept,
                slope=record.slope,
                share=record.share,
                tracklets=record.tracklets,
                pairs=record.pairs,
                fitted_us=record.fitted_us,
            )
        )


def _record(row: Calibration, first: str | None, second: str | None) -> CalibrationRecord:
    cameras = None if first is None or second is None else (first, second)
    return CalibrationRecord(
        cameras, row.one_camera, row.intercept, row.slope, row.share, row.tracklets, row.pairs, row.fitted_us
    )
