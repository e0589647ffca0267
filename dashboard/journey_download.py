"""A journey as a ZIP file, as `reid-pipeline journey --export` writes its folder."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from reid_pipeline.pipeline.clip_cutting import SiteFootage, spans_for_log
from reid_pipeline.pipeline.journey import export_journey, find_journey
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.permissions import Permission


def journey_zip(site: SiteData, identity: int, reason: str, *, footage: bool) -> bytes:
    """Exports a journey, which the audit log tells of; returns the ZIP file.

    Args:
        site: For who asks.
        identity: Whose journey.
        reason: Why, for the log.
        footage: Whether to add the footage of each sighting, as far as it was kept.

    Raises:
        NotAllowed: They may not.
        InputError: There is no such identity.
    """
    site.access.require(Permission.EXPORT)
    journey = find_journey(site.repository, identity)
    cutting = SiteFootage(Clips(site.database, site.access)) if footage else None
    subject: dict[str, object] = {"identity": journey.identity, "folder": "download"}
    if cutting is not None and (spans := spans_for_log(cutting.spans(journey))):
        subject["clips"] = spans
    AuditLog(site.database).note(site.access.name, Action.EXPORT, reason, subject)
    with tempfile.TemporaryDirectory() as folder:
        export_journey(journey, site.name, site.crops, Path(folder), footage=cutting)
        return _zip(Path(folder))


def _zip(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:  # pictures and footage are packed already
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return content.getvalue()
