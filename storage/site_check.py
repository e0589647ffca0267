"""What is wrong with a site's stored data, and mending it; how much there is of what.

Mending never invents: rows whose file is gone are removed, files that no row names are removed, what was broken off is
ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import delete, func, literal, select, text

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.clips import ClipFiles
from reid_pipeline.storage.corpus_shards import ShardFiles, ShardName, ShardReader
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.encryption import SEALED
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Permission
from reid_pipeline.storage.schema import Base, Clip, Crop, Embedding
from reid_pipeline.storage.schema_governance import Erasure, WatchExample
from reid_pipeline.storage.schema_learning import CorpusShard

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        what: In words.
        count: How often.
        examples: A few of them.
        mendable: Whether `mend` removes it.
    """

    what: str
    count: int
    examples: tuple[str, ...] = ()
    mendable: bool = True


@dataclass(frozen=True, slots=True)
class SiteSizes:
    """How much there is: rows of each table, and bytes of each file or folder of the data folder."""

    rows: dict[str, int]
    bytes: dict[str, int]


def check_site(database: Database) -> tuple[Finding, ...]:
    """Looks for what is wrong; a run may go on, whose newest files may then be counted."""
    found = [
        *_check_database(database),
        *_check_crops(database),
        *_check_clips(database),
        *_check_corpus(database),
        *_check_erasures(database),
        *(_check_encryption(database) if database.vault.encrypts else ()),
        *(Finding(f"audit log: {fault}", 1, mendable=False) for fault in AuditLog(database).verify().faults),
    ]
    return tuple(each for each in found if each.count)


def mend_site(database: Database, access: Access) -> None:
    """Removes what `check_site` finds and can be mended, as somebody asked for. Call it under `Database.lock_for_all`.

    Raises:
        NotAllowed: They may not.
    """
    access.require_all_cameras(Permission.KEEP)
    gone = {f"{table.__tablename__} without file": _remove_rows_without_file(database, table) for table in (Crop, Clip)}
    gone["pictures"] = CropStore(database.data_dir).delete_except({path for _, path in _rows(database, Crop)})
    gone["footage"] = ClipFiles(database.data_dir).delete_except({path for _, path in _rows(database, Clip)})
    CorpusStore(database).recover()
    gone["erasures"] = len(Erasures(database, MACHINE_ACCESS).recover())
    AuditLog(database).note(access.name, Action.MEND, "", {what: count for what, count in gone.items() if count})


def measure_site(database: Database) -> SiteSizes:
    """Counts rows and bytes."""
    with database.session_scope() as session:
        tables = Base.metadata.sorted_tables
        rows = {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    sizes = {path.name: _bytes_of(path) for path in sorted(database.data_dir.iterdir())}
    return SiteSizes(rows, sizes)


def _check_database(database: Database) -> Iterator[Finding]:
    """What SQLite says of its own file; a server looks after its own."""
    with database.session_scope() as session:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            return
        faults = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
        yield Finding("the database file is damaged: restore a backup", len(faults), tuple(faults[:_SHOWN]), False)
        lost = [f"{row[0]} {row[1]}" for row in connection.execute(text("PRAGMA foreign_key_check"))]
        yield Finding("rows that name others which are gone", len(lost), tuple(lost[:_SHOWN]), False)


def _check_crops(database: Database) -> Iterator[Finding]:
    folder = database.data_dir
    named = {path for _, path in _rows(database, Crop)}
    gone = sorted(path for path in named if not (folder / path).is_file())
    yield Finding("crops whose picture is gone", len(gone), tuple(gone[:_SHOWN]))
    files = (path.relative_to(folder).as_posix() for path in (folder / "crops").glob("*/*/*"))
    orphans = sorted(path for path in files if path not in named)
    yield Finding("pictures that no crop names", len(orphans), tuple(orphans[:_SHOWN]))


def _check_clips(database: Database) -> Iterator[Finding]:
    """But for unfinished ones, which a recorder may be at."""
    named = {path for _, path in _rows(database, Clip)}
    gone = sorted(path for path in named if not (database.data_dir / path).is_file())
    yield Finding("clips whose footage is gone", len(gone), tuple(gone[:_SHOWN]))
    orphans = [path for path in ClipFiles(database.data_dir).paths() if path not in named]
    yield Finding("footage that no clip names", len(orphans), tuple(orphans[:_SHOWN]))


def _check_corpus(database: Database) -> Iterator[Finding]:
    files = ShardFiles(database.data_dir)
    with database.session_scope() as session:
        shards = session.execute(select(CorpusShard.id, CorpusShard.day, CorpusShard.bytes, CorpusShard.gaps)).all()
    names = {ShardName(row.id, row.day): row.bytes for row in shards}
    short = [str(files.path(name)) for name, length in names.items() if files.length(name) < length]
    yield Finding("files of the corpus that have lost bytes", len(short), tuple(short[:_SHOWN]), mendable=False)
    known = {files.path(name) for name in names}
    strange = sorted(str(path) for path in (database.data_dir / "corpus").glob("*/*.jpegs") if path not in known)
    yield Finding("files of the corpus that no row names", len(strange), tuple(strange[:_SHOWN]))
    yield Finding("files of the corpus with crops that are still to be overwritten", sum(row.gaps for row in shards))


def _check_erasures(database: Database) -> Iterator[Finding]:
    with database.session_scope() as session:
        begun = session.scalars(select(Erasure.id).where(~Erasure.finished)).all()
    yield Finding("erasures that were broken off", len(begun), tuple(str(each) for each in begun[:_SHOWN]))


def _check_encryption(database: Database) -> Iterator[Finding]:
    """What was there before the site was encrypted."""
    for what, table in (("crops", Crop), ("clips", Clip)):
        plain = sorted(path for _, path in _rows(database, table) if not _is_sealed(database.data_dir / path))
        yield _in_the_clear(what, len(plain), plain)
    for what, vectors in (("embeddings", Embedding), ("examples of watch lists", WatchExample)):
        sealed = func.substr(vectors.vector, 1, len(SEALED)) == literal(SEALED)
        with database.session_scope() as session:
            count = session.scalar(select(func.count()).select_from(vectors).where(~sealed)) or 0
        yield _in_the_clear(what, count)
    with ShardReader(ShardFiles(database.data_dir)) as reader:
        items = CorpusStore(database).items()
        begins = (reader.read(ShardName(item.shard, item.day), item.offset, len(SEALED)) for item in items)
        yield _in_the_clear("crops of the corpus", sum(begin != SEALED for begin in begins))


def _in_the_clear(what: str, count: int, examples: Sequence[str] = ()) -> Finding:
    text = f"{what} that are not encrypted: they go when their time is up"
    return Finding(text, count, tuple(examples[:_SHOWN]), mendable=False)


def _is_sealed(path: Path) -> bool:
    """Also of one that is gone."""
    try:
        with path.open("rb") as file:
            return file.read(len(SEALED)) == SEALED
    except FileNotFoundError:
        return True


def _rows(database: Database, table: type[Crop | Clip]) -> list[tuple[int, str]]:
    with database.session_scope() as session:
        return [(row.id, row.path) for row in session.execute(select(table.id, table.path))]


def _remove_rows_without_file(database: Database, table: type[Crop | Clip]) -> int:
    gone = [row for row, path in _rows(database, table) if not (database.data_dir / path).is_file()]
    for begin in range(0, len(gone), 500):
        with database.session_scope(write=True) as session:
            session.execute(delete(table).where(table.id.in_(gone[begin : begin + 500])))
    return len(gone)


def _bytes_of(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else (path,)
    return sum(each.stat().st_size for each in inside if each.is_file())
