"""The vector index of a site on its disk, kept the same as the database: that is the truth, and always wins.

Of an encrypted site it is in memory only, and built by each process that needs it.

Ids of embeddings are never given twice and a vector never changes, so that the ids tell everything: they are compared
part by part, by how many there are and their sum, and only parts that differ are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import IndexUnusable
from reid_pipeline.storage.site_files import INDEX
from reid_pipeline.storage.vector_index import EVERYBODY, Ids, IndexFilter, Neighbours, Vectors
from reid_pipeline.storage.vector_index_file import IndexFiles
from reid_pipeline.storage.vector_index_ivf import MOST_ROWS, SegmentedIndex
from reid_pipeline.storage.vector_rows import PART, VectorRows, read_model_hashes

logger = logging.getLogger(__name__)

_NAME: Final = 32  # digits of a model's hash

Progress = Callable[[int], None]


class NoFiles:
    """In the place of `IndexFiles` where nothing may be stored in the clear."""

    def load(self) -> SegmentedIndex:
        """Raises `IndexUnusable`."""
        raise IndexUnusable("the site is encrypted")

    def save(self, _: SegmentedIndex) -> bool:
        """Does nothing."""
        return True


class SiteIndex:
    """The index of the embeddings of one model on a site.

    One thread keeps it up to date, while any number of them search.

    Args:
        database: Of the site.
        model_hash: Of the model, of which there are embeddings.
    """

    def __init__(self, database: Database, model_hash: str) -> None:
        self._rows = VectorRows(database, model_hash)
        files = IndexFiles(index_folder(database.data_dir, model_hash), model_hash)
        self._files = NoFiles() if database.vault.encrypts else files
        self.index = self._load()

    def __len__(self) -> int:
        """How many embeddings it has."""
        return len(self.index)

    def search(self, queries: Vectors, k: int, wanted: IndexFilter = EVERYBODY) -> Neighbours:
        """See `VectorIndex`. What was removed from the database since may still be found: look it up there."""
        return self.index.search(queries, k, wanted)

    def synchronise(self, progress: Progress | None = None) -> int:
        """Takes in what the database has and leaves out what it has not; tells how many embeddings that were.

        Args:
            progress: Told now and then how many embeddings the index has.

        Raises:
            StorageError: FAISS is not installed.
        """
        theirs, ours = self._rows.parts(), _by_part(self.index.ids())
        changes = 0
        for part in sorted(theirs.keys() | ours.keys()):
            own = ours.get(part, np.empty(0, np.int64))
            if theirs.get(part) != (len(own), int(own.sum())):
                changes += self._match(part, own)
                if progress is not None:
                    progress(len(self.index))
            if len(self.index.newest) > MOST_ROWS - PART:
                self.index.settle()
        self.index.settle()
        return changes

    def save(self) -> bool:
        """Stores it; False where another process has done so, whose work is as good.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        return self._files.save(self.index)

    def purge(self, ids: Ids) -> None:
        """Leaves out embeddings, and overwrites them wherever they are in the files.

        Raises:
            OSError: The folder cannot be written.
        """
        while True:
            self.index.remove(ids)
            if self._files.save(self.index):  # first, so that they stay out whatever happens
                self.index.purge(ids)
                if self._files.save(self.index):
                    return
            self.index = self._load()

    def scrub(self) -> None:
        """Takes over what was added to and removed from the database, and overwrites in the files what was removed.

        Raises:
            OSError: The folder cannot be written.
        """
        self.synchronise()
        self.purge(self.index.left_out())

    def _load(self) -> SegmentedIndex:
        try:
            return self._files.load()
        except IndexUnusable as error:
            logger.info("the vector index is built anew: %s", error)
            return SegmentedIndex(self._rows.dim() or 1)

    def _match(self, part: int, own: Ids) -> int:
        """Makes a part the same as in the database; tells how many embeddings were not."""
        theirs = self._rows.ids(part)
        lost, new = np.setdiff1d(own, theirs), np.setdiff1d(theirs, own)
        self.index.remove(lost)
        if len(new):
            for entries in self._rows.entries(part, new):
                self.index.add(entries)
        return len(lost) + len(new)


def scrub_indices(database: Database) -> None:
    """Leaves no byte in any index of a site of embeddings that its database does not have any more.

    For who has removed some: rows first, then this.

    Raises:
        OSError: A folder cannot be written.
    """
    for model_hash in _indexed(database):
        SiteIndex(database, model_hash).scrub()


def purge_indices(database: Database, ids: Ids) -> None:
    """Leaves no byte in any index of a site of some embeddings; quicker than `scrub_indices`, which finds out which.

    Args:
        database: Of the site, which may still have them.
        ids: Their rows.

    Raises:
        OSError: A folder cannot be written.
    """
    for model_hash in _indexed(database):
        SiteIndex(database, model_hash).purge(ids)


def _indexed(database: Database) -> list[str]:
    """Hashes of the models whose embeddings have an index."""
    folders = {index_folder(database.data_dir, each): each for each in read_model_hashes(database)}
    there = database.data_dir.glob(f"{INDEX}/*")
    return [folders[folder] for folder in sorted(there) if folder in folders and not folder.is_symlink()]


def index_folder(data_dir: Path, model_hash: str) -> Path:
    """Where the index of a model's embeddings is."""
    return data_dir / INDEX / model_hash[:_NAME]


def _by_part(ids: Ids) -> dict[int, Ids]:
    """Ascending ids by their part."""
    parts, first = np.unique(ids // PART, return_index=True)
    return dict(zip(parts.tolist(), np.split(ids, first[1:]), strict=True)) if len(ids) else {}
