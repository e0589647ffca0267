"""Entries of the audit log as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Final

from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.storage.audit_log import AuditRecord

COLUMNS: Final = ("entry", "time", "who", "what", "why", "about", "erasure")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def audit_csv(entries: Iterable[AuditRecord]) -> bytes:
    """CSV with a head, UTF-8, times in UTC.

    What people typed and a spreadsheet would take for a formula has an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in entries:
        about = json.dumps(dict(each.subject), ensure_ascii=False) if each.subject else ""
        typed = (_safe(word) for word in (each.actor, each.action, each.reason, about))
        writer.writerow((each.id, iso_time(each.at_us), *typed, each.erasure or ""))
    return text.getvalue().encode()


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
