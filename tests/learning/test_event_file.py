import struct

import pytest

from reid_pipeline.learning.event_file import FILE_NAME, append_scalars, crc32c, make_record


def records_of(data):
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        assert make_record(data[12 : 12 + length]) == data[: 16 + length]
        data = data[16 + length :]


def fields_of(message):
    """Number and value of each field of a protocol buffer."""
    while message:
        key, message = varint_of(message)
        kind = key & 7
        if kind == 0:
            value, message = varint_of(message)
        else:
            length, message = varint_of(message) if kind == 2 else ({1: 8, 5: 4}[kind], message)
            value, message = message[:length], message[length:]
        yield key >> 3, value


def varint_of(message):
    value = 0
    for place, byte in enumerate(message):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, message[place + 1 :]
    raise ValueError("unfinished")


def test_the_checksum_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_a_record_by_hand():
    length = struct.pack("<Q", 9)
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    record = make_record(b"123456789")
    assert record[:8] == length
    assert record[12:] == b"123456789" + struct.pack("<I", masked)


def test_scalars_come_back(tmp_path):
    append_scalars(tmp_path, 50, 12.5, {"contrast": 2.25, "rate": 0.001})
    append_scalars(tmp_path, 300, 13.5, {"contrast": 1.5})
    version, first, second = (list(fields_of(each)) for each in records_of((tmp_path / FILE_NAME).read_bytes()))
    assert (3, b"brain.Event:2") in version
    for event, time, step, wanted in (
        (first, 12.5, 50, {"contrast": 2.25, "rate": 0.001}),
        (second, 13.5, 300, {"contrast": 1.5}),
    ):
        content = dict(event)
        assert struct.unpack("<d", content[1]) == (time,)
        assert content[2] == step
        values = [dict(fields_of(value)) for number, value in fields_of(content[5]) if number == 1]
        found = {value[1].decode(): struct.unpack("<f", value[2])[0] for value in values}
        assert found == pytest.approx(wanted)
