"""The key that the keys of a site are encrypted by: 32 random bytes, in base64, kept anywhere but on the site.

``site.master_key`` says where it is: ``env:REID_MASTER_KEY``, or a file. The data folder notes the same in
``encryption.json``, with a content that only this key opens: commands that are given the folder alone find it, and
another key is told from it before anything is written.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reid_pipeline.storage.errors import DataDirError, MasterKeyError
from reid_pipeline.storage.site_files import ENCRYPTION, INDEX

KEY_BYTES: Final = 32
FROM_ENVIRONMENT: Final = "env:"
_KNOWN: Final = b"reid-pipeline: the master key of this site"
_NONCE: Final = 12
_HOW: Final = "make one with: reid-pipeline db key FILE"


@dataclass(frozen=True, slots=True)
class _Note:
    """What the data folder knows: where its key is, and a content that it opens."""

    source: str
    check: bytes


def read_key(source: str) -> bytes:
    """The key at a place, as ``site.master_key`` names it.

    Raises:
        MasterKeyError: There is none, or it is no key.
    """
    name = source.removeprefix(FROM_ENVIRONMENT)
    if name != source:
        text = os.environ.get(name, "")
        if not text:
            raise MasterKeyError(f"{name} is not set: expected the master key in the environment; {_HOW}")
    else:
        text, name = _read_file(Path(source)), source
    try:
        key = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        key = b""  # not in the chain of errors: it may quote the key
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{name}: is no master key: expected {KEY_BYTES} bytes in base64; {_HOW}")
    return key


def write_key(path: Path) -> None:
    """Makes a key in a new file that only its owner can read.

    Raises:
        MasterKeyError: There is a file already, or it cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
    except OSError as error:
        raise MasterKeyError(f"{path}: {error.strerror}: expected a new file that can be written") from error


def is_encrypted(data_dir: Path) -> bool:
    """Whether what is new in a data folder is encrypted."""
    return (data_dir / ENCRYPTION).is_file()


def noted_key(data_dir: Path) -> bytes | None:
    """The key of a data folder, found where the folder says; None where the site is not encrypted.

    Raises:
        MasterKeyError: It is missing, or another one.
        DataDirError: ``encryption.json`` cannot be read.
    """
    note = _read_note(data_dir)
    return None if note is None else _checked(data_dir, note, note.source)


def check_key(data_dir: Path, source: str | None) -> None:
    """Looks whether what a cameras.yaml says of the key fits a data folder, which may be new.

    Raises:
        MasterKeyError: The key is missing, or another one; or the folder is encrypted and the source is None.
        DataDirError: ``encryption.json`` cannot be read.
    """
    note = _read_note(data_dir)
    if source is None and note is not None:
        raise MasterKeyError(f"{data_dir}: is encrypted: expected site.master_key: {note.source}, or another data_dir")
    if source is None:
        return
    if not source.startswith(FROM_ENVIRONMENT) and Path(source).is_relative_to(data_dir.resolve()):
        raise MasterKeyError(f"{source}: lies beside what it encrypts: expected a file outside of {data_dir}")
    if note is None:
        read_key(source)
    else:
        _checked(data_dir, note, source)


def note_key(data_dir: Path, source: str) -> None:
    """Notes in a data folder where its key is; from then on what is new in it is encrypted.

    Vector indices, which were not until then, are removed: they are built anew, in memory.

    Raises:
        MasterKeyError: The key is missing.
    """
    note = _read_note(data_dir)
    if note is not None and note.source == source:
        return
    path, half = data_dir / ENCRYPTION, data_dir / f".{ENCRYPTION}.{os.getpid()}"
    check = note.check if note is not None else _seal_known(read_key(source))
    half.write_text(json.dumps({"master_key": source, "check": base64.b64encode(check).decode()}) + "\n")
    half.replace(path)
    shutil.rmtree(data_dir / INDEX, ignore_errors=True)


def _checked(data_dir: Path, note: _Note, source: str) -> bytes:
    key = read_key(source)
    try:
        AESGCM(key).decrypt(note.check[:_NONCE], note.check[_NONCE:], _KNOWN)
    except InvalidTag as error:
        raise MasterKeyError(
            f"{source.removeprefix(FROM_ENVIRONMENT)}: is another key: expected the one that {data_dir} is encrypted by"
        ) from error
    return key


def _seal_known(key: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, b"", _KNOWN)


def _read_note(data_dir: Path) -> _Note | None:
    path = data_dir / ENCRYPTION
    try:
        content = json.loads(path.read_bytes())
        return _Note(str(content["master_key"]), base64.b64decode(content["check"], validate=True))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataDirError(
            f"{path}: cannot be read: restore it from a backup: without it nothing can be read"
        ) from error


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise MasterKeyError(f"{path}: {reason}: expected a file with the master key; {_HOW}") from None
