"""Backups of a site, taken while it runs, and put back into an empty folder.

A backup is a folder: a copy of the database as it was at one moment, the files that the database names then, and a
manifest with the SHA-256 of each, written last: without it there is no backup. Only for SQLite: PostgreSQL has its own.
Footage is left out, with its rows: it is the most by far, and would outlive its time in backups.

    backups/20261120-020000Z/ -> manifest.json, site.db, crops/..., corpus/..., models/..., signing.key, ...
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reid_pipeline.storage.dialect_sqlite import DATABASE_NAME
from reid_pipeline.storage.errors import BackupError
from reid_pipeline.storage.schema import Clip
from reid_pipeline.storage.site_files import BACKUPS, ENCRYPTION, EVENTS, REPORTS, TRACKS

MANIFEST: Final = "manifest.json"
_COPIED: Final = ("crops", "corpus", "models", REPORTS, TRACKS, EVENTS, "signing.key", ENCRYPTION)

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """One that is whole.

    Attributes:
        folder: Where it is.
        taken_at: ISO-8601, UTC.
        files: Number of files.
        bytes: Of all files.
    """

    folder: Path
    taken_at: str
    files: int
    bytes: int


def back_up(data_dir: Path, folder: Path | None = None, report: Report = lambda *_: None) -> Backup:
    """Copies a site; a run may go on. What it removes or replaces meanwhile may be missing among the files.

    Args:
        data_dir: The folder of the site.
        folder: Where to, new or empty; by default one under ``backups`` named by the time.
        report: Told of how many files of how many are copied.

    Raises:
        BackupError: The folder holds something, or the site's database is not SQLite.
    """
    taken = datetime.now(UTC)
    target = folder or data_dir / BACKUPS / f"{taken:%Y%m%d-%H%M%SZ}"
    if not (data_dir / DATABASE_NAME).is_file():
        raise BackupError(f"{data_dir}: {DATABASE_NAME} is missing: a PostgreSQL database is backed up with pg_dump")
    _check_empty(target)
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    copy_database(data_dir / DATABASE_NAME, target / DATABASE_NAME)
    _leave_out_clips(target / DATABASE_NAME)
    digests = {DATABASE_NAME: _digest(target / DATABASE_NAME)}
    names = [path.relative_to(data_dir).as_posix() for path in _files_of(data_dir)]
    for done, name in enumerate(names, 1):
        if _copy(data_dir / name, target / name):
            digests[name] = _digest(target / name)
        report(done, len(names))
    size = sum((target / name).stat().st_size for name in digests)
    taken_at = taken.isoformat(timespec="seconds")
    _write(target / MANIFEST, {"taken_at": taken_at, "bytes": size, "files": digests})
    return Backup(target, taken_at, len(digests), size)


def restore(backup: Path, data_dir: Path, report: Report = lambda *_: None) -> Backup:
    """Makes a backup a site again, after checking every byte of it.

    Args:
        backup: Its folder.
        data_dir: A new or empty folder.
        report: Told of how many files of how many are done.

    Raises:
        BackupError: It is no whole backup, a file was changed, or the data folder holds something.
    """
    manifest = _read_manifest(backup)
    files = manifest.files
    _check_empty(data_dir)
    for name, digest in files.items():
        path = backup / name
        if not path.is_file() or _digest(path) != digest:
            raise BackupError(f"{path}: is missing or was changed: expected SHA-256 {digest}: use another backup")
    # The database last: without it the folder is no site.
    names = sorted(files, key=lambda name: name == DATABASE_NAME)
    for done, name in enumerate(names, 1):
        _copy(backup / name, data_dir / name)
        report(done, len(names))
    return Backup(data_dir, manifest.taken_at, len(files), manifest.bytes)


def list_backups(data_dir: Path) -> tuple[Backup, ...]:
    """The whole ones under ``backups``, oldest first."""
    found = []
    for path in sorted((data_dir / BACKUPS).glob(f"*/{MANIFEST}")):
        manifest = _read_manifest(path.parent)
        found.append(Backup(path.parent, manifest.taken_at, len(manifest.files), manifest.bytes))
    return tuple(found)


def copy_database(source: Path, target: Path) -> None:
    """A copy of a SQLite database as it is at one moment; writers wait for nothing."""
    with closing(sqlite3.connect(source, timeout=30.0)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _leave_out_clips(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"DELETE FROM {Clip.__tablename__}")


def _files_of(data_dir: Path) -> Iterator[Path]:
    for name in _COPIED:
        path = data_dir / name
        if path.is_file():
            yield path
        yield from sorted(each for each in path.rglob("*") if each.is_file() and each.suffix != ".part")


def _copy(source: Path, target: Path) -> bool:
    """Copies a file with its times and rights; False where it has just gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return False
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder}: is not empty: expected a new or empty folder: nothing is overwritten")


@dataclass(frozen=True, slots=True)
class _Manifest:
    taken_at: str
    bytes: int
    files: Mapping[str, str]  # SHA-256 by name


def _read_manifest(backup: Path) -> _Manifest:
    path = backup / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        manifest = _Manifest(str(found["taken_at"]), int(found["bytes"]), dict(found["files"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path}: cannot be read: expected the folder of a whole backup") from error
    strange = [name for name in manifest.files if ".." in Path(name).parts or Path(name).is_absolute()]
    if strange:
        raise BackupError(f"{path}: names {strange[0]}: expected files of the backup alone")
    return manifest


def _write(path: Path, content: Mapping[str, object]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
