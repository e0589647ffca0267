"""What an erasure takes of the footage: the clips that show tracklets, with everybody else who is on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.clips import ClipFiles, remove_clips, that_show, within
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.removal import AT_ONCE
from reid_pipeline.storage.schema import Camera, Clip, Tracklet
from reid_pipeline.storage.schema_governance import AuditEntry

# People are in view before they are found and after they are lost.
_UNSEEN_US: Final = 2_000_000
_FOR_EVER_US: Final = 2**62

Seen = tuple[str, int | None, int | None]  # what a camera saw, from when to when; None: no bound


def showing(tracklets: ColumnElement[bool], seen: Seen | None) -> ColumnElement[bool]:
    """In a condition on `Clip`: those that show tracklets, and what a camera saw.

    Args:
        tracklets: A condition on `Tracklet`.
        seen: Whatever was found in it.
    """
    shown = that_show(tracklets, _UNSEEN_US)
    if seen is None:
        return shown
    camera = select(Camera.id).where(Camera.name == seen[0]).scalar_subquery()
    return shown | ((Clip.camera_id == camera) & within(*seen[1:]))


def erase_clips(database: Database, clips: Sequence[tuple[int, str]], parts: Sequence[str]) -> None:
    """Removes clips by row and path, and unfinished ones by path; may be done again."""
    files = ClipFiles(database.data_dir)
    files.delete(parts)
    for begin in range(0, len(clips), AT_ONCE):
        with database.session_scope(write=True) as session:
            remove_clips(session, files, clips[begin : begin + AT_ONCE])


def clip_exports(audit: AuditLog, session: Session, tracklets: ColumnElement[bool], seen: Seen | None) -> list[str]:
    """Folders that footage was exported to which shows tracklets, or what a camera saw; as `showing`."""
    query = select(Camera.name, Tracklet.first_us, Tracklet.last_us).join(Camera, Camera.id == Tracklet.camera_id)
    shown: list[tuple[Any, ...]] = [tuple(row) for row in session.execute(query.where(tracklets))]
    if seen is not None:
        shown.append((seen[0], seen[1] or 0, seen[2] or _FOR_EVER_US))
    found = []
    for record in audit.read_in(session.connection(), AuditEntry.content.like('%"clips":%')):
        exported, folder = record.subject.get("clips"), record.subject.get("folder")
        if isinstance(exported, list) and folder is not None and _overlap(exported, shown):
            found.append(str(folder))
    return found


def _overlap(exported: Sequence[Sequence[Any]], shown: Sequence[tuple[Any, ...]]) -> bool:
    return any(
        camera == one and since <= last + _UNSEEN_US and first - _UNSEEN_US <= until
        for camera, since, until in exported
        for one, first, last in shown
    )
