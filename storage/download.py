"""Files over HTTPS that are known beforehand: their size and their hash are checked, and a broken download goes on.

What has arrived waits in ``<name>.part``; the file gets its name only when it is whole and right. Proxies are those of
the environment (``HTTPS_PROXY``, ``NO_PROXY``). ``REID_MODEL_MIRROR`` replaces scheme and host of every address, for
networks without a way out: a server that has the same paths.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal
from urllib.parse import urlsplit

from reid_pipeline.storage.errors import DownloadFailed, InputError

MIRROR: Final = "REID_MODEL_MIRROR"

_TIMEOUT_S: Final = 30.0  # without a single byte
_CHUNK: Final = 1 << 18
_RANGE_NOT_SATISFIABLE: Final = 416
_PARTIAL_CONTENT: Final = 206

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that is known before it is fetched; ``size`` in bytes, ``digest`` in hexadecimal digits."""

    name: str
    url: str
    size: int
    algorithm: Literal["sha256", "sha384"]
    digest: str


def fetch_file(file: RemoteFile, folder: Path, progress: Progress = lambda _: None) -> Path:
    """Makes sure that a file is in a folder, whole and right; goes on with what an earlier call left.

    Args:
        file: What to fetch.
        folder: Where to; only ``<name>`` and ``<name>.part`` are touched.
        progress: Called with the bytes of the file that are there.

    Returns:
        The path of the file.

    Raises:
        DownloadFailed: It cannot be had, or it is not what was expected. What has arrived is kept where it is of use.
        InputError: ``REID_MODEL_MIRROR`` is no address.
    """
    target = folder / file.name
    if target.is_file() and _is_right(target, file):
        progress(file.size)
        return target
    part = folder / f"{file.name}.part"
    try:
        with part.open("ab") as output:
            _lock(output, file)
            _complete(file, output, progress)
        part.replace(target)
    except OSError as error:  # the network's errors are already DownloadFailed
        raise DownloadFailed(f"{part}: cannot be written, {error.strerror}: make room, then run it again") from error
    return target


def mirrored(url: str) -> str:
    """The address to ask for ``url``: the same, or that of the mirror in ``REID_MODEL_MIRROR``.

    Raises:
        InputError: The variable holds no address.
    """
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return url
    if urlsplit(mirror).scheme not in {"http", "https"} or not urlsplit(mirror).netloc:
        raise InputError(f"{MIRROR}: {mirror}: expected an address such as https://mirror.example/models")
    return mirror.rstrip("/") + urlsplit(url).path


def _complete(file: RemoteFile, output: IO[bytes], progress: Progress) -> None:
    """Fills the part file; what was left from an earlier call and turns out wrong is fetched anew, once."""
    resumed = output.seek(0, os.SEEK_END) > 0
    _fill(file, output, progress)
    if _is_right(Path(output.name), file):
        return
    output.truncate(0)
    if resumed:
        _fill(file, output, progress)
        if _is_right(Path(output.name), file):
            return
        output.truncate(0)
    raise DownloadFailed(
        f"{mirrored(file.url)}: not the file that was expected ({file.algorithm} differs): nothing of it was kept and "
        "nothing else was changed; a proxy or mirror may have altered it, try another"
    )


def _fill(file: RemoteFile, output: IO[bytes], progress: Progress) -> None:
    """Asks until the part is as long as the file; gives up when a request brings nothing."""
    have = output.seek(0, os.SEEK_END)
    if have > file.size:
        output.truncate(0)
        have = 0
    while have < file.size:
        reason = _ask(file, output, progress)
        got = output.seek(0, os.SEEK_END)
        if got <= have:
            raise DownloadFailed(
                f"{mirrored(file.url)}: broken off after {got} of {file.size} bytes, {reason}: what has arrived is "
                "kept, run it again to go on"
            )
        have = got


def _ask(file: RemoteFile, output: IO[bytes], progress: Progress) -> str:
    """One request for what is missing; returns why it ended early, where it did."""
    have = output.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity", "User-Agent": "reid-pipeline"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(mirrored(file.url), headers=headers), timeout=_TIMEOUT_S
        ) as answer:
            if have and not _goes_on(answer, have, file):
                output.truncate(0)
            _copy(answer, output, file.size, progress)
    except urllib.error.HTTPError as error:
        if have and error.code == _RANGE_NOT_SATISFIABLE:  # the server's file is shorter than what is here
            output.truncate(0)
            return _ask(file, output, progress)
        raise DownloadFailed(_refused(file, error)) from error
    except urllib.error.URLError as error:
        raise DownloadFailed(_unreachable(file, str(error.reason))) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        return str(error) or type(error).__name__
    return "the server ended it"


def _goes_on(answer: http.client.HTTPResponse, have: int, file: RemoteFile) -> bool:
    """Whether an answer holds what comes after ``have`` bytes of this very file, not all of it or of another."""
    if answer.status != _PARTIAL_CONTENT:
        return False
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == have and match[2] in {str(file.size), "*"}


def _copy(answer: http.client.HTTPResponse, output: IO[bytes], size: int, progress: Progress) -> None:
    """Writes what comes, as far as the file may be long; one byte more shows that it is another."""
    have = output.seek(0, os.SEEK_END)
    try:
        while have <= size and (chunk := answer.read1(_CHUNK)):
            output.write(chunk)
            have += len(chunk)
            progress(min(have, size))
    finally:
        output.flush()


def _is_right(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, file.algorithm).hexdigest() == file.digest


def _lock(output: IO[bytes], file: RemoteFile) -> None:
    try:
        fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DownloadFailed(f"{file.name}: another process is fetching it: wait for its end") from error


def _refused(file: RemoteFile, error: urllib.error.HTTPError) -> str:
    advice = f"check {MIRROR}" if os.environ.get(MIRROR) else "try later; or copy the model here and `model import` it"
    return f"{mirrored(file.url)}: the server answers {error.code} {error.reason}: {advice}"


def _unreachable(file: RemoteFile, reason: str) -> str:
    return (
        f"{mirrored(file.url)}: not reachable, {reason}: connect this machine to the network, set HTTPS_PROXY, or "
        f"{MIRROR} to a server inside; or copy the model here and `reid-pipeline model import PATH`"
    )
