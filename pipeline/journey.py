"""One identity's path over the cameras: as plain fields, and as a folder of evidence."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.journey_page import Picture, Stay, journey_page
from reid_pipeline.storage.errors import CropError, UnknownRecord
from reid_pipeline.storage.journeys import CropRecord, JourneyRecord, JourneyTracklet
from reid_pipeline.storage.repository import Repository

MANIFEST: Final = "manifest.json"
_COLUMNS: Final = ("camera", "tracklet", "first_seen", "last_seen", "duration_s", "probability", "views")


@dataclass(frozen=True, slots=True)
class Export:
    """A folder that was written; `files` has the SHA-256 of each file but the manifest."""

    folder: Path
    files: Mapping[str, str]


def find_journey(repository: Repository, identity: int) -> JourneyRecord:
    """The journey of an identity, or of whom it was merged into.

    Raises:
        InputError: There is no such identity.
    """
    try:
        return repository.journey(identity)
    except UnknownRecord as error:
        raise InputError(f"identity {identity}: does not exist: expected one of `identity list`") from error


def journey_fields(journey: JourneyRecord) -> dict[str, object]:
    """The journey as one JSON object: tracklets in order of time, cameras in order of the first visit."""
    first = [each.first_us for each in journey.tracklets]
    last = [each.last_us for each in journey.tracklets]
    return {
        "identity": journey.identity,
        "merged": list(journey.merged),
        "first_seen": iso_time(min(first)) if first else None,
        "last_seen": iso_time(max(last)) if last else None,
        "cameras": list(dict.fromkeys(each.camera for each in journey.tracklets)),
        "tracklets": [_tracklet_fields(each) for each in journey.tracklets],
    }


class Pictures(Protocol):
    """Where the pictures of an export come from."""

    def read(self, path: str) -> bytes:
        """The JPEG bytes of a crop.

        Raises:
            CropError: It is gone.
        """
        ...


def export_journey(
    journey: JourneyRecord,
    site: str,
    crops: Pictures,
    folder: Path,
    further: Mapping[str, bytes] = MappingProxyType({}),
) -> Export:
    """Writes ``journey.csv``, ``journey.json``, ``journey.html`` and, last, ``manifest.json`` into a folder.

    The page holds its pictures; the JSON names each with its SHA-256. Crops that are gone are left out.

    Args:
        journey: What to export.
        site: Name of the site.
        crops: Its pictures.
        folder: New or empty.
        further: More files to write, by name.

    Raises:
        InputError: The folder holds something, or cannot be written.
    """
    exported_at = iso_time(round(datetime.now(UTC).timestamp() * 1_000_000))
    pictures = [_read_pictures(each, crops) for each in journey.tracklets]
    files = {
        "journey.csv": _csv(journey),
        **further,
        "journey.json": to_json({"site": site, **_with_pictures(journey, pictures)}),
        "journey.html": journey_page(site, journey.identity, exported_at, _stays(journey, pictures)).encode(),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {
        "site": site,
        "identity": journey.identity,
        "merged": list(journey.merged),
        "exported_at": exported_at,
        "program": f"reid-pipeline {version('reid-pipeline')}",
        "models": _models(journey.models),
        "files": hashes,
    }
    _write(folder, {**files, MANIFEST: to_json(manifest)})
    return Export(folder, hashes)


def _tracklet_fields(tracklet: JourneyTracklet) -> dict[str, object]:
    return {
        "camera": tracklet.camera,
        "tracklet": tracklet.number,
        "first_seen": iso_time(tracklet.first_us),
        "last_seen": iso_time(tracklet.last_us),
        "duration_s": round((tracklet.last_us - tracklet.first_us) / 1_000_000, 3),
        "probability": tracklet.probability,
        "views": tracklet.views,
    }


def _read_pictures(tracklet: JourneyTracklet, crops: Pictures) -> Sequence[tuple[CropRecord, bytes]]:
    pictures = []
    for crop in tracklet.crops:
        try:
            pictures.append((crop, crops.read(crop.path)))
        except CropError:  # its time was up, or a better view has replaced it since
            continue
    return pictures


def _with_pictures(journey: JourneyRecord, pictures: Sequence[Sequence[tuple[CropRecord, bytes]]]) -> dict[str, object]:
    tracklets = [
        {**_tracklet_fields(tracklet), "crops": [_crop_fields(crop, jpeg) for crop, jpeg in own]}
        for tracklet, own in zip(journey.tracklets, pictures, strict=True)
    ]
    return {**journey_fields(journey), "tracklets": tracklets}


def _crop_fields(crop: CropRecord, jpeg: bytes) -> dict[str, object]:
    return {
        "frame": crop.frame,
        "time": iso_time(crop.time_us),
        "box": [round(side, 2) for side in crop.box],
        "quality": crop.quality,
        "sha256": hashlib.sha256(jpeg).hexdigest(),
    }


def _stays(journey: JourneyRecord, pictures: Sequence[Sequence[tuple[CropRecord, bytes]]]) -> list[Stay]:
    stays = []
    for tracklet, own in zip(journey.tracklets, pictures, strict=True):
        cells = tuple(_cell(value) for value in _tracklet_fields(tracklet).values())
        stays.append(Stay(cells, tuple(Picture(iso_time(crop.time_us), jpeg) for crop, jpeg in own)))
    return stays


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _csv(journey: JourneyRecord) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_tracklet_fields(each) for each in journey.tracklets)
    return text.getvalue().encode()


def to_json(fields: Mapping[str, object]) -> bytes:
    """The text of a JSON file."""
    return json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _models(runs: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """The models of all runs, each once, by what they were used for."""
    found = {
        (task, str(model.get("name")), str(model.get("hash")))
        for models in runs
        for task, model in models.items()
        if isinstance(model, dict)
    }
    return [{"task": task, "name": name, "hash": identity} for task, name, identity in sorted(found)]


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty: expected a new or empty folder, an export overwrites nothing")
        for name, content in files.items():
            with (folder / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written, {error.strerror}: expected a folder that you may write to"
        ) from error
