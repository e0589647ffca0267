import numpy as np
import pytest

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.mot_format import (
    BoxTracks,
    PointTracks,
    TrackKeys,
    read_mot,
    read_mot_points,
    read_mtmc,
    read_mtmc_points,
)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "tracks.txt"
        path.write_text(text)
        return path

    return write


def test_mot_text_gives_corners_and_confidence(file):
    tracks = read_mot(file("1,7,10.5,20,30,40,0.9,-1,-1,-1\n2,7,11,21,30,40,1\n"))
    assert tracks.keys.cameras.tolist() == ["", ""]
    assert tracks.keys.frames.tolist() == [1, 2]
    assert tracks.keys.ids.tolist() == [7, 7]
    assert tracks.boxes.tolist() == [[10.5, 20, 40.5, 60], [11, 21, 41, 61]]
    assert tracks.confidences.tolist() == [0.9, 1]


def test_mtmc_text_keeps_the_names_of_the_cameras(file):
    tracks = read_mtmc(file("lobby,1,3,0,0,10,20,1\n12, 1, 3, 0, 0, 10, 20, 1\n"))
    assert tracks.keys.cameras.tolist() == ["lobby", "12"]
    assert tracks.keys.ids.tolist() == [3, 3]


def test_comments_empty_lines_and_byte_order_mark_are_skipped(file):
    tracks = read_mot(file("\ufeff# frame,id,...\n\n  # more\n1,1,0,0,1,1,1\n   \n"))
    assert len(tracks.keys) == 1


def test_an_empty_file_has_no_rows(file):
    tracks = read_mot(file(""))
    assert len(tracks.keys) == 0
    assert tracks.boxes.shape == (0, 4)
    assert tracks.keys.frames.dtype == np.int64


def test_confidence_zero_is_ignored_in_ground_truth_only(file):
    path = file("1,1,0,0,1,1,0\n1,2,0,0,1,1,1\n")
    assert read_mot(path, drop_ignored=True).keys.ids.tolist() == [2]
    assert read_mot(path).keys.ids.tolist() == [1, 2]


def test_whole_numbers_may_be_written_with_a_point(file):
    assert read_mot(file("2.0,5.0,0,0,1,1,1\n")).keys.ids.tolist() == [5]


def test_foot_point_is_the_middle_of_the_lower_edge(file):
    points = read_mot(file("1,1,10,20,30,40,1\n")).foot_points()
    assert points.points.tolist() == [[25, 60]]


def test_frames_after_the_last_one_are_left_out(file):
    path = file("1,1,0,0,1,1,1\n3,2,0,0,1,1,1\n2,3,0,0,1,1,1\n")
    assert read_mot(path).up_to(2).keys.ids.tolist() == [1, 3]
    assert read_mot_points(path).up_to(1).keys.ids.tolist() == [1]


def test_foot_points_of_one_camera(file):
    points = read_mot_points(file("# frame,id,foot_x,foot_y\n1,9,372.1,216.5\n2,9,367.3,217.5\n"))
    assert points.keys.frames.tolist() == [1, 2]
    assert points.points.tolist() == [[372.1, 216.5], [367.3, 217.5]]


def test_foot_points_and_boxes_of_a_site_may_be_mixed(file):
    text = "a,1,9,5,6\nb,1,9,10,20,30,40,1\nb,1,8,10,20,30,40,0\n"
    points = read_mtmc_points(file(text))
    assert points.keys.cameras.tolist() == ["a", "b"]
    assert points.points.tolist() == [[5, 6], [25, 60]]


MALFORMED = [
    (read_mot, "1,1,0,0,1,1,1\n1,2,0,zero,1,1,1\n", "line 2: top is 'zero'; expected a number"),
    (read_mot, "1,1,0,0,nan,1,1\n", "line 1: width is 'nan'; expected a number"),
    (read_mot, "1,1,0,0,-4,1,1\n", "line 1: width is '-4'; expected 0 or more pixels"),
    (read_mot, "0,1,0,0,1,1,1\n", "line 1: frame is 0; expected 1 or more"),
    (read_mot, "1,1.5,0,0,1,1,1\n", "line 1: id is '1.5'; expected a whole number"),
    (
        read_mot,
        "1,1,0,0,1\n",
        "line 1: '1,1,0,0,1' has 5 columns; expected frame,id,left,top,width,height,conf",
    ),
    (read_mot, "1,1,5,6\n", "foot points are scored with the match foot:PIXELS"),
    (
        read_mot,
        "1,4,0,0,1,1,1\n#\n1,4,5,5,1,1,1\n",
        "line 3: id 4 is in frame 1 already (line 1); expected once a frame",
    ),
    (
        read_mtmc,
        "lobby,1,4,0,0,1,1,1\nlobby,1,4,5,5,1,1,1\n",
        "line 2: identity 4 is in frame 1 of camera 'lobby' already (line 1)",
    ),
    (read_mtmc, ",1,4,0,0,1,1,1\n", "line 1: camera is ''; expected a name"),
    (read_mtmc, "1,4,0,0,1,1,1\n", "has 7 columns; expected camera,frame,identity,left,top,width,height,conf"),
    (read_mot_points, "1,4,5,six\n", "line 1: foot_y is 'six'; expected a number"),
    (
        read_mtmc_points,
        "1,4,5,6\n",
        "has 4 columns; expected camera,frame,identity,foot_x,foot_y "
        "or camera,frame,identity,left,top,width,height,conf",
    ),
]


@pytest.mark.parametrize(("read", "text", "message"), MALFORMED)
def test_a_malformed_line_is_named_in_one_line(file, read, text, message):
    path = file(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read \(No such file or directory\)"):
        read_mot(tmp_path / "none.txt")


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"1,2\xff\xfe")
    with pytest.raises(InputError, match=r"is not text \(byte 3\)"):
        read_mot(path)


def test_arrays_of_different_lengths_are_refused():
    keys = TrackKeys(np.array(["a"]), np.array([1]), np.array([1]))
    with pytest.raises(ValueError, match="three arrays of one length"):
        TrackKeys(np.array(["a"]), np.array([1, 2]), np.array([1]))
    with pytest.raises(ValueError, match=r"expected \(1, 2\), got \(2, 2\)"):
        PointTracks(keys, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"expected \(1, 4\) and \(1,\)"):
        BoxTracks(keys, np.zeros((1, 3)), np.zeros(1))
