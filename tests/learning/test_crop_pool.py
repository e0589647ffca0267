import cv2
import numpy as np
import pytest

from reid_pipeline.learning import crop_pool
from reid_pipeline.learning.crop_pool import (
    cut,
    cut_labelled,
    detect_crops,
    read_crops,
    recolour,
    render_crops,
    swap_halves,
)
from reid_pipeline.learning.virtual_views import View, ViewPlan
from reid_pipeline.pipeline.models import build_detector
from reid_pipeline.storage.errors import InputError
from tests.scene import HEIGHT, WIDTH, write_video


def flat(value, size=(40, 20)):
    return np.full((*size, 3), value, np.uint8)


def save(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


@pytest.fixture
def noise():
    """Ten crops of noise; no two rows are alike."""
    return np.random.default_rng(0).integers(0, 256, (10, 64, 32, 3)).astype(np.uint8)


def test_a_folder_is_read_without_junk_and_distractors(tmp_path):
    names = {"0002_c1s1_000001_00": flat(20), "-1_c1s1_000001_00": flat(1), "0000_c1s1_000001_00": flat(2)}
    pool = read_crops(save(tmp_path / "crops", **names, **{"0001_c1s1_000001_00": flat(10)}), (16, 8))
    assert (pool.shape, pool.dtype) == ((2, 16, 8, 3), np.uint8)
    assert [crop.mean() for crop in pool] == [10, 20]  # by name


def test_folders_without_crops_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none: expected a folder of \.jpg or \.png"):
        read_crops(tmp_path / "none", (16, 8))
    folder = save(tmp_path / "junk", **{"-1_c1s1_000001_00": flat(1)})
    with pytest.raises(InputError, match="junk: no crop of a person in it"):
        read_crops(folder, (16, 8))
    (folder / "0001_c1s1_000001_00.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0001_c1s1_000001_00\.jpg: not a readable picture"):
        read_crops(folder, (16, 8))


def test_cut_by_hand():
    image = np.zeros((100, 200, 3), np.uint8)
    image[10:70, 20:50] = 50
    image[0:60, 150:200] = 90
    boxes = np.array(
        [[20.4, 9.6, 49.6, 70.3], [150, -20, 230, 60], [0, 0, 30, 39], [0, 0, 9, 90], [-50, 0, 5, 90]], np.float32
    )
    crops = cut(image, boxes, (32, 16))
    assert [crop.shape for crop in crops] == [(32, 16, 3)] * 2  # the others are small, or nearly outside
    assert [(crop.min(), crop.max()) for crop in crops] == [(50, 50), (90, 90)]


def test_labelled_people_are_cut_where_they_stand_upright(tmp_path):
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[10:90, 10:40] = 60
    images = save(tmp_path / "images", a=picture)
    (tmp_path / "labels").mkdir()
    lines = "0 0.25 0.5 0.3 0.8\n0 0.5 0.5 0.7 0.8\n"  # upright; nearly as wide as high
    (tmp_path / "labels" / "a.txt").write_text(lines)
    pool = cut_labelled(images, tmp_path / "labels", (16, 8))
    assert pool.shape == (1, 16, 8, 3)
    assert (pool == 60).all()
    (tmp_path / "labels" / "a.txt").write_text(lines.splitlines()[1])
    with pytest.raises(InputError, match="labels: nobody upright and at least 40 pixels tall"):
        cut_labelled(images, tmp_path / "labels", (16, 8))


def test_the_crops_of_the_virtual_site_are_of_people_well_in_sight(monkeypatch):
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = 80
    boxes = np.array([[0, 0, 40, 90], [55, 0, 95, 90]], np.float32)
    view = View(image, boxes, np.array([0.4, 0.6], np.float32))
    monkeypatch.setattr(crop_pool, "render_views", lambda plan: [view] * plan.frames)
    pool = render_crops(ViewPlan(1, 2, 3, 0), (16, 8))
    assert pool.shape == (2, 16, 8, 3)
    assert (pool == 80).all()
    monkeypatch.setattr(crop_pool, "render_views", lambda plan: [])
    with pytest.raises(InputError, match=r"ViewPlan\(places=1.*nobody is well in sight"):
        render_crops(ViewPlan(1, 2, 3, 0), (16, 8))


def test_detected_people_are_cut_out(scene, tmp_path):
    detector = build_detector(str(scene.detector), 0.5)
    pool = detect_crops([scene.video("hall"), scene.video("door")], 4, detector, (48, 24))
    assert pool.shape[1:] == (48, 24, 3)
    assert 4 <= len(pool) <= 16
    saturation = pool.max(axis=3).astype(int) - pool.min(axis=3)
    assert (saturation.mean(axis=(1, 2)) > 100).all()  # the background is grey
    empty = write_video(tmp_path / "empty.mp4", [flat(100, (HEIGHT, WIDTH))] * 4)
    with pytest.raises(InputError, match=r"empty\.mp4: nobody was detected"):
        detect_crops([empty], 2, detector, (48, 24))


def test_swapped_people_have_the_halves_of_two(noise):
    made = swap_halves(noise, 60, np.random.default_rng(1))
    assert (made.shape, made.dtype) == ((60, 64, 32, 3), np.uint8)
    pairs, waists = set(), []
    for person in made:
        [upper] = [index for index, crop in enumerate(noise) if np.array_equal(crop[0], person[0])]
        [lower] = [index for index, crop in enumerate(noise) if np.array_equal(crop[-1], person[-1])]
        kept = [np.array_equal(row, wanted) for row, wanted in zip(person, noise[upper], strict=True)]
        taken = [np.array_equal(row, wanted) for row, wanted in zip(person, noise[lower], strict=True)]
        pairs.add((upper, lower))
        if upper == lower:
            continue
        first, last = kept.index(False), len(taken) - taken[::-1].index(False)
        assert all(kept[:first])
        assert all(taken[last:])
        assert 3 <= last - first <= 4  # the seam
        waists.append((first + last) / 2 / 64)
        low, high = np.minimum(noise[upper], noise[lower]), np.maximum(noise[upper], noise[lower])
        assert (person >= low).all()
        assert (person <= high).all()
    assert len(pairs) > 30
    assert np.mean(waists) == pytest.approx(0.5, abs=0.03)
    assert np.std(waists) == pytest.approx(0.05, abs=0.02)


def test_recoloured_people_keep_their_light_and_shade(noise):
    turned = recolour(noise, 20, np.random.default_rng(1))
    assert (turned.shape, turned.dtype) == ((20, 64, 32, 3), np.uint8)
    values = noise.max(axis=3).astype(int)
    for person in turned:
        apart = np.abs(values - person.max(axis=2)).max(axis=(1, 2))
        assert apart.min() <= 1
        source = noise[apart.argmin()]
        assert np.abs(source.astype(int) - person).mean() > 10
    grey = np.repeat(noise[..., :1], 3, axis=3)
    np.testing.assert_array_equal(recolour(grey[:1], 1, np.random.default_rng(0)), grey[:1])


@pytest.mark.parametrize("make", [swap_halves, recolour])
def test_new_people_follow_from_the_generator_alone(noise, make):
    first, second, other = (make(noise, 4, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert make(noise, 0, np.random.default_rng(0)).shape == (0, 64, 32, 3)
