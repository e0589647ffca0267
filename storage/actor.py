"""Who does something that is logged."""

from __future__ import annotations

import getpass
import os


def current_user() -> str:
    """The user of the operating system: a name, or the number of one that has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
