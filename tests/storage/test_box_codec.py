from __future__ import annotations

import struct

import numpy as np
import pytest

from reid_pipeline.storage.box_codec import BYTES_PER_BOX, BoxArrays, pack_boxes, unpack_boxes


def arrays(frames, times):
    count = len(frames)
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4) + np.float32(0.25)
    scores = np.linspace(0.5, 1, count, dtype=np.float32)
    return BoxArrays(np.array(frames, np.int32), np.array(times, np.int64), boxes, scores)


def test_one_box_is_32_little_endian_bytes():
    box = np.array([[1, 2, 3, 4]], np.float32)
    packed = pack_boxes(BoxArrays(np.array([25], np.int32), np.array([2**40], np.int64), box, np.float32([0.5])))
    assert packed == struct.pack("<i5fq", 25, 1, 2, 3, 4, 0.5, 2**40)
    assert len(packed) == BYTES_PER_BOX == 32


def test_joined_segments_are_one_tracklet():
    first, second = arrays([3, 4], [30, 2**62]), arrays([9], [-1])
    joined = unpack_boxes(pack_boxes(first) + pack_boxes(second))
    joined.check()
    for name in BoxArrays._fields:
        expected = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(getattr(joined, name), expected)


def test_what_is_read_may_be_changed():
    boxes = unpack_boxes(pack_boxes(arrays([1], [1]))).boxes
    boxes += 1
    assert boxes[0, 0] == 1.25


def test_nothing_packs_to_nothing():
    assert pack_boxes(arrays([], [])) == b""
    assert unpack_boxes(b"").boxes.shape == (0, 4)


def test_a_cut_off_segment_is_refused():
    with pytest.raises(ValueError, match="multiple of 32 bytes, got 33"):
        unpack_boxes(bytes(33))


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("frames", np.array([1], np.int64), r"frames: expected \(1,\) int32, got \(1,\) int64"),
        ("boxes", np.zeros((1, 5), np.float32), r"boxes: expected \(1, 4\) float32, got \(1, 5\) float32"),
        ("scores", np.zeros(2, np.float32), r"scores: expected \(1,\) float32, got \(2,\) float32"),
        ("times_us", np.zeros(1, np.float64), r"times_us: expected \(1,\) int64, got \(1,\) float64"),
    ],
)
def test_check_names_expected_and_actual(field, wrong, message):
    with pytest.raises(ValueError, match=message):
        arrays([1], [1])._replace(**{field: wrong}).check()
