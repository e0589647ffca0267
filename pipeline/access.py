"""Access: what a site keeps of one person, for that person: their journey, and everybody else made unrecognisable.

Whoever else the tracker knows in the same frame is blurred out of the pictures, also while hidden for a moment. Who was
never detected is not: look through the pictures before you hand them over. Footage is left out, which shows everybody.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.journey import Export, export_journey, find_journey, to_json
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.pipeline.views import encode_jpeg
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.journeys import CropRecord, JourneyRecord, JourneyTracklet
from reid_pipeline.storage.permissions import Permission
from reid_pipeline.storage.records import TrackletBoxes
from reid_pipeline.storage.repository import Repository

RECORDS_NAME: Final = "records.json"
_HIDDEN_US: Final = 1_000_000  # how long somebody may be there who is not detected
_BLOCKS: Final = 3  # what is left of the shorter side of somebody else: no face, no clothes


def export_access(database: Database, site: str, identity: int, folder: Path) -> Export:
    """Writes what there is of an identity into a folder: the files of a journey and ``records.json``.

    Args:
        database: Of the site.
        site: Its name.
        identity: Whose.
        folder: New or empty.

    Raises:
        InputError: There is no such identity; or the folder holds something, or cannot be written.
    """
    crops = CropStore(database.data_dir, database.vault)
    repository = Repository(database, crops)
    journey = find_journey(repository, identity)
    records = {RECORDS_NAME: to_json(_records(database, repository, journey))}
    return export_journey(journey, site, OthersBlurred(repository, crops, journey), folder, records)


def access_archive(site: SiteData, identity: int, reason: str) -> bytes:
    """The files of `export_access` as a ZIP, for somebody who asked; it is accounted for.

    Raises:
        NotAllowed: They may not.
        InputError: There is no such identity.
    """
    site.access.require_all_cameras(Permission.EXPORT)
    with tempfile.TemporaryDirectory() as folder:
        written = export_access(site.database, site.name, identity, Path(folder))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(written.folder.rglob("*")):
                archive.write(path, path.relative_to(written.folder))
    AuditLog(site.database).note(site.access.name, Action.ACCESS, reason, {"identity": identity})
    return content.getvalue()


class OthersBlurred:
    """The crops of a journey with everybody else blurred; see `journey.Pictures`."""

    def __init__(self, repository: Repository, crops: CropStore, journey: JourneyRecord) -> None:
        self._crops = crops
        self._others = {
            crop.path: (crop.box, others)
            for tracklet in journey.tracklets
            for crop, others in _others_of(repository, journey.identity, tracklet)
        }

    def read(self, path: str) -> bytes:
        """The JPEG of a crop, encoded anew where anybody else is on it.

        Raises:
            CropError: The picture is gone.
        """
        jpeg = self._crops.read(path)
        box, others = self._others[path]
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None or not len(others):
            return jpeg
        crop = np.asarray(image, np.uint8)
        blur_boxes(crop, others - np.tile(np.maximum(box[:2], 0.0).astype(int), 2))
        return encode_jpeg(crop)


def blur_boxes(image: Image, boxes: Boxes) -> None:
    """Blurs ``(N, 4)`` boxes in an image, in place, until nothing of them can be told; parts outside are left out."""
    limit = (image.shape[1], image.shape[0])
    low = np.clip(np.floor(boxes[:, :2]), 0, limit).astype(int)
    high = np.clip(np.ceil(boxes[:, 2:]), 0, limit).astype(int)
    for (x1, y1), (x2, y2) in zip(low, high, strict=True):
        part = image[y1:y2, x1:x2]
        if part.size:
            scale = _BLOCKS / min(part.shape[:2])
            small = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
            coarse = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(part.shape)


def _others_of(repository: Repository, identity: int, tracklet: JourneyTracklet) -> Iterator[tuple[CropRecord, Boxes]]:
    """Each crop, and the boxes ``(N, 4)`` of all others at its time."""
    span = tracklet.first_us - _HIDDEN_US, tracklet.last_us + _HIDDEN_US + 1
    near = [
        each
        for each in repository.tracklet_boxes_between(tracklet.camera, *span)
        if each.number != tracklet.number and each.identity != identity
    ]
    for crop in tracklet.crops:
        boxes = [box_at(each, crop.time_us) for each in near]
        yield crop, np.array([box for box in boxes if box is not None], np.float32).reshape(-1, 4)


def box_at(tracklet: TrackletBoxes, time_us: int) -> Boxes | None:
    """Where somebody is at a time ``(4,)``, also while nothing was detected: on the straight line between two boxes.

    None more than a second before the first and after the last one.
    """
    times = tracklet.times_us
    if not times[0] - _HIDDEN_US <= time_us <= times[-1] + _HIDDEN_US:
        return None
    return np.array([np.interp(time_us, times, side) for side in tracklet.boxes.T], np.float32)


def _records(database: Database, repository: Repository, journey: JourneyRecord) -> dict[str, object]:
    """The decisions about the person, and who looked at them when and why."""
    people = {journey.identity, *journey.merged}
    decisions = [asdict(entry) for number in sorted(people) for entry in repository.identity_history(number)]
    looks = [
        {"time": iso_time(each.at_us), "actor": each.actor, "action": each.action, "reason": each.reason}
        for each in AuditLog(database).read()
        if each.subject.get("identity") in people
    ]
    return {"identity": journey.identity, "decisions": decisions, "looked_at": looks}
