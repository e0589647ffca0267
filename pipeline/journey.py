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
from typing import TYPE_CHECKING, Final, Protocol

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.journey_page import Picture, Stay, journey_page
from reid_pipeline.storage.errors import CropError, UnknownRecord
from reid_pipeline.storage.journeys import CropRecord, JourneyRecord, JourneyTracklet
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.site_files import CLIPS

if TYPE_CHECKING:
    from reid_pipeline.pipeline.clip_cutting import Cut

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


class Footage(Protocol):
    """Where the footage of an export comes from."""

    def cut(self, tracklet: JourneyTracklet, folder: Path) -> Sequence[Cut]:
        """Writes what there is of a tracklet into a folder, and returns the files."""
        ...


def export_journey(
    journey: JourneyRecord,
    site: str,
    crops: Pictures,
    folder: Path,
    further: Mapping[str, bytes] = MappingProxyType({}),
    footage: Footage | None = None,
) -> Export:
    """Writes ``journey.csv``, ``journey.json``, ``journey.html`` and, last, ``manifest.json`` into a folder.

    The page holds its pictures and shows the footage beside it, in ``clips``; the JSON names each with its SHA-256.
    Crops that are gone are left out.

    Args:
        journey: What to export.
        site: Name of the site.
        crops: Its pictures.
        folder: New or empty.
        further: More files to write, by name.
        footage: None: without.

    Raises:
        InputError: The folder holds something, or cannot be written.
    """
    exported_at = iso_time(round(datetime.now(UTC).timestamp() * 1_000_000))
    prepare_folder(folder)
    shown = [_read_shown(each, crops, footage, folder) for each in journey.tracklets]
    files = {
        "journey.csv": _csv(journey),
        **further,
        "journey.json": to_json({"site": site, **_with_shown(journey, shown)}),
        "journey.html": journey_page(site, journey.identity, exported_at, _stays(journey, shown)).encode(),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    hashes |= {str(clip["file"]): str(clip["sha256"]) for each in shown for clip in each.clips}
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


@dataclass(frozen=True, slots=True)
class _Shown:
    """What there is to see of a tracklet: its pictures, and its footage as fields of JSON."""

    pictures: Sequence[tuple[CropRecord, bytes]]
    clips: Sequence[Mapping[str, object]]


def _read_shown(tracklet: JourneyTracklet, crops: Pictures, footage: Footage | None, folder: Path) -> _Shown:
    cuts = footage.cut(tracklet, folder / CLIPS) if footage is not None else ()
    return _Shown(_read_pictures(tracklet, crops), [_clip_fields(each, folder) for each in cuts])


def _read_pictures(tracklet: JourneyTracklet, crops: Pictures) -> Sequence[tuple[CropRecord, bytes]]:
    pictures = []
    for crop in tracklet.crops:
        try:
            pictures.append((crop, crops.read(crop.path)))
        except CropError:  # its time was up, or a better view has replaced it since
            continue
    return pictures


def _with_shown(journey: JourneyRecord, shown: Sequence[_Shown]) -> dict[str, object]:
    tracklets = [
        {
            **_tracklet_fields(tracklet),
            "crops": [_crop_fields(crop, jpeg) for crop, jpeg in own.pictures],
            "clips": own.clips,
        }
        for tracklet, own in zip(journey.tracklets, shown, strict=True)
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


def _clip_fields(cut: Cut, folder: Path) -> dict[str, object]:
    return {
        "file": cut.path.relative_to(folder).as_posix(),
        "first": iso_time(cut.first_us),
        "last": iso_time(cut.last_us),
        "sha256": digest_of(cut.path),
    }


def _stays(journey: JourneyRecord, shown: Sequence[_Shown]) -> list[Stay]:
    stays = []
    for tracklet, own in zip(journey.tracklets, shown, strict=True):
        cells = tuple(_cell(value) for value in _tracklet_fields(tracklet).values())
        pictures = tuple(Picture(iso_time(crop.time_us), jpeg) for crop, jpeg in own.pictures)
        stays.append(Stay(cells, pictures, tuple(str(each["file"]) for each in own.clips)))
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


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare_folder(folder: Path) -> None:
    """Makes the folder of an export where it is missing.

    Raises:
        InputError: It holds something, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty: expected a new or empty folder, an export overwrites nothing")
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder}: cannot be written, {error.strerror}: expected a folder that you may write to")


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
        for name, content in files.items():
            with (folder / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise _not_writable(folder, error) from error
