"""Footage as cameras sent it, in short files: clips.

A clip lies at ``clips/<camera>/<day>/<first>.mp4`` under the data folder: ``first`` is the capture time of its first
picture in microseconds since 1970 UTC, the day is that in UTC. Paths are kept relative, so that a site can be moved.
While a clip grows its name ends in ``.part``; what a recorder that died has left there, the next one takes in.

Of an encrypted site a clip is in memory while it grows, beside an empty file, and is sealed when it is whole: who is
killed loses it.

A file is there before its row and goes before it. All bytes go in through `ClipPart` and come out through
`ClipFiles.open`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import ColumnElement, delete, exists, insert, select, update
from sqlalchemy.orm import Session, aliased

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.encryption import SEALED, Kind, Place, Sealer, Vault
from reid_pipeline.storage.errors import ClipError, ErasureRefused, KeyShredded, NotAllowed, UnknownRecord
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Permission
from reid_pipeline.storage.row_ids import find_or_add_camera
from reid_pipeline.storage.schema import Camera, Clip, Tracklet
from reid_pipeline.storage.schema_governance import ErasedSource
from reid_pipeline.storage.site_files import CLIPS

LONGEST_US: Final = 3_600_000_000
"""No clip lasts longer, so that those of a time are found without a look at all before it."""

_SUFFIX, _PART = ".mp4", ".part"
# What may be one part of a path: no separator, no leading dot, so neither ".." nor a hidden file.
_CAMERA = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_PATH = re.compile(rf"{CLIPS}/(?P<camera>{_CAMERA.pattern})/\d{{4}}-\d\d-\d\d/(?P<first>\d{{1,18}})\.(?:mp4|part)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """A clip: `path` as in `ClipFiles`, the capture times of its first and last picture, the bytes of its file."""

    camera: str
    first_us: int
    last_us: int
    path: str
    bytes: int


class ClipPart:
    """A clip that grows. Bytes only ever come after those that are there: a muxer can seek back in it no more.

    Args:
        camera: Name of the camera.
        path: Its file.
        in_memory: Whether its bytes wait in memory until it is sealed; the file is empty until then.
    """

    def __init__(self, camera: str, path: Path, *, in_memory: bool = False) -> None:
        self.camera = camera
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._memory = BytesIO() if in_memory else None

    def write(self, content: bytes) -> int:
        """Adds bytes, which are then in the hands of the operating system: a killed process loses none of them."""
        if self._memory is not None:
            return self._memory.write(content)
        self._file.write(content)
        self._file.flush()
        return len(content)

    def close(self) -> None:
        """Ends it; `ClipFiles.finish` gives it its name."""
        self._file.close()

    def seal(self, sealer: Sealer, place: Place, name: str) -> None:
        """Writes what waits in memory, sealed; nothing where it was written as it came.

        Raises:
            FileNotFoundError: It was removed, as an erasure does.
        """
        if self._memory is not None:
            with self.path.open("r+b") as file:
                file.write(sealer.seal(place, name, self._memory.getvalue()))

    def discard(self) -> None:
        """Removes it."""
        self.close()
        self.path.unlink(missing_ok=True)


class ClipFiles:
    """The files of the clips of one site.

    Args:
        data_dir: The folder of the site.
        vault: Opens the clips of an encrypted site; None: nothing but removing.
    """

    def __init__(self, data_dir: Path, vault: Vault | None = None) -> None:
        self._data_dir = data_dir
        self._vault = vault

    def begin(self, camera: str, first_us: int, *, again: bool = False) -> ClipPart:
        """Begins a clip.

        Args:
            camera: Name of the camera.
            first_us: Capture time of its first picture, as far as it is known by now.
            again: Beside one that was left unfinished, and is read for this.

        Raises:
            ClipError: The camera's name cannot be a folder's.
            OSError: The disk is full or the folder cannot be written.
        """
        path = self._path_of(camera, first_us).with_suffix(f".again{_PART}" if again else _PART)
        return ClipPart(camera, path, in_memory=self._vault is not None and self._vault.encrypts)

    def finish(self, part: ClipPart, first_us: int, sealer: Sealer | None = None) -> tuple[str, int]:
        """Gives a clip its name, in place of one that has that name; returns its relative path and its bytes.

        Args:
            part: The clip.
            first_us: Capture time of its first picture.
            sealer: Seals it on an encrypted site.
        """
        part.close()
        path = self._path_of(part.camera, first_us)
        path.parent.mkdir(parents=True, exist_ok=True)
        relative = path.relative_to(self._data_dir).as_posix()
        if sealer is not None:
            part.seal(sealer, _place(relative), relative)
        part.path.replace(path)
        return relative, path.stat().st_size

    def open(self, path: str) -> BinaryIO:
        """The bytes of a clip, or of one that was left unfinished.

        Raises:
            ClipError: The path is none of a clip, or the file is gone.
            SealBroken: It was changed, or put in the place of another one.
        """
        try:
            file = self._resolve(path).open("rb")
            return file if self._vault is None else _opened(file, self._vault, path)
        except (FileNotFoundError, KeyShredded) as error:
            raise ClipError(f"{path}: the clip is gone; its time was up, or it was erased") from error

    def paths(self) -> list[str]:
        """The clips that there are as files, by path; those that grow, or were left unfinished, are not among them."""
        return self._find(_SUFFIX)

    def parts(self, cameras: Collection[str] | None = None) -> list[str]:
        """Those that grow, or that a recorder which died has left; of some cameras or of all."""
        found = self._find(_PART)
        return found if cameras is None else [path for path in found if split_path(path)[0] in cameras]

    def delete(self, paths: Iterable[str]) -> None:
        """Removes clips; those that are gone already are no error.

        Raises:
            ClipError: A path is none of a clip.
        """
        for path in paths:
            self._resolve(path).unlink(missing_ok=True)

    def delete_except(self, keep: Collection[str]) -> int:
        """Removes every file of the folder that is not named, also half-written ones; returns how many."""
        unnamed = [path for path in self._files() if path.relative_to(self._data_dir).as_posix() not in keep]
        for path in unnamed:
            path.unlink(missing_ok=True)
        return len(unnamed)

    def _files(self) -> list[Path]:
        return sorted((self._data_dir / CLIPS).glob("*/*/*"))

    def _find(self, suffix: str) -> list[str]:
        found = (path.relative_to(self._data_dir).as_posix() for path in self._files() if path.suffix == suffix)
        return [path for path in found if _PATH.fullmatch(path)]

    def _path_of(self, camera: str, first_us: int) -> Path:
        if not _CAMERA.fullmatch(camera) or first_us < 0:
            raise ClipError(
                f"camera {camera!r} at {first_us}: expected letters, digits, '_', '-' and '.', at most 100, no leading "
                "'.', and a time after 1970"
            )
        day = (_EPOCH + timedelta(microseconds=first_us)).date().isoformat()
        return self._data_dir / CLIPS / camera / day / f"{int(first_us)}{_SUFFIX}"

    def _resolve(self, path: str) -> Path:
        split_path(path)
        return self._data_dir / path


class Clips:
    """The clips of a site, as far as somebody may see them.

    Args:
        database: Of the site.
        access: Of whoever asks; a recorder may see everything.
    """

    def __init__(self, database: Database, access: Access = MACHINE_ACCESS) -> None:
        self.files = ClipFiles(database.data_dir, database.vault)
        self._database = database
        self._access = access

    def store(self, part: ClipPart, first_us: int, last_us: int) -> ClipRecord:
        """Ends a clip: first its file gets its name, then it gets its row. One of the same first picture is replaced.

        Args:
            part: What was written of it.
            first_us: Capture time of its first picture.
            last_us: The same of its last one.
        """
        with self._database.session_scope(write=True) as session:
            find_or_add_camera(session, part.camera)
            path, size = self.files.finish(part, first_us, self._database.vault.sealer(session.connection()))
            return _note(session, ClipRecord(part.camera, first_us, last_us, path, size))

    def adopt(self, path: str, last_us: int) -> ClipRecord:
        """Gives a file its row that has none; the capture time of its first picture is in its name."""
        with self.files.open(path) as file:
            size = file.seek(0, SEEK_END)
        with self._database.session_scope(write=True) as session:
            return _note(session, ClipRecord(*split_path(path), last_us, path, size))

    def between(self, camera: str, since_us: int | None, until_us: int | None) -> tuple[ClipRecord, ...]:
        """The clips of a camera with a picture of ``since_us <= time < until_us``, in order; None: no bound.

        Nothing where the camera may not be seen, or is not known.
        """
        self._access.require(Permission.SEE)
        if not self._access.sees(camera):
            return ()
        row = select(Camera.id).where(Camera.name == camera).scalar_subquery()
        query = select(Clip).where(Clip.camera_id == row, within(since_us, until_us)).order_by(Clip.first_us)
        with self._database.session_scope() as session:
            rows = session.scalars(query)
            return tuple(ClipRecord(camera, each.first_us, each.last_us, each.path, each.bytes) for each in rows)

    def open(self, clip: ClipRecord) -> BinaryIO:
        """The bytes of a clip.

        Raises:
            NotAllowed: Its camera may not be seen.
            ClipError: It is gone.
        """
        camera, _ = split_path(clip.path)
        if not self._access.sees(camera):
            raise NotAllowed(f"{self._access.name} may not see {camera}: expected somebody who sees that camera")
        return self.files.open(clip.path)

    def span_of(self, camera: str, number: int) -> tuple[int, int]:
        """When a tracklet began, and when its last box so far was.

        Raises:
            UnknownRecord: There is no such tracklet, or its camera may not be seen.
        """
        self._access.require(Permission.SEE)
        query = select(Tracklet.first_us, Tracklet.last_us).join(Camera, Camera.id == Tracklet.camera_id)
        with self._database.session_scope() as session:
            row = session.execute(query.where(Camera.name == camera, Tracklet.number == number)).one_or_none()
        if row is None or not self._access.sees(camera):
            raise UnknownRecord(f"{camera}:{number}: there is no such tracklet")
        return row.first_us, row.last_us

    def check_source(self, source_id: int, location: str) -> None:
        """Checks that a recording may be kept.

        Raises:
            ErasureRefused: It shows somebody who was erased.
        """
        with self._database.session_scope() as session:
            if session.scalar(select(exists().where(ErasedSource.source_id == source_id))):
                raise ErasureRefused(f"{location}: shows somebody who was erased: expected another recording")

    def without_row(self) -> list[str]:
        """Files that no row names, as a recorder leaves them that dies between the two."""
        with self._database.session_scope() as session:
            known = set(session.scalars(select(Clip.path)))
        return [path for path in self.files.paths() if path not in known]


def _note(session: Session, clip: ClipRecord) -> ClipRecord:
    times = {"first_us": clip.first_us, "last_us": clip.last_us, "bytes": clip.bytes}
    known = session.scalar(select(Clip.id).where(Clip.path == clip.path))
    if known is None:
        camera = find_or_add_camera(session, clip.camera)
        session.execute(insert(Clip).values(camera_id=camera, path=clip.path, **times))
    else:
        session.execute(update(Clip).where(Clip.id == known).values(**times))
    return clip


def _opened(file: BinaryIO, vault: Vault, path: str) -> BinaryIO:
    """The same, out of memory where it is sealed."""
    sealed = file.read(len(SEALED)) == SEALED
    file.seek(0)
    if not sealed:
        return file
    with file:
        return BytesIO(vault.open(_place(path), path, file.read()))


def _place(path: str) -> Place:
    return Place.at(Kind.CLIPS, *split_path(path))


def within(since_us: int | None, until_us: int | None) -> ColumnElement[bool]:
    """In a condition on `Clip`: whether it has a picture of ``since_us <= time < until_us``; None: no bound."""
    since = True if since_us is None else (Clip.last_us >= since_us) & (Clip.first_us >= since_us - LONGEST_US)
    return (Clip.first_us < until_us if until_us is not None else Clip.first_us >= 0) & since


def that_show(tracklets: ColumnElement[bool], around_us: int = 0) -> ColumnElement[bool]:
    """In a condition on `Clip`: whether it shows one of some tracklets.

    Args:
        tracklets: A condition on `Tracklet`.
        around_us: How long before and after their boxes too.
    """
    # Beginning with the tracklets, which are few, and not asked again for each clip.
    shown = aliased(Clip)
    begins, ends = Tracklet.first_us - around_us, Tracklet.last_us + around_us
    at_that_time = (shown.first_us <= ends) & (shown.first_us >= begins - LONGEST_US) & (shown.last_us >= begins)
    found = select(shown.id).join(Tracklet, (Tracklet.camera_id == shown.camera_id) & at_that_time)
    return Clip.id.in_(found.where(tracklets))


def remove_clips(session: Session, files: ClipFiles, clips: Sequence[tuple[int, str]]) -> int:
    """Removes clips by row and path, first their files; returns how many. At most `removal.AT_ONCE`."""
    files.delete(path for _, path in clips)
    if clips:
        session.execute(delete(Clip).where(Clip.id.in_([row for row, _ in clips])))
    return len(clips)


def split_path(path: str) -> tuple[str, int]:
    """The camera of a clip and the capture time in its name.

    Raises:
        ClipError: The path is none of a clip.

    Example:
        >>> split_path("clips/hall/2025-11-20/1763640000000000.mp4")
        ('hall', 1763640000000000)
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ClipError(f"{path!r}: expected {CLIPS}/<camera>/<day>/<first>{_SUFFIX}")
    return match["camera"], int(match["first"])
