"""Which version of the program something was learnt with."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).parents[1]
_DESCRIBE: Final = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")


@cache
def code_version() -> str:
    """The commit of the checkout, with ``-dirty`` where it was changed; else the version of the installed package."""
    return _commit(_CHECKOUT) or _package_version()


def _commit(folder: Path) -> str | None:
    if not (folder / ".git").exists():  # Git itself would go on to look in the folders above
        return None
    try:
        done = subprocess.run(["git", "-C", folder, *_DESCRIBE], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _package_version() -> str:
    try:
        return version("reid-pipeline")
    except PackageNotFoundError:
        return "unknown"
