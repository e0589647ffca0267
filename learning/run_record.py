"""Every learning command as a row in the database of its site: begun, and how it ended, whatever ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reid_pipeline.learning.code_version import code_version
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRuns, LearningStart, LearningStatus

Done = Callable[[LearningEnd], None]


@contextmanager
def recorded(
    data_dir: Path, kind: LearningKind, seed: int, settings: Mapping[str, object], parent: str | None = None
) -> Iterator[Done]:
    """Notes that something begins to learn, and at the end of the block what came of it.

    Args:
        data_dir: Folder of the site.
        kind: What learns.
        seed: Of everything random.
        settings: All that it was told, ready for JSON.
        parent: Hash of the encoder that it begins from.

    Yields:
        To be told the outcome. An error is noted as failed, a signal or an interruption as broken off.

    Raises:
        DataDirError: There is no site.
    """
    start = LearningStart(kind, parent, seed, settings, code_version())
    end = LearningEnd(LearningStatus.DONE)

    def tell(outcome: LearningEnd) -> None:
        nonlocal end
        end = outcome

    with open_database(data_dir, create=False) as database:
        runs = LearningRuns(database)
        run = runs.begin(start)
        try:
            yield tell
        except Exception as error:
            end = LearningEnd(LearningStatus.FAILED, reason=f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            end = LearningEnd(LearningStatus.BROKEN_OFF, reason="stopped")
            raise
        finally:
            runs.finish(run, end)


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Keeps other learning away from a site, and marks what died at it as broken off.

    Raises:
        DataDirError: There is no site.
        SiteBusy: Something is learning there.
    """
    with open_database(data_dir, create=False) as database, database.lock_for_learning():
        LearningRuns(database).close_dead()
        yield
