from itertools import combinations

import av
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.video import AnnotatedVideo, draw, identity_colour
from reid_pipeline.pipeline.zones import Zone

BLACK = np.zeros((240, 320, 3), np.uint8)
NOBODY = TrackedBoxes((), np.empty((0, 4), np.float32), np.empty(0, np.float32), ())


def tracked(*boxes):
    return TrackedBoxes(
        tuple(range(1, len(boxes) + 1)), np.array(boxes, np.float32), np.full(len(boxes), 0.9, np.float32), ()
    )


def test_an_identity_keeps_its_colour_and_shares_it_with_no_near_one():
    colours = [identity_colour(identity) for identity in range(1, 13)]
    assert colours == [identity_colour(identity) for identity in range(1, 13)]
    assert min(np.abs(np.subtract(one, other)).max() for one, other in combinations(colours, 2)) > 20
    assert all(0 <= value <= 255 for colour in colours for value in colour)


def test_the_unknown_are_grey():
    blue, green, red = identity_colour(None)
    assert blue == green == red


def test_draw_leaves_the_input_alone_and_draws_the_box_in_its_colour():
    drawn = draw(BLACK, tracked([100, 80, 160, 200]), {1: 7})
    assert not BLACK.any()
    for y, x in [(150, 100), (150, 160), (200, 130)]:
        assert tuple(drawn[y, x].tolist()) == identity_colour(7)
    assert not drawn[150, 130].any()
    assert not drawn[220:, 200:].any()


def test_unknown_and_known_people_look_different():
    box = tracked([100, 80, 160, 200])
    assert tuple(draw(BLACK, box, {})[150, 100].tolist()) == identity_colour(None)
    assert (draw(BLACK, box, {1: 7}) != draw(BLACK, box, {1: 8})).any()


def test_zones_are_outlined_and_named_below_the_boxes():
    zone = Zone("door", np.array([[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0]]))
    drawn = draw(BLACK, tracked([140, 80, 180, 200]), {1: 7}, [zone])
    for y, x in [(200, 160), (239, 300), (180, 319)]:
        assert tuple(drawn[y, x].tolist()) == ((255, 255, 255) if x > 180 else identity_colour(7))
    assert not drawn[180, 240].any()
    label = draw(BLACK, NOBODY, {}, [zone])[105:120, 161:180]
    assert (label[4:8] > 128).mean() > 0.9
    assert (label[8:14] < 128).any()


@pytest.mark.parametrize("box", [[-50, -50, 20, 30], [300, 200, 900, 900], [-9e3, -9e3, -8e3, -8e3], [5, 5, 5, 5]])
def test_boxes_at_the_edge_do_no_harm(box):
    assert draw(BLACK, tracked(box), {1: 3}).shape == BLACK.shape


def read(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return rate, [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(("size", "kept"), [((48, 64), (48, 64)), ((49, 65), (48, 64))])
def test_the_video_has_every_frame(tmp_path, size, kept):
    video = AnnotatedVideo(tmp_path / "videos" / "hall.mp4", 12.5)
    for index in range(1, 31):
        image = np.full((*size, 3), index * 8, np.uint8)
        video.write(Frame("hall", index, 0, image, 0.0), NOBODY, {})
    video.close()
    rate, frames = read(tmp_path / "videos" / "hall.mp4")
    assert float(rate) == pytest.approx(12.5)
    assert [frame.shape for frame in frames] == [(*kept, 3)] * 30
    np.testing.assert_allclose([frame.mean() for frame in frames], np.arange(1, 31) * 8, atol=4)


def test_what_was_found_is_in_the_video(tmp_path):
    video = AnnotatedVideo(tmp_path / "hall.mp4", 25)
    video.write(Frame("hall", 1, 0, BLACK, 0.0), tracked([100, 80, 160, 200]), {1: 7})
    video.close()
    _, (frame,) = read(tmp_path / "hall.mp4")
    assert frame[150, 100].max() > 100
    assert frame[150, 130].max() < 40


def test_zones_are_in_every_frame_of_the_video(tmp_path):
    video = AnnotatedVideo(tmp_path / "hall.mp4", 25, [Zone("door", np.array([[0, 0.5], [1, 0.5], [1, 1]]))])
    for index in (1, 2):
        video.write(Frame("hall", index, 0, BLACK, 0.0), NOBODY, {})
    video.close()
    _, frames = read(tmp_path / "hall.mp4")
    assert all(frame[120, 200].max() > 100 > frame[60, 200].max() for frame in frames)


def test_a_camera_without_any_frame_closes_quietly(tmp_path):
    AnnotatedVideo(tmp_path / "hall.mp4", 25).close()
