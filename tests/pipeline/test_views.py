import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.views import ViewPicker, cut, shape_quality, sharpness, store_pixels

SIZE = (480, 640)
NOISE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
BOX = np.array([100, 100, 140, 200], np.float32)


def quality(*boxes, score=1.0):
    return shape_quality(np.array(boxes, np.float32), np.full(len(boxes), score, np.float32), SIZE)


def frame(index, image=NOISE):
    """Frames are a tenth of a second apart; the first is at time 0."""
    return Frame("hall", index, (index - 1) * 100_000, image, 0.0)


def test_quality_by_hand():
    whole, small, cut_off = [100, 100, 150, 228], [300, 100, 320, 164], [0, 100, 50, 228]
    np.testing.assert_allclose(quality(whole, small, cut_off, score=0.8), [0.8, 0.4, 0.4])


def test_a_covered_person_is_a_worse_view():
    alone, near, behind = quality([0 + 10, 10, 60, 138], [200, 10, 250, 138], [225, 10, 275, 138])
    assert alone == 1
    np.testing.assert_allclose([near, behind], 0.5)


@pytest.mark.parametrize("box", [[100, 100, 300, 240], [100, 100, 110, 240]])
def test_a_box_of_odd_shape_is_a_worse_view(box):
    assert quality(box) == pytest.approx(0.6)


@pytest.mark.parametrize("edge", [[1, 50, 60, 200], [50, 1, 110, 150], [579, 50, 639, 200], [50, 329, 110, 479]])
def test_a_box_at_any_edge_is_a_worse_view(edge):
    assert quality(edge) == pytest.approx(0.5)


def test_sharp_crops_are_better_than_blurred_ones():
    blurred = cv2.GaussianBlur(NOISE, (0, 0), 8)
    assert sharpness(NOISE) == 1
    assert sharpness(blurred) < 0.5
    assert sharpness(np.full((20, 10, 3), 90, np.uint8)) == 0


def test_stored_pixels_are_what_the_jpeg_gives():
    jpeg, pixels = store_pixels(cut(NOISE, BOX))
    np.testing.assert_array_equal(pixels, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    assert pixels.shape == (100, 40, 3)


def test_cut_takes_every_pixel_that_the_box_touches():
    np.testing.assert_array_equal(cut(NOISE, np.array([10.7, 20, 12.2, 30], np.float32)), NOISE[20:30, 10:13])


@pytest.mark.parametrize("seed", range(50))
def test_cut_is_never_empty(seed):
    box = np.random.default_rng(seed).normal(300, 600, 4).astype(np.float32)
    assert cut(NOISE, box).size > 0


def test_stretches_of_time_double():
    picker, taken = ViewPicker(0), []
    for index in range(1, 300):
        picker.offer(frame(index), BOX, 0.9)
        if picker.take(frame(index).time_us):
            taken.append(index - 1)
    assert taken == [4, 12, 28, 60, 124, 252]  # tenths of a second


def test_the_best_view_of_the_stretch_is_taken():
    picker = ViewPicker(0)
    for index, value in enumerate([0.3, 0.8, 0.5], start=1):
        picker.offer(frame(index), BOX, value)
    best = picker.take(400_000)
    assert (best.frame, best.time_us, best.quality) == (2, 100_000, pytest.approx(0.8))
    np.testing.assert_array_equal(best.crop, cut(NOISE, BOX))


def test_blur_spoils_a_view():
    picker = ViewPicker(0)
    picker.offer(frame(1, np.full_like(NOISE, 90)), BOX, 0.9)
    picker.offer(frame(2), BOX, 0.6)
    assert picker.take_last().frame == 2


def test_a_view_outlives_its_frame():
    image = NOISE.copy()
    picker = ViewPicker(0)
    picker.offer(frame(1, image), BOX, 0.9)
    image[:] = 0
    assert picker.take_last().crop.any()


def test_take_last_gives_what_is_left():
    picker = ViewPicker(0)
    picker.offer(frame(1), BOX, 0.9)
    assert picker.take(0) is None
    assert picker.take_last().frame == 1
    assert picker.take_last() is None
    assert picker.take(10_000_000) is None
