"""Which database a data folder belongs to: ``database.json`` in it, where that is not SQLite.

Commands that are given only the folder find the database by it. The password is never in it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from reid_pipeline.storage.dialect_postgresql import PostgresqlDialect, parse_url, same_database, without_secrets
from reid_pipeline.storage.dialect_sqlite import DATABASE_NAME
from reid_pipeline.storage.errors import DataDirError

LINK_NAME: Final = "database.json"


def has_site(data_dir: Path) -> bool:
    """Whether a folder is the data_dir of a site."""
    return (data_dir / DATABASE_NAME).is_file() or (data_dir / LINK_NAME).is_file()


def linked_url(data_dir: Path) -> URL | None:
    """The database of a folder; None for SQLite.

    Raises:
        DataDirError: ``database.json`` cannot be read.
        DatabaseUnavailable: The driver is missing.
    """
    path = data_dir / LINK_NAME
    try:
        content = json.loads(path.read_bytes())
        url = content["database"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataDirError(
            f'{path}: cannot be read: expected {{"database": "postgresql://..."}}; remove it and `run` the site'
        ) from error
    return parse_url(str(url))


def check_link(data_dir: Path, url: URL | None) -> None:
    """Looks whether a folder belongs to the database that cameras.yaml names; None for SQLite.

    Another one does not know the folder's pictures: they would be taken for left-overs.

    Raises:
        DataDirError: It belongs to another one.
    """
    linked = linked_url(data_dir)
    if linked is None and url is not None and (data_dir / DATABASE_NAME).exists():
        raise _other_database(data_dir, f"{DATABASE_NAME} in it", "null")
    if linked is not None and (url is None or not same_database(linked, url)):
        raise _other_database(data_dir, PostgresqlDialect(linked).place, "that")


def link(data_dir: Path, url: URL) -> None:
    """Remembers the database of a folder, without the password."""
    path, half = data_dir / LINK_NAME, data_dir / f".{LINK_NAME}.{os.getpid()}"
    content = json.dumps({"database": without_secrets(url)}) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    half.write_text(content, encoding="utf-8")
    half.replace(path)


def _other_database(data_dir: Path, its_own: str, expected: str) -> DataDirError:
    moved = "" if expected == "null" else f" (where the database was moved: remove {LINK_NAME})"
    return DataDirError(
        f"{data_dir}: belongs to another database, {its_own}: expected site.database: {expected}, or another "
        f"data_dir{moved}"
    )
