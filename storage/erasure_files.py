"""What a site's files say of erased tracklets: lines are taken out, pictures and footage go with their files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from reid_pipeline.storage.line_file import LineFile
from reid_pipeline.storage.site_files import BACKUPS, CLIPS, EVENTS, REPORTS, TRACKS, VIDEOS

_TOGETHER: Final = "mtmc"  # how the files of all cameras begin
_MANIFEST: Final = "manifest.json"
# A file of an export: in its folder, or among its clips.
_INSIDE: Final = re.compile(rf"(?:{CLIPS}/)?[^/\\]+")


@dataclass(frozen=True, slots=True)
class ErasedTracklet:
    """One that was erased."""

    camera: str
    number: int
    identity: int | None
    first_frame: int
    last_frame: int


def erase_from_files(
    data_dir: Path, tracklets: Sequence[ErasedTracklet], emptied: Sequence[int], first_us: int, exports: Sequence[str]
) -> list[str]:
    """Takes erased tracklets out of all files but the database's; may be done again.

    Args:
        data_dir: The folder of the site.
        tracklets: Those that are gone.
        emptied: Identities that have none left.
        first_us: When they were first seen: no picture of them is older.
        exports: Folders that journeys of theirs were exported to.

    Returns:
        The files and folders that were removed, and those that lines were taken out of.
    """
    changed = [path for path, unwanted in _line_files(data_dir, tracklets, emptied) if _take_out(path, unwanted)]
    gone = [*_footage(data_dir, tracklets), *_pictures(data_dir, first_us), *_exported(exports)]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return [str(path) for path in (*changed, *gone)]


def _take_out(path: Path, unwanted: Callable[[str], bool]) -> int:
    return LineFile(path).keep(lambda line: not unwanted(line))


def _line_files(
    data_dir: Path, tracklets: Sequence[ErasedTracklet], emptied: Sequence[int]
) -> Iterator[tuple[Path, Callable[[str], bool]]]:
    numbers = {(each.camera, each.number) for each in tracklets}
    people = frozenset(emptied)
    yield data_dir / EVENTS, partial(_event_is_about, numbers, people)
    for path in sorted((data_dir / TRACKS).glob("*.txt")):
        if path.name.startswith(_TOGETHER):
            yield path, partial(_shows_one_of, tracklets)
            continue
        for camera in {each.camera for each in tracklets if _is_of(path, each.camera)}:
            own = {str(each.number) for each in tracklets if each.camera == camera}
            yield path, partial(_has_number, own)


def _has_number(numbers: Collection[str], line: str) -> bool:
    return line.split(",", 2)[1] in numbers


def _is_of(path: Path, camera: str) -> bool:
    return path.stem == camera or path.stem.startswith(f"{camera}-")


def _event_is_about(tracklets: Collection[tuple[str, int]], identities: Collection[int], line: str) -> bool:
    """A line that cannot be read may be about anybody."""
    try:
        event = json.loads(line)
        one = (event.get("camera"), event.get("tracklet"))
        return one in tracklets or event.get("identity") in identities or event.get("other") in identities
    except (ValueError, AttributeError):
        return True


def _shows_one_of(tracklets: Iterable[ErasedTracklet], line: str) -> bool:
    camera, frame, identity, *_ = line.split(",", 3)
    return any(
        each.camera == camera and str(each.identity) == identity and each.first_frame <= int(frame) <= each.last_frame
        for each in tracklets
    )


def _footage(data_dir: Path, tracklets: Sequence[ErasedTracklet]) -> list[Path]:
    cameras = {each.camera for each in tracklets}
    videos = sorted((data_dir / VIDEOS).glob("*"))
    return [path for path in videos if any(_is_of(path, camera) for camera in cameras)]


def _pictures(data_dir: Path, first_us: int) -> list[Path]:
    """Pages of learning, which show anybody, and backups, which hold everything: those that are not older."""
    found = [*(data_dir / REPORTS).glob("*/*.html"), *(data_dir / BACKUPS).glob("*")]
    return sorted(path for path in found if path.stat().st_mtime_ns // 1000 >= first_us)


def _exported(folders: Sequence[str]) -> list[Path]:
    """The files of exports that are still where they were written to."""
    found = []
    for folder in map(Path, dict.fromkeys(folders)):
        with suppress(OSError, ValueError, KeyError):
            names = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
            found += [folder / name for name in names if _INSIDE.fullmatch(name)] + [folder / _MANIFEST]
    return [path for path in found if path.exists()]
