"""What commands need beyond the core: the packages of the extra `learning`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reid_pipeline.pipeline.errors import InputError


@contextmanager
def needs_learning(what: str) -> Iterator[None]:
    """Stands around imports that fail where the extra `learning` is not installed.

    Args:
        what: Who needs what, the beginning of the message.

    Raises:
        InputError: An import failed; it says what to install.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"{what}: pip install 'reid-pipeline[learning]'") from error
