"""Heads are blurred where a box says that they are, beyond repair, and before anything is encoded, stored or drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.evaluate import evaluate_reid
from reid_pipeline.pipeline.head_blur import BLOCKS, blur_head, blur_heads, find_heads
from reid_pipeline.pipeline.image_folder import encode_images
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.pipeline.site_data import open_site
from tests.pipeline.builders import MeanColourEncoder
from tests.pipeline.run_site import RunSite
from tests.scene import PERSON_WIDTH, WALKS, render, write_settings, write_video

RNG = np.random.default_rng(4)
WHOLE = (160, 64)
HEAD = slice(4, 24), slice(22, 42)  # of a whole person in a crop of that size


def noise(height, width):
    return RNG.integers(0, 255, (height, width, 3)).astype(np.uint8)


def box(*sides):
    return np.array([sides], np.float32)


def detail(image):
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


class TestBlur:
    def test_only_the_head_is_changed(self):
        crop = noise(*WHOLE)
        blurred = blur_head(crop)
        np.testing.assert_array_equal(blurred[32:], crop[32:])
        np.testing.assert_array_equal(blurred[:, :6], crop[:, :6])
        np.testing.assert_array_equal(blurred[:, -6:], crop[:, -6:])
        assert detail(blurred[HEAD]) < detail(crop[HEAD]) / 8
        assert (crop != blur_head(crop)).any()  # the crop itself is as it was

    @pytest.mark.parametrize("scale", [1, 2, 5])
    def test_no_more_is_left_than_some_blocks_whatever_the_size(self, scale):
        """Of any heads the blurred ones span no more dimensions than there are blocks under the head."""
        rows, columns = HEAD
        inside = (
            slice((rows.start + 2) * scale, (rows.stop - 2) * scale),
            slice(columns.start * scale, columns.stop * scale),
        )
        crops = (noise(*WHOLE).repeat(scale, axis=0).repeat(scale, axis=1) for _ in range(120))
        heads = np.stack([blur_head(crop)[inside][..., 0] for crop in crops])
        flat = heads.reshape(len(heads), -1).astype(float)
        strengths = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
        blocks = (BLOCKS + 1) * 6
        assert strengths[blocks:].sum() < 0.01 * strengths.sum()
        assert strengths[8:].sum() > 0.01 * strengths.sum()  # the bound says something

    def test_a_fine_pattern_is_gone(self):
        plain = np.full((*WHOLE, 3), 120, np.uint8)
        face = plain.copy()
        face[HEAD] += (np.indices((20, 20)).sum(axis=0) % 2 * 100).astype(np.uint8)[..., None]
        blurred = blur_head(face)[4:22, 24:40, 0].astype(float)
        smooth = cv2.GaussianBlur(blurred, (0, 0), 2)
        checked = (np.indices(blurred.shape).sum(axis=0) % 2).ravel()
        sharpened = (blurred - smooth).ravel()
        assert abs(np.corrcoef(sharpened, checked)[0, 1]) < 0.1
        assert detail(blurred) < 5  # of 100

    def test_heads_are_larger_of_people_who_are_cut_off_below(self):
        whole, half = find_heads(box(0, 0, 60, 160))[0], find_heads(box(0, 0, 100, 100))[0]
        assert whole[3] == pytest.approx(27.2)
        assert half[3] == pytest.approx(38)
        assert find_heads(box(0, 0, 300, 100))[0, 3] == pytest.approx(45)

    def test_the_heads_of_others_in_a_crop_are_blurred_too(self):
        image = noise(200, 200)
        before = image.copy()
        blur_heads(image, np.array([[20, 20, 90, 190], [60, 70, 130, 200]], np.float32))
        own, other = (slice(24, 40), slice(40, 70)), (slice(74, 86), slice(80, 90))  # the second one in the first's box
        for place in own, other:
            assert detail(image[place]) < detail(before[place]) / 5
        np.testing.assert_array_equal(image[110:], before[110:])

    @pytest.mark.parametrize(
        "sides",
        [
            (-30, -20, 40, 150),
            (170, 160, 240, 320),
            (-90, 10, -10, 200),
            (50, 300, 80, 400),
            (9, 9, 9, 9),
            (5, 5, 6, 6),
        ],
    )
    def test_boxes_may_reach_beyond_the_picture(self, sides):
        image = noise(200, 200)
        before = image.copy()
        blur_heads(image, box(*sides))
        x1, y1, x2, y2 = (int(side) for side in sides)
        rest = np.ones((200, 200), bool)
        rest[max(y1 - 20, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = False
        np.testing.assert_array_equal(image[rest], before[rest])

    def test_a_box_cut_by_the_edge_is_blurred_as_far_as_it_is_seen(self):
        image = noise(200, 200)
        before = image.copy()
        blur_heads(image, box(-30, 0, 40, 180))
        assert detail(image[5:25, :20]) < detail(before[5:25, :20]) / 5


def faces(walks):
    """The scene with a fine pattern for faces, which leaves the mean colour as it is."""
    for frame, picture in enumerate(render(walks), start=1):
        for walk in walks:
            if (left := walk.left(frame)) is not None:
                part = picture[walk.top + 2 : walk.top + 14, left + 12 : left + 28]
                part[:] = np.where((np.indices(part.shape[:2])[1] // 2 % 2)[..., None], part, part // 3)
        yield picture


@pytest.fixture(scope="module")
def masked(tmp_path_factory, scene):
    """A site whose people have faces, run with and without blurred heads; tests only read them."""
    folder = tmp_path_factory.mktemp("faces")
    video = write_video(folder / "hall.mp4", faces(WALKS["hall"]))
    sites = {}
    for blur in (True, False):
        settings = scene.settings | {
            "site": {"blur_heads": blur},
            "cameras": {"hall": {"inputs": [{"path": str(video)}]}},
            "outputs": {"video": True},
        }
        sites[blur] = RunSite(folder / str(blur), settings)
        assert sites[blur].run() == 0
    return sites


def face_of(picture):
    """The part of a crop or picture where the face is."""
    return picture[4:13, 13:27]


class TestRun:
    def test_stored_crops_are_blurred_and_are_what_was_encoded(self, masked, scene):
        encoder = build_encoder(str(scene.encoder))
        for blur, site in masked.items():
            rows = site.query("SELECT path, vector FROM crops JOIN embeddings e ON e.crop_id = crops.id")
            assert rows
            for path, vector in rows:
                crop = cv2.imread(str(site.data_dir / path))
                assert (detail(face_of(crop)) < 12) == blur
                stored = np.frombuffer(vector, "<f4")
                np.testing.assert_allclose(encoder.encode([crop])[0], stored, atol=1e-5)

    def test_the_corpus_learns_from_the_same(self, masked):
        for blur, site in masked.items():
            with open_site(None, site.data_dir) as opened:
                from reid_pipeline.storage.corpus_store import CorpusStore

                store = CorpusStore(opened.database)
                jpegs = [jpeg for _, jpeg in store.read(store.items())]
            assert jpegs
            for jpeg in jpegs:
                crop = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                assert (detail(face_of(crop)) < 12) == blur

    def test_the_video_shows_no_face(self, masked):
        walk = WALKS["hall"][0]
        found = {}
        for blur, site in masked.items():
            reader = cv2.VideoCapture(str(site.data_dir / "videos" / "hall.mp4"))
            pictures = [reader.read()[1] for _ in range(30)]
            left = walk.left(30)
            found[blur] = detail(face_of(pictures[29][walk.top :, left : left + PERSON_WIDTH]))
        assert found[True] < found[False] / 2

    def test_the_switch_is_told_where_it_is_not_the_default(self, masked):
        assert (
            "site.blur_heads" not in masked[True].summary()["settings"]
            or masked[True].summary()["settings"]["site.blur_heads"]
        )
        assert masked[False].summary()["settings"]["site.blur_heads"] is False
        with open_site(None, masked[False].data_dir) as site:
            assert not site.blurs_heads
        with open_site(None, masked[True].data_dir) as site:
            assert site.blurs_heads


def test_imported_crops_are_made_as_the_site_sees_people(tmp_path, scene):
    crops = tmp_path / "crops"
    crops.mkdir()
    picture = noise(*WHOLE)
    cv2.imwrite(str(crops / "one.jpg"), picture)
    for blur in (True, False):
        config = write_settings(tmp_path / str(blur), scene.settings | {"site": {"blur_heads": blur}})
        assert run_command_line(["corpus", "import", str(crops), str(config)]) == 0
        assert run_command_line(["corpus", "export", str(tmp_path / f"out-{blur}"), str(config)]) == 0
        [file] = (tmp_path / f"out-{blur}").rglob("*.jpg")
        found = cv2.imread(str(file))
        if not blur:
            assert file.read_bytes() == (crops / "one.jpg").read_bytes()
        assert (detail(found[HEAD]) < detail(picture[HEAD]) / 4) == blur


def test_scores_and_replays_can_be_of_blurred_crops(tmp_path):
    for folder in ("query", "gallery"):
        (tmp_path / folder).mkdir()
    files = [tmp_path / "query" / "0001_c1s1_000001_00.png", tmp_path / "gallery" / "0001_c2s1_000001_00.png"]
    for file in files:
        picture = np.full((100, 40, 3), (10, 200, 10), np.uint8)
        picture[3:14, 12:28, 0] = 250
        cv2.imwrite(str(file), picture)
    encoder = MeanColourEncoder()
    plain, blurred = (encode_images(files, encoder, lambda _: None, blur_heads=blur) for blur in (False, True))
    expected = encoder.encode([blur_head(cv2.imread(str(file))) for file in files])
    np.testing.assert_array_equal(blurred, expected)
    assert (plain != blurred).any()
    scores = evaluate_reid(tmp_path / "query", tmp_path / "gallery", encoder, blur_heads=True)
    assert scores.as_dict()["rank1"] == 100
