import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Detections
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.evaluate import evaluate_detect, evaluate_mot, evaluate_mtmc, evaluate_reid
from tests.pipeline.builders import MeanColourEncoder

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


@dataclass(frozen=True)
class Found:
    found: Detections

    def done(self):
        return True

    def result(self):
        return self.found


@dataclass(frozen=True)
class BrightDetector:
    """The smallest detector: the box around all bright pixels, on the image at half its size."""

    capacity: int = 2

    def prepare(self, image):
        return image[::2, ::2]

    def submit(self, prepared, size, when_done):
        y, x = np.nonzero(prepared.max(axis=2) > 128)
        when_done()
        if not len(x):
            return Found(Detections.empty())
        scale = size[0] / prepared.shape[0]
        box = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], np.float32) * scale
        return Found(Detections(box.astype(np.float32), np.array([0.9], np.float32)))


def write(path, text):
    path.write_text(text)
    return path


def write_crops(folder, **colours):
    folder.mkdir()
    for name, colour in colours.items():
        cv2.imwrite(str(folder / f"{name.replace('junk', '-1')}.png"), np.full((8, 4, 3), colour, np.uint8))
    return folder


def write_person(images, labels, name, x):
    """An image of 80 x 40 with one bright person of 20 x 20 at (x, 10), and its label."""
    for folder in (images, labels):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[10:30, x : x + 20] = 255
    cv2.imwrite(str(images / f"{name}.png"), picture)
    write(labels / f"{name}.txt", f"0 {(x + 10) / 80} 0.5 0.25 0.5\n3 0.1 0.1 0.1 0.1\n")


def test_mot_counts_up_to_the_last_frame(tmp_path):
    gt = write(tmp_path / "gt.txt", "1,1,0,0,10,20,1\n2,1,0,0,10,20,1\n4,1,0,0,10,20,1\n")
    pred = write(tmp_path / "pred.txt", "1,5,0,0,10,20,0.9,-1,-1,-1\n2,5,0,0,10,20,0.9\n3,5,0,0,10,20,0.9\n")
    assert evaluate_mot(gt, pred).as_dict()["IDP"] == pytest.approx(2 / 3)
    assert evaluate_mot(gt, pred, max_frame=2).as_dict() == pytest.approx(
        {"HOTA": 1, "DetA": 1, "AssA": 1, "IDF1": 1, "IDP": 1, "IDR": 1, "MOTA": 1, "IDSW": 0}
    )
    with pytest.raises(InputError, match="max-frame is 0; expected 1 or more"):
        evaluate_mot(gt, pred, max_frame=0)


def test_mot_counts_every_line_unless_ignored_ones_are_dropped(tmp_path):
    gt = write(tmp_path / "gt.txt", "1,1,0,0,10,20,1\n1,2,50,0,10,20,0\n")
    pred = write(tmp_path / "pred.txt", "1,5,0,0,10,20,0\n")
    assert evaluate_mot(gt, pred).identity.idr == 0.5
    assert evaluate_mot(gt, pred, drop_ignored=True).identity.idf1 == 1


def test_mot_against_foot_points(tmp_path):
    gt = write(tmp_path / "gt.txt", "# frame,id,foot_x,foot_y\n1,1,5,20\n2,1,65,20\n")
    pred = write(tmp_path / "pred.txt", "1,5,0,0,10,20,1\n2,5,0,0,10,20,1\n")
    assert evaluate_mot(gt, pred, match="foot:50").identity.idr == 0.5
    assert evaluate_mot(gt, pred, match="foot:60").identity.idr == 1


def test_mtmc_is_one_assignment_over_all_cameras(tmp_path):
    gt = write(tmp_path / "gt.txt", "a,1,1,0,0,10,20,1\na,2,1,0,0,10,20,1\nb,1,1,0,0,10,20,1\n")
    pred = write(tmp_path / "pred.txt", "a,1,4,0,0,10,20,1\na,2,4,0,0,10,20,1\nb,1,6,0,0,10,20,1\n")
    assert evaluate_mtmc(gt, pred).identity.idf1 == pytest.approx(2 / 3)


def test_mtmc_against_foot_points_and_boxes(tmp_path):
    gt = write(tmp_path / "gt.txt", "a,1,1,25,20\nb,1,1,0,0,10,20,1\n")
    pred = write(tmp_path / "pred.txt", "a,1,4,0,0,10,20,1\nb,1,4,0,0,10,20,1\n")
    assert evaluate_mtmc(gt, pred, "foot:20").identity.idf1 == 1
    assert evaluate_mtmc(gt, pred, "foot:19").identity.idf1 == 0.5
    with pytest.raises(InputError, match=r"gt\.txt, line 1: .* foot points are scored with the match foot:PIXELS"):
        evaluate_mtmc(gt, pred)


def test_mtmc_without_a_common_camera_warns(tmp_path, caplog):
    gt = write(tmp_path / "gt.txt", "View_001,1,1,0,0,10,20,1\n")
    pred = write(tmp_path / "pred.txt", "lobby,1,4,0,0,10,20,1\n")
    assert evaluate_mtmc(gt, pred).hota.hota == 0
    assert "share no camera: ['View_001'] against ['lobby']" in caplog.text


def test_reid_reads_folders_of_crops(tmp_path):
    query = write_crops(tmp_path / "query", **{"0001_c1s1_000001_00": RED, "0002_c1s1_000001_00": GREEN})
    gallery = write_crops(
        tmp_path / "gallery",
        **{
            "0001_c1s1_000009_00": RED,  # the query's own camera: takes no place
            "0001_c2s1_000001_00": (0, 40, 255),
            "0000_c2s1_000001_00": (0, 255, 20),  # a distractor, nearer to the second query than its match
            "0002_c2s1_000001_00": (0, 255, 90),
            "junk_c2s1_000001_00": GREEN,
        },
    )
    steps = []
    scores = evaluate_reid(query, gallery, MeanColourEncoder(), lambda done, total: steps.append((done, total)))
    assert scores.as_dict() == pytest.approx({"mAP": 75, "rank1": 50, "rank5": 100, "rank10": 100, "mINP": 75})
    assert steps == [(2, 6), (6, 6)]


def test_reid_names_what_does_not_fit(tmp_path):
    good = write_crops(tmp_path / "good", **{"0001_c1s1_000001_00": RED})
    with pytest.raises(InputError, match="none: no such folder"):
        evaluate_reid(tmp_path / "none", good, MeanColourEncoder())
    with pytest.raises(InputError, match=r"holiday\.png: the name says no person and camera"):
        evaluate_reid(write_crops(tmp_path / "named", holiday=BLUE), good, MeanColourEncoder())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no image"):
        evaluate_reid(good, empty, MeanColourEncoder())
    write(empty / "0001_c2s1_000001_00.jpg", "not a picture")
    with pytest.raises(InputError, match=r"0001_c2s1_000001_00\.jpg: cannot be read as an image"):
        evaluate_reid(good, empty, MeanColourEncoder())


@pytest.mark.parametrize("capacity", [0, 1, 3, 10])
def test_detect_pairs_each_image_with_its_labels(tmp_path, capacity):
    images, labels = tmp_path / "images", tmp_path / "labels"
    for number in range(5):
        write_person(images, labels, f"eval/{number}", x=10 * number)
    cv2.imwrite(str(images / "nobody.jpg"), np.zeros((40, 80, 3), np.uint8))
    steps = []
    scores = evaluate_detect(
        images, labels, BrightDetector(capacity), progress=lambda done, total: steps.append((done, total))
    )
    assert scores.as_dict() == {"AP50": 1, "AP50_95": 1, "precision": 1, "recall": 1}
    assert steps == [(done, 6) for done in range(1, 7)]


def test_detect_counts_precision_from_the_confidence_asked_for(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_person(images, labels, "one", x=10)
    assert evaluate_detect(images, labels, BrightDetector(), min_confidence=0.95).recall == 0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("0 0.5 0.5 0.5", r"line 1: is '0 0\.5 0\.5 0\.5'; expected class"),
        ("\n0 0.5 0.5 0.5 20", r"line 2: is '0 0\.5 0\.5 0\.5 20'; expected class"),
        ("0 0.5 0.5 nan 0.5", "line 1"),
        ("person 0.5 0.5 0.5 0.5", "line 1"),
        ("1 0.5 0.5 0.5 0.5", "no person is labelled in 1 images"),
    ],
)
def test_detect_names_a_label_that_does_not_fit(tmp_path, label, message):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_person(images, labels, "one", x=10)
    write(labels / "one.txt", label)
    with pytest.raises(InputError, match=message):
        evaluate_detect(images, labels, BrightDetector())


def test_detect_needs_the_folder_of_labels(tmp_path):
    write_person(tmp_path / "images", tmp_path / "labels", "one", x=10)
    with pytest.raises(InputError, match="none: no such folder; expected the labels of"):
        evaluate_detect(tmp_path / "images", tmp_path / "none", BrightDetector())


@pytest.fixture(scope="module")
def data():
    root = os.environ.get("REID_TEST_DATA")
    if not root:
        pytest.skip("REID_TEST_DATA is not set")
    return Path(root)


@pytest.mark.data
def test_real_ground_truth_scored_against_itself(data):
    gt = data / "video/pets09_s2l1/gt_View_001_frames1-323.txt"
    scores = evaluate_mot(gt, gt, max_frame=323).as_dict()
    assert (scores["MOTA"], scores["IDF1"], scores["HOTA"]) == (1, 1, pytest.approx(1))
    # 174 of its 2012 lines have confidence 0: where they are dropped, they are false as predictions.
    scores = evaluate_mot(gt, gt, max_frame=323, drop_ignored=True).as_dict()
    assert scores["MOTA"] == pytest.approx((1838 - 174) / 1838)
    assert (scores["IDR"], scores["IDP"]) == (1, pytest.approx(1838 / 2012))


@pytest.mark.data
def test_real_foot_points_are_read(data, tmp_path):
    points = data / "video/pets09_s2l1/gt_View_006_footpoints_frames1-323.txt"
    rows = [line.split(",") for line in points.read_text().splitlines() if not line.startswith("#")]
    shifted = "".join(f"{f},{i},{float(x) + 15},{float(y) - 100},10,100,1\n" for f, i, x, y in rows)
    scores = evaluate_mot(points, write(tmp_path / "pred.txt", shifted), match="foot:30").as_dict()
    assert (scores["IDF1"], scores["MOTA"]) == (1, 1)


@pytest.mark.data
def test_real_crops_are_read(data):
    # The mean colour tells people apart a little, and nothing like an encoder.
    folder = data / "reid/market1501"
    scores = evaluate_reid(folder / "query", folder / "bounding_box_test", MeanColourEncoder())
    assert 3 < scores.mean_ap < 30
    assert scores.mean_inp < scores.mean_ap
    assert scores.rank1 < scores.rank5 < scores.rank10 < 50
