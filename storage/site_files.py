"""Names in a data folder that several parts look for: what a run and what learning leave there, and backups."""

from __future__ import annotations

from typing import Final

EVENTS: Final = "events.ndjson"
TRACKS: Final = "tracks"
VIDEOS: Final = "videos"
CLIPS: Final = "clips"
REPORTS: Final = "learning"
BACKUPS: Final = "backups"
INDEX: Final = "index"
RETENTION_DUE: Final = "retention.due"
ENCRYPTION: Final = "encryption.json"
