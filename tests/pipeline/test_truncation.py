from __future__ import annotations

import pytest

from reid_pipeline.pipeline.truncation import missing_bytes

KINDS = [("clip.mp4", "faststart"), ("clip.mp4", ""), ("clip.mp4", "frag_keyframe+empty_moov"), ("clip.mkv", "")]


@pytest.mark.parametrize(("name", "movflags"), KINDS)
def test_the_cut_is_counted_to_the_byte(make_clip, name, movflags):
    path = make_clip(name, movflags=movflags)
    whole = path.read_bytes()
    assert missing_bytes(path) == 0
    path.write_bytes(whole[:-5])
    assert missing_bytes(path) == 5


def test_a_transport_stream_lacks_the_rest_of_its_last_packet(make_clip):
    path = make_clip("clip.ts")
    assert missing_bytes(path) == 0
    path.write_bytes(path.read_bytes()[:-10])
    assert missing_bytes(path) == 10


def test_avi_states_its_length(make_clip):
    path = make_clip("clip.avi", codec="mpeg4")
    assert missing_bytes(path) == 0
    path.write_bytes(path.read_bytes()[:-100])
    assert missing_bytes(path) == 100


def test_boxes_of_eight_byte_length_and_open_end(tmp_path):
    path = tmp_path / "large.mp4"
    ftyp = (12).to_bytes(4, "big") + b"ftypisom"
    path.write_bytes(ftyp + (1).to_bytes(4, "big") + b"mdat" + (5_000_000_000).to_bytes(8, "big"))
    assert missing_bytes(path) == 5_000_000_000 - 16
    path.write_bytes(ftyp + (0).to_bytes(4, "big") + b"mdat" + bytes(50))
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000)])
def test_what_states_no_length_lacks_nothing(tmp_path, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    assert missing_bytes(path) == 0
