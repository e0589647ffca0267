"""The plan of a site that its map is drawn on, and where each camera stands on it."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import InputError
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.schema import Camera
from reid_pipeline.storage.schema_governance import CameraPlace, FloorPlan

LARGEST_BYTES: Final = 10_000_000
_LARGEST_PIXELS: Final = 50_000_000  # more could fill the memory, however few bytes they are
_LONGEST_SIDE_PX: Final = 1800
_JPEG_QUALITY: Final = 85
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_SIZES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # the segments of a JPEG that tell its size


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the plan: parts of its width and height, 0 to 1 from the top left."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.x <= 1.0 and 0.0 <= self.y <= 1.0):
            raise InputError(f"place {self.x}, {self.y}: expected both from 0 to 1, parts of width and height")


class FloorPlans:
    """Reads and changes the plan, for one person. Each change is one transaction with its entry in the audit log.

    Args:
        database: Of the site.
        access: Of who looks: they are told of no other cameras.

    Raises:
        NotAllowed: They may see nothing.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require(Permission.SEE)
        self._database = database
        self._access = access

    def picture(self) -> bytes | None:
        """The plan as JPEG; None where there is none."""
        with self._database.session_scope() as session:
            return session.scalar(select(FloorPlan.picture))

    def places(self) -> Mapping[str, Place]:
        """Where cameras stand; those that nobody has placed are left out."""
        query = select(Camera.name, CameraPlace.x, CameraPlace.y).join(Camera, Camera.id == CameraPlace.camera_id)
        with self._database.session_scope() as session:
            rows = session.execute(query.order_by(Camera.name))
            return {name: Place(x, y) for name, x, y in rows if self._access.sees(name)}

    def replace(self, upload: bytes) -> None:
        """Takes another picture as the plan; places of cameras stay.

        Raises:
            NotAllowed: They may not.
            InputError: It is no PNG or JPEG, or too large.
        """
        self._access.require_all_cameras(Permission.MANAGE)
        picture = encode_plan(upload)
        with self._database.session_scope(write=True) as session:
            session.merge(FloorPlan(id=1, picture=picture, changed_us=time.time_ns() // 1000))
            self._note(session, {"what": "replace"})

    def remove(self) -> None:
        """Removes the plan; places of cameras stay.

        Raises:
            NotAllowed: They may not.
        """
        self._access.require_all_cameras(Permission.MANAGE)
        with self._database.session_scope(write=True) as session:
            session.execute(delete(FloorPlan))
            self._note(session, {"what": "remove"})

    def place(self, camera: str, place: Place) -> None:
        """Says where a camera stands.

        Raises:
            NotAllowed: They may not, or do not see it.
            InputError: There is no such camera.
        """
        self._access.require_camera(Permission.MANAGE, camera)
        with self._database.session_scope(write=True) as session:
            row = session.scalar(select(Camera.id).where(Camera.name == camera))
            if row is None:
                raise InputError(f"camera {camera}: is not known: expected one that was read")
            session.merge(CameraPlace(camera_id=row, x=place.x, y=place.y))
            self._note(session, {"what": "place", "camera": camera, "x": round(place.x, 3), "y": round(place.y, 3)})

    def _note(self, session: Session, subject: Mapping[str, object]) -> None:
        AuditLog(self._database).note_in(session.connection(), self._access.name, Action.PLAN, "", subject)


def encode_plan(upload: bytes) -> bytes:
    """A picture as it is kept: a JPEG of moderate size, in which nothing is left of the file but what is seen.

    Raises:
        InputError: It is no PNG or JPEG, or too large.
    """
    import cv2

    if len(upload) > LARGEST_BYTES:
        raise InputError(f"plan: {len(upload) / 1e6:.1f} MB: expected at most {LARGEST_BYTES // 1_000_000} MB")
    width, height = size_of_plan(upload)
    if not 0 < width * height <= _LARGEST_PIXELS:
        raise InputError(f"plan: {width} x {height} pixels: expected at most {_LARGEST_PIXELS // 1_000_000} million")
    picture = _decode(upload)
    shrink = min(1.0, _LONGEST_SIDE_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1.0 else picture
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()


def _decode(upload: bytes) -> NDArray[np.uint8]:
    """The picture, ``(H, W, 3)`` BGR; what is transparent in it is white, as paper."""
    import cv2

    content = np.frombuffer(upload, np.uint8)
    how = cv2.IMREAD_UNCHANGED if upload.startswith(_PNG) else cv2.IMREAD_COLOR
    picture: NDArray[Any] | None = cv2.imdecode(content, how)
    if picture is not None and (picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] == 3):
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError("plan: cannot be read: expected a whole PNG or JPEG")
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:].astype(np.float32) / 255
        return (picture[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(picture, np.uint8)


def size_of_plan(upload: bytes) -> tuple[int, int]:
    """Width and height of a PNG or JPEG in pixels, from its head: before anything is decoded.

    Raises:
        InputError: It is neither.
    """
    try:
        if upload.startswith(_PNG):
            width, height = struct.unpack_from(">II", upload, 16)
            return width, height
        if upload.startswith(_JPEG):
            height, width = next(_jpeg_sizes(upload))
            return width, height
    except (struct.error, StopIteration):
        pass
    raise InputError("plan: is no PNG or JPEG: expected one of these, such as an exported drawing")


def _jpeg_sizes(upload: bytes) -> Iterator[tuple[int, int]]:
    """Height and width from each segment that tells them."""
    at = len(_JPEG)
    while True:
        mark, kind, length = struct.unpack_from(">BBH", upload, at)
        if mark != 0xFF:
            return
        if kind in _SIZES:
            height, width = struct.unpack_from(">HH", upload, at + 5)
            yield height, width
        at += 2 + length
