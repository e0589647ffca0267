"""A text file that grows line by line in one process, and that another may take lines out of."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class LineFile:
    """Lines are added and taken out under a lock of the file, so none is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, lines: Sequence[str]) -> None:
        """Adds lines, which are given without their ends; none for none."""
        if lines:
            with _locked(self._path, "a") as file:
                file.write("".join(f"{line}\n" for line in lines))

    def keep(self, wanted: Callable[[str], bool]) -> int:
        """Leaves only the wanted lines, given without their ends; returns how many went.

        The new file is whole before it takes the old one's place.
        """
        if not self._path.exists():
            return 0
        part = self._path.with_name(self._path.name + ".part")
        gone = 0
        with _locked(self._path, "r") as old, part.open("w", encoding="utf-8") as new:
            for line in old:
                kept = wanted(line.rstrip("\n"))
                gone += not kept
                if kept:
                    new.write(line)
            new.flush()
            if gone:
                part.replace(self._path)
        part.unlink(missing_ok=True)
        return gone


@contextmanager
def _locked(path: Path, mode: str) -> Iterator[IO[str]]:
    """The file under its lock; one that was replaced while waiting for the lock is opened anew."""
    while True:
        with path.open(mode, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield file
                return
