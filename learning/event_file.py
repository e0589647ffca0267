"""Scalars written as TensorBoard reads them, without its package: it would bring a web server to write some numbers.

A file is a row of records: length, checksum, content, checksum; a content is one message `Event` of TensorFlow's
`event.proto`, of which only `wall_time`, `step`, `file_version` and `summary.value` with `tag` and `simple_value` are
needed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE_NAME: Final = "events.out.tfevents.reid-pipeline"
_POLYNOMIAL: Final = 0x82F63B78  # CRC-32C, bits reversed
_MASK: Final = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


def append_scalars(folder: Path, step: int, time_s: float, scalars: Mapping[str, float]) -> None:
    """Adds scalars to the event file of a folder; the file begins with its version.

    Args:
        folder: Of the training.
        step: They belong to.
        time_s: Seconds since 1970.
        scalars: By name.
    """
    path = folder / FILE_NAME
    is_new = not path.is_file()
    with path.open("ab") as file:
        if is_new:
            file.write(make_record(_field(1, _FIXED64, struct.pack("<d", time_s)) + _text(3, b"brain.Event:2")))
        values = b"".join(_text(1, _scalar(name, value)) for name, value in scalars.items())
        time = _field(1, _FIXED64, struct.pack("<d", time_s))
        file.write(make_record(time + _field(2, _VARINT, _varint(step)) + _text(5, values)))


def make_record(content: bytes) -> bytes:
    """A content with its length and checksums.

    Source: the format TFRecord, in the documentation of TensorFlow.
    """
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def crc32c(content: bytes) -> int:
    """The cyclic redundancy check of Castagnoli et al., 1993."""
    rest = 0xFFFFFFFF
    for byte in content:
        rest ^= byte
        for _ in range(8):
            rest = (rest >> 1) ^ (_POLYNOMIAL if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    turned = (crc >> 15) | (crc << 17)
    return struct.pack("<I", (turned + _MASK) & 0xFFFFFFFF)


def _scalar(name: str, value: float) -> bytes:
    return _text(1, name.encode()) + _field(2, _FIXED32, struct.pack("<f", value))


def _text(number: int, content: bytes) -> bytes:
    return _field(number, _BYTES, _varint(len(content)) + content)


def _field(number: int, wire_type: int, content: bytes) -> bytes:
    return _varint(number << 3 | wire_type) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
