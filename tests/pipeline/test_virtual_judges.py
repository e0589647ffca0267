"""Models that were trained on real people judge the virtual ones: found as people, and told apart neither all nor not.

A test site is small, so its figures are rough; the bounds are those that the whole site must keep.
"""

import os
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.evaluate import evaluate_detect, evaluate_reid
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.virtual_site import VirtualSite, build_site, render_frame

pytestmark = [pytest.mark.data, pytest.mark.slow]

LABELLED_VISIBILITY = 0.3
CROP_VISIBILITY = 0.4
CROP_MIN_HEIGHT_PX = 50
CROPS_EACH = 7


@pytest.fixture(scope="module")
def weights() -> Path:
    root = os.environ.get("REID_TEST_DATA")
    if not root:
        pytest.skip("REID_TEST_DATA is not set")
    return Path(root) / "weights"


def write_images(site: VirtualSite, folder: Path, every: int) -> None:
    """Every ``every``-th frame of all cameras, with YOLO labels."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, camera in enumerate(site.cameras):
        for number in range(0, site.frames, every):
            frame, stem = render_frame(site, index, number), f"{site.seed}_{camera.name}_{number:05d}"
            cv2.imwrite(str(folder / "images" / f"{stem}.jpg"), frame.image)
            boxes = frame.boxes[frame.visibility > LABELLED_VISIBILITY] / np.tile([camera.width, camera.height], 2)
            rows = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
            text = "".join("0 " + " ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)
            (folder / "labels" / f"{stem}.txt").write_text(text)


def write_crops(site: VirtualSite, folder: Path, every: int) -> None:
    """One query and up to six gallery crops of each person in each camera, named as in Market-1501."""
    crops: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = defaultdict(list)
    for index in range(len(site.cameras)):
        for number in range(0, site.frames, every):
            frame = render_frame(site, index, number)
            for box, person, seen in zip(frame.boxes.astype(int), frame.identities, frame.visibility, strict=True):
                if seen > CROP_VISIBILITY and box[3] - box[1] > CROP_MIN_HEIGHT_PX:
                    crop = frame.image[box[1] : box[3], box[0] : box[2]]
                    crops[int(person), index].append((number, crop))
    rng = np.random.default_rng(0)
    for name in ("query", "gallery"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for (person, index), found in crops.items():
        for rank, chosen in enumerate(rng.permutation(len(found))[:CROPS_EACH]):
            number, crop = found[chosen]
            name = f"{person:04d}_c{index + 1}s1_{number:06d}_00.jpg"
            cv2.imwrite(str(folder / ("gallery" if rank else "query") / name), crop)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_detector_of_real_people_finds_the_virtual_ones(weights, tmp_path, seed):
    write_images(build_site(3, 12, 30, 2, seed), tmp_path, every=10)
    detector = build_detector(str(weights / "yolo11n_int8_openvino_model"), 0.001)
    assert evaluate_detect(tmp_path / "images", tmp_path / "labels", detector).as_dict()["AP50"] > 0.7


def test_an_encoder_of_real_people_tells_some_of_the_virtual_ones_apart(weights, tmp_path):
    write_crops(build_site(3, 40, 40, 1, 5), tmp_path, every=2)
    encoder = build_encoder(str(weights / "osnet_x0_25_msmt17"))
    scores = evaluate_reid(tmp_path / "query", tmp_path / "gallery", encoder).as_dict()
    assert 25 < scores["mAP"] < 75
