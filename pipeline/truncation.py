"""Whether a video file ends before its end, read from the sizes that its own container states.

Decoders stop at the end of what there is and call it the end; only the container knows how long the file should be.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_MP4_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid"})
_EBML_ID = b"\x1a\x45\xdf\xa3"
_SEGMENT_ID = b"\x18\x53\x80\x67"
_TS_PACKET_BYTES = 188
_TS_SYNC = 0x47


def missing_bytes(path: Path) -> int:
    """Says how many bytes a video file lacks at its end.

    Knows MP4 and MOV (boxes), Matroska and WebM (segment), AVI (RIFF) and MPEG transport streams (whole packets).

    Returns:
        The number of bytes, at least. 0 where the file is whole or its format does not tell.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(2 * _TS_PACKET_BYTES + 1)
        if head[4:8] in _MP4_BOXES:
            return max(0, _mp4_end(file, size) - size)
        if head[:4] == _EBML_ID:
            return max(0, _matroska_end(file) - size)
        if head[:4] == b"RIFF":
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    if len(head) > _TS_PACKET_BYTES and head[0] == head[_TS_PACKET_BYTES] == _TS_SYNC:
        return -size % _TS_PACKET_BYTES
    return 0


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box says that it ends. Source: ISO/IEC 14496-12, 4.2."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # the length is in the next 8 bytes
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file
            return size
        if length < 8:  # no box: something else follows the video
            return start
        start += length
    return start


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment says that it ends, 0 where it does not say. Source: RFC 8794, section 4 and 6."""
    file.seek(4)
    header_length = _ebml_length(file)
    if header_length is None:
        return 0
    file.seek(header_length, os.SEEK_CUR)
    if file.read(4) != _SEGMENT_ID:
        return 0
    length = _ebml_length(file)
    return 0 if length is None else file.tell() + length


def _ebml_length(file: BinaryIO) -> int | None:
    """Reads a length of 1 to 8 bytes; the leading zero bits of the first byte tell how many. None: unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    extra = 8 - first[0].bit_length()
    value_bits = 7 * (extra + 1)
    value = int.from_bytes(first + file.read(extra), "big") & ((1 << value_bits) - 1)
    return None if value == (1 << value_bits) - 1 else value
