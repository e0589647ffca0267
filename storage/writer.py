"""The one thread that writes: it takes `Changes` from a bounded queue and commits each as one transaction.

So the database is at any time a whole beginning of the run, and a killed process loses only what was not committed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from reid_pipeline.storage.apply import ChangeApplier
from reid_pipeline.storage.corpus_shards import ShardFiles
from reid_pipeline.storage.corpus_writing import CorpusAppender
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import WriterFailed
from reid_pipeline.storage.records import Changes

logger = logging.getLogger(__name__)


class Writer:
    """Stores changes in the order of `put`, in a thread of its own.

    Use it as a context manager: the end of the block commits what is queued.
    """

    def __init__(
        self,
        database: Database,
        crops: CropStore,
        queue_size: int = 8,
        on_commit: Callable[[Changes], None] | None = None,
    ) -> None:
        """Prepares the thread; `start` runs it.

        Args:
            database: Where the rows go.
            crops: Where the pictures go.
            queue_size: How many changes may wait, including the one that is being written; at least 1.
            on_commit: Called in the writer's thread with every change that is now stored for good. An error in it
                stops the writer like an error of the database.

        Raises:
            ValueError: The queue size is below 1.
        """
        if queue_size < 1:
            raise ValueError(f"queue_size: expected at least 1, got {queue_size}")
        self._database = database
        self._crops = crops
        self._on_commit = on_commit
        self._queue_size = queue_size
        self._queue: deque[Changes] = deque()
        self._closing = False
        self._error: BaseException | None = None
        self._state_changed = threading.Condition()  # guards the three above
        self._thread = threading.Thread(target=self._run, name="writer")

    @property
    def pending(self) -> int:
        """How many changes are not committed yet."""
        with self._state_changed:
            return len(self._queue)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, changes: Changes) -> None:
        """Queues changes; waits while the queue is full.

        Raises:
            WriterFailed: Earlier changes could not be stored.
            ValueError: The writer was closed.
        """
        with self._state_changed:
            self._state_changed.wait_for(lambda: len(self._queue) < self._queue_size or self._over())
            self._raise_error()
            if self._closing:
                raise ValueError("writer: expected no changes after close(), got some")
            self._queue.append(changes)
            self._state_changed.notify_all()

    def close(self) -> None:
        """Commits what is queued and ends the thread; may be called again.

        Raises:
            WriterFailed: Some changes could not be stored.
        """
        with self._state_changed:
            self._closing = True
            self._state_changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._raise_error()

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except WriterFailed:
            if error is None:  # else the block's own error, often a WriterFailed too, is the one to see
                raise

    def _over(self) -> bool:
        return self._closing or self._error is not None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise WriterFailed(f"the results could not be stored: {self._error}") from self._error

    def _run(self) -> None:
        try:
            vault = self._database.vault
            applier = ChangeApplier(self._crops, CorpusAppender(ShardFiles(self._database.data_dir), vault), vault)
            while (changes := self._next()) is not None:
                self._commit(applier, changes)
                self._drop_first()
        except BaseException as error:  # outer frame of the thread: `put` and `close` raise it in the caller's
            logger.debug("writer stopped", exc_info=True)
            with self._state_changed:
                self._error = error
                self._state_changed.notify_all()

    def _next(self) -> Changes | None:
        """The oldest changes, which stay in the queue until they are committed; None at the end."""
        with self._state_changed:
            self._state_changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _drop_first(self) -> None:
        with self._state_changed:
            self._queue.popleft()
            self._state_changed.notify_all()

    def _commit(self, applier: ChangeApplier, changes: Changes) -> None:
        with self._database.session_scope(write=True) as session:
            replaced = applier.apply(session.connection(), changes)
        self._crops.delete(replaced)
        if self._on_commit is not None:
            self._on_commit(changes)
