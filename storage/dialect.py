"""What differs between the kinds of database that a site may have: `dialect_sqlite` and `dialect_postgresql`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from reid_pipeline.storage.errors import StorageError


@dataclass(frozen=True, slots=True)
class SiteLock:
    """Something that only one process may do on a site.

    Attributes:
        file: Name of its file in the data folder.
        number: Its number among the locks of a server.
        refusal: What the next one is told, with a place for ``{holder}``.
    """

    file: str
    number: int
    refusal: str


RUN_LOCK: Final = SiteLock("run.lock", 1, "another run ({holder}) is writing here; wait for its end or stop it")
LEARNING_LOCK: Final = SiteLock("learning.lock", 2, "something is learning here already ({holder}); wait for its end")
RECORD_LOCK: Final = SiteLock("record.lock", 3, "footage is being recorded here ({holder}); stop that first")


class Dialect(Protocol):
    """How one database is reached, entered and locked."""

    @property
    def place(self) -> str:
        """How messages name the database; without a password."""
        ...

    def build_engine(self) -> Engine:
        """Connects to nothing yet. Each transaction of its connections sees one state of the database."""
        ...

    def build_writing_engine(self, engine: Engine) -> Engine:
        """The same connections for transactions that exclude each other: each waits for up to 30 s for the others."""
        ...

    def forget_writes(self, engine: Engine) -> bool:
        """Takes out of the database's files what was deleted and is there for a while yet.

        Returns:
            False where somebody who reads for long was in the way.
        """
        ...

    def check(self, connection: Connection) -> None:
        """Looks whether the server will do.

        Raises:
            DatabaseUnavailable: It will not.
        """
        ...

    def describe(self, error: DBAPIError) -> str:
        """What the database says, in one line."""
        ...

    def explain_opening(self, error: DBAPIError) -> StorageError:
        """Why the database could not be opened, and what to do."""
        ...

    def hold(self, engine: Engine, lock: SiteLock) -> AbstractContextManager[None]:
        """Holds a lock for the block; it is free again once the process has died.

        Raises:
            SiteBusy: Somebody else holds it.
        """
        ...
