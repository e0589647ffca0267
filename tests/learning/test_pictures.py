from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_pipeline.learning import pictures
from reid_pipeline.learning.pictures import GREY, MosaicMaker, Picture, read_labelled, read_video, render_pictures
from reid_pipeline.learning.virtual_views import View, ViewPlan
from reid_pipeline.storage.errors import InputError
from tests.scene import HEIGHT, WIDTH, write_video

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)], np.uint8)


@pytest.fixture
def folders(tmp_path):
    """A picture of 100 x 50 pixels without a label."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    cv2.imwrite(str(images / "a.png"), np.full((50, 100, 3), 7, np.uint8))
    return images, labels


def test_labels_by_hand(folders):
    (folders[1] / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n2 0.1 0.1 0.1 0.1\n\n0 0.9 0.5 0.2 1.0\n")
    [picture] = read_labelled(*folders, longest=1000)
    assert picture.image.shape == (50, 100, 3)
    assert picture.boxes.dtype == np.float32
    np.testing.assert_allclose(picture.boxes, [[40, 15, 60, 35], [80, 0, 100, 50]], atol=1e-4)


def test_a_long_picture_is_reduced_with_its_boxes(folders):
    (folders[1] / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    [picture] = read_labelled(*folders, longest=50)
    assert picture.image.shape == (25, 50, 3)
    np.testing.assert_allclose(picture.boxes, [[20, 7.5, 30, 17.5]], atol=1e-4)


@pytest.mark.parametrize("text", [None, "", "\n", "  \n\n", "1 0.5 0.5 0.1 0.1\n"])
def test_without_a_person_there_are_no_boxes(folders, text):
    if text is not None:
        (folders[1] / "a.txt").write_text(text)
    [picture] = read_labelled(*folders, longest=100)
    assert picture.boxes.shape == (0, 4)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.2\n", "0 a b c d\n", "0 0.5 0.5 0.1 0.1\n0 0.5\n"])
def test_a_wrong_label_is_one_line(folders, text):
    (folders[1] / "a.txt").write_text(text)
    with pytest.raises(InputError, match=r"a\.txt: .*expected .*class x y width height") as caught:
        read_labelled(*folders, longest=100)
    assert "\n" not in str(caught.value)


def test_an_unreadable_picture_is_named(folders):
    (folders[0] / "b.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.jpg: not a readable picture"):
        read_labelled(*folders, longest=100)


def test_folders_that_are_missing_or_empty_are_named(folders, tmp_path):
    images, labels = folders
    with pytest.raises(InputError, match=r"labels: expected a folder of \.jpg or \.png pictures"):
        read_labelled(labels, labels, longest=100)
    with pytest.raises(InputError, match="none: expected a folder"):
        read_labelled(tmp_path / "none", labels, longest=100)
    with pytest.raises(InputError, match=r"none: no such folder; expected the labels of .*images"):
        read_labelled(images, tmp_path / "none", longest=100)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Twenty frames, each as bright as ten times its number."""
    frames = (np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8) for number in range(20))
    return write_video(tmp_path_factory.mktemp("video") / "bright.mp4", frames)


@pytest.mark.parametrize("count", [1, 4, 7, 11, 15, 20])
def test_frames_are_spread_evenly_over_a_video(video, count):
    found = read_video(video, count, longest=80)
    numbers = [round(picture.image.mean() / 10) for picture in found]
    assert numbers == [int((index + 0.5) * 20 / count) for index in range(count)]
    assert all(picture.image.shape == (60, 80, 3) and picture.boxes is None for picture in found)


def test_a_video_gives_no_more_frames_than_it_has(video):
    assert len(read_video(video, 50, longest=80)) == 20


def test_what_is_no_video_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4: no such video"):
        read_video(tmp_path / "none.mp4", 3, longest=80)
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(InputError, match=r"text\.mp4: not a readable video: "):
        read_video(tmp_path / "text.mp4", 3, longest=80)


def test_boxes_of_the_virtual_site_shrink_with_its_pictures(monkeypatch):
    boxes = np.array([[0, 0, 100, 200], [10, 20, 50, 60]], np.float32)
    view = View(np.zeros((300, 400, 3), np.uint8), boxes, np.array([0.9, 0.2], np.float32))
    monkeypatch.setattr(pictures, "render_views", lambda plan: [view] * plan.frames)
    found = render_pictures(ViewPlan(1, 2, 3, 0), longest=200)
    assert [picture.image.shape for picture in found] == [(150, 200, 3)] * 2
    np.testing.assert_allclose(found[0].boxes, [[0, 0, 50, 100]])  # the other one is hardly in sight
    assert all(picture.exact for picture in found)


def painted(rng):
    """A picture of 240 x 160 pixels with six people, each flat in a colour of its own, and their boxes."""
    image = np.zeros((160, 240, 3), np.uint8)
    boxes = []
    for index, colour in enumerate(COLOURS):
        left, top = 80 * (index % 3) + rng.integers(4, 20), 80 * (index // 3) + rng.integers(4, 20)
        right, bottom = left + rng.integers(16, 50), top + rng.integers(20, 56)
        image[top:bottom, left:right] = colour
        boxes.append((left, top, right, bottom))
    return Picture(image, np.array(boxes, np.float32))


def extents(canvas):
    """Where each colour is, pixel by pixel: ``(6, 4)``, NaN where it is not."""
    found = np.full((len(COLOURS), 4), np.nan)
    for index, colour in enumerate(COLOURS):
        rows, columns = np.nonzero((np.abs(canvas.astype(int) - colour) < 100).all(axis=2))
        if len(rows):
            found[index] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return found


@pytest.mark.parametrize("zoom", [(0.3, 0.31), (0.8, 0.81), (0.99, 1.01), (1.5, 1.6)])
def test_boxes_stand_where_the_people_are_pasted(zoom):
    left, top, right, bottom = tile = (30, 20, 190, 150)
    compared = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        canvas = np.full((200, 220, 3), GREY, np.uint8)
        labels = MosaicMaker([[painted(rng)]], [1.0], 200)._paste(canvas, tile, rng, zoom)
        assert labels.tile == tile
        boxes = labels.boxes
        seen = extents(canvas)
        for box in boxes:
            error = np.abs(seen - box).max(axis=1)
            assert np.nanmin(error) <= 2.0
            compared += 1
        for each in seen[~np.isnan(seen).any(axis=1)]:  # who is wholly inside has a box
            inside = each[0] > left + 3 and each[1] > top + 3 and each[2] < right - 3 and each[3] < bottom - 3
            if inside and min(each[2:] - each[:2]) >= 6:
                assert np.abs(boxes - each).max(axis=1).min() <= 2.0
        canvas[top:bottom, left:right] = GREY
        assert (canvas == GREY).all()  # nothing beside the tile
    assert compared > 30


def test_people_who_are_mostly_cut_off_have_no_box():
    person = np.array([[0, 0, 100, 100], [70, 0, 100, 100], [40, 0, 43, 50]], np.float32)
    matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    kept = pictures._moved(person, matrix, (60, 0, 120, 100))
    np.testing.assert_allclose(kept, [[60, 0, 100, 100], [70, 0, 100, 100]])
    np.testing.assert_allclose(pictures._moved(person, matrix, (70, 0, 120, 100)), [[70, 0, 100, 100]])
    np.testing.assert_allclose(pictures._moved(person[2:], matrix, (0, 0, 120, 100)), np.empty((0, 4)))


def test_only_the_labelled_parts_of_a_mosaic_have_labels():
    picture = painted(np.random.default_rng(0))
    groups = {"labelled": picture, "exact": replace(picture, exact=True), "unlabelled": replace(picture, boxes=None)}

    def drawn(*names):
        maker = MosaicMaker([[groups[name]] for name in names], [1.0] * len(names), 96)
        return [maker.make(np.random.default_rng(seed))[1] for seed in range(120)]

    assert all(not labels for labels in drawn("unlabelled"))
    for labels in drawn("labelled"):
        assert len(labels) in (1, 4)
        assert sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (each.tile for each in labels)) == 96 * 96
    assert {len(labels) for labels in drawn("labelled", "unlabelled")} == {0, 1, 2, 3, 4}
    assert {each.exact for labels in drawn("labelled", "exact") for each in labels} == {False, True}
    assert {each.exact for labels in drawn("exact", "unlabelled") for each in labels} == {True}


def test_mosaics_follow_from_the_generator_alone():
    maker = MosaicMaker([[painted(np.random.default_rng(0))]], [1.0], 96)
    for seed in range(6):
        image, labels = maker.make(np.random.default_rng(seed))
        again, same = maker.make(np.random.default_rng(seed))
        boxes, same_boxes = (np.concatenate([each.boxes for each in found]) for found in (labels, same))
        assert (image.shape, image.dtype) == ((96, 96, 3), np.uint8)
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(boxes, same_boxes)
        assert (boxes[:, 2:] <= 96).all()
        assert (boxes >= 0).all()
    assert not np.array_equal(image, maker.make(np.random.default_rng(99))[0])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_warp_moves_whole_pixels(mirrored):
    """Boxes count from the picture's edge, the warp from the middle of its first pixel: both must meet."""
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    canvas = np.full((20, 30, 3), GREY, np.uint8)
    matrix = np.array([[-1, 0, 5 + 12] if mirrored else [1, 0, 5], [0, 1, 3]], np.float32)
    pictures._warp_into(canvas, image, matrix, (5, 3, 17, 11))
    np.testing.assert_array_equal(canvas[3:11, 5:17], image[:, ::-1] if mirrored else image)


def test_a_warp_enlarges_about_the_edge():
    image = np.repeat(np.repeat(np.eye(4, dtype=np.uint8)[..., None] * 200, 4, axis=0), 4, axis=1).repeat(3, axis=2)
    canvas = np.zeros((32, 32, 3), np.uint8)
    pictures._warp_into(canvas, image, np.array([[2, 0, 0], [0, 2, 0]], np.float32), (0, 0, 32, 32))
    np.testing.assert_array_equal(canvas, canvas[::-1, ::-1])  # as symmetric as it was
    assert canvas[4, 4, 0] == 200
    assert canvas[4, 12, 0] == 0
