"""The key that a site signs its accounts with: Ed25519, in a file that only its owner can read.

A signature shows that the site wrote what it is of, and that nobody without the key has changed it. Whoever can read
the key can sign: keep a copy of the public key, or of a signed report, elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reid_pipeline.storage.errors import DataDirError

KEY_NAME: Final = "signing.key"
_BYTES: Final = 32


class SigningKey:
    """The key of a data folder."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """The public half, hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, content: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(content)

    def verifies(self, signature: bytes | None, content: bytes) -> bool:
        """Whether a signature is this key's of a content."""
        return signature is not None and verifies(self.public, signature, content)


def verifies(public: str, signature: bytes, content: bytes) -> bool:
    """Whether a signature is that of a public key, hexadecimal, of a content."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def open_signing_key(data_dir: Path) -> SigningKey:
    """The key of a data folder, made where there is none.

    Raises:
        DataDirError: The file is no key, or cannot be read or written.
    """
    path = data_dir / KEY_NAME
    try:
        if not path.exists():
            _make(path)
        content = path.read_bytes()
    except OSError as error:
        raise DataDirError(f"{path}: {error.strerror}: expected a key that this user can read") from error
    if len(content) != _BYTES:
        raise DataDirError(f"{path}: {len(content)} bytes: expected a key of {_BYTES}: restore it from a backup")
    return SigningKey(Ed25519PrivateKey.from_private_bytes(content))


def _make(path: Path) -> None:
    """Appears whole; where two processes make it at once, the first one's stays."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(Ed25519PrivateKey.generate().private_bytes_raw())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
