"""Addresses of pictures that serve one person for some minutes: what is shown, to whom, until when, and a signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["crop", "live", "clip", "report", "enter"]

STEP_S: Final = 300
"""Links made within this time are the same, so that a browser need not load a picture again."""


@dataclass(frozen=True, slots=True)
class Link:
    """What an address says.

    Attributes:
        user: Whom it was made for.
        kind: What it leads to.
        cameras: What it shows something of; whoever may not see one of them gets nothing.
        value: Which one: the path of a crop or clip, the name of a report.
    """

    user: str
    kind: Kind
    cameras: tuple[str, ...]
    value: str = ""


class SignedLinks:
    """Makes and reads addresses; only those that it made itself.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def make(self, link: Link) -> str:
        """The last part of an address, which serves for one to two `STEP_S`."""
        until = (int(self._clock()) // STEP_S + 2) * STEP_S
        content = json.dumps([link.user, link.kind, link.cameras, link.value, until]).encode()
        return f"{_encode(content)}.{_encode(self._sign(content))}"

    def read(self, token: str, kind: Kind) -> Link | None:
        """What an address says; None where it is not one of these, of another kind, or its time is up."""
        try:
            content, signature = (_decode(part) for part in token.split("."))
        except ValueError:
            return None
        if not hmac.compare_digest(self._sign(content), signature):
            return None
        user, stated, cameras, value, until = json.loads(content)
        if stated != kind or self._clock() >= until:
            return None
        return Link(user, stated, tuple(cameras), value)

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, hashlib.sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
