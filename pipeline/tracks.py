"""`tracks/`: the text files in MOTChallenge form, written from the database so that late merges are in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reid_pipeline.storage.records import TrackletBoxes
from reid_pipeline.storage.repository import Repository

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class TracksOf:
    """A camera whose tracks are written.

    Attributes:
        camera: Name of the camera.
        source_id: The file that the frame numbers belong to; None for a live camera: all its days.
        days_us: Midnights (UTC) of the days to write, for a live camera.
    """

    camera: str
    source_id: int | None
    days_us: tuple[int, ...] = ()


def write_tracks(repository: Repository, folder: Path, cameras: Sequence[TracksOf]) -> None:
    """Writes ``<camera>.txt`` and ``mtmc.txt``; live cameras get ``<camera>-<day>.txt`` and ``mtmc-<day>.txt``.

    Files appear whole: they are written beside and moved into place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    together: dict[str, list[str]] = {}
    for entry in cameras:
        for suffix, tracklets in _parts(repository, entry):
            known = list(tracklets)
            _write(folder / f"{entry.camera}{suffix}.txt", _mot_lines(known))
            together.setdefault(suffix, []).extend(_mtmc_lines(entry.camera, known))
    for suffix, lines in together.items():
        _write(folder / f"mtmc{suffix}.txt", lines)


def write_mtmc(path: Path, cameras: Mapping[str, Iterable[TrackletBoxes]]) -> None:
    """Writes one ``mtmc.txt``, which appears whole, of tracklets by camera; without an identity they are not in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, [line for camera, tracklets in cameras.items() for line in _mtmc_lines(camera, tracklets)])


def days_between(first_us: int, last_us: int) -> tuple[int, ...]:
    """Midnights (UTC, microseconds) of the days that a span of time touches."""
    return tuple(range(first_us // _DAY_US * _DAY_US, last_us + 1, _DAY_US))


def _parts(repository: Repository, entry: TracksOf) -> Iterable[tuple[str, Iterable[TrackletBoxes]]]:
    if entry.source_id is not None:
        yield "", repository.tracklet_boxes(entry.camera, entry.source_id)
    for day_us in entry.days_us:
        day = datetime.fromtimestamp(day_us // 1_000_000, UTC).date().isoformat()
        yield f"-{day}", repository.tracklet_boxes_between(entry.camera, day_us, day_us + _DAY_US)


def _mot_lines(tracklets: Iterable[TrackletBoxes]) -> list[str]:
    rows = [
        (frame, tracklet.number, f"{frame},{tracklet.number},{_box(box)},{score:.4f},-1,-1,-1")
        for tracklet in tracklets
        for frame, box, score in _rows(tracklet)
    ]
    return [line for _, _, line in sorted(rows)]


def _mtmc_lines(camera: str, tracklets: Iterable[TrackletBoxes]) -> list[str]:
    rows = [
        (frame, tracklet.identity, f"{camera},{frame},{tracklet.identity},{_box(box)},{score:.4f}")
        for tracklet in tracklets
        if tracklet.identity is not None
        for frame, box, score in _rows(tracklet)
    ]
    return [line for _, _, line in sorted(rows)]


def _rows(tracklet: TrackletBoxes) -> Iterable[tuple[int, list[float], float]]:
    return zip(tracklet.frames.tolist(), tracklet.boxes.tolist(), tracklet.scores.tolist(), strict=True)


def _box(box: list[float]) -> str:
    x1, y1, x2, y2 = box
    return f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"


def _write(path: Path, lines: Sequence[str]) -> None:
    beside = path.with_name(f".{path.name}.part")
    beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    beside.replace(path)
