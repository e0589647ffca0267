"""The scores behind the command `eval`: reads what is on disk, computes, and gives the scores back."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Detections
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.image_folder import encode_images, list_images, read_image
from reid_pipeline.pipeline.metrics_detection import (
    DEFAULT_MIN_CONFIDENCE,
    DetectionScores,
    JudgedImage,
    evaluate_detections,
)
from reid_pipeline.pipeline.metrics_retrieval import JUNK, LabelledEmbeddings, RetrievalScores, evaluate_retrieval
from reid_pipeline.pipeline.metrics_tracking import TrackingScores, score_tracking
from reid_pipeline.pipeline.mot_format import TrackKeys, read_mot, read_mot_points, read_mtmc, read_mtmc_points
from reid_pipeline.pipeline.protocols import Detector, Encoder, Pending
from reid_pipeline.pipeline.tracking_sequence import MatchRule, match_boxes, match_points

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told after each step how many are done, of how many."""

PERSON_CLASS = 0

_CROP_NAME = re.compile(r"(-?\d+)_c(\d+)")


def evaluate_mot(
    gt: Path, pred: Path, max_frame: int | None = None, match: str = "iou", *, drop_ignored: bool = False
) -> TrackingScores:
    """Scores the tracks of one camera.

    Args:
        gt: Ground truth, MOTChallenge text; with ``foot:PIXELS`` also lines ``frame,id,foot_x,foot_y``.
        pred: MOTChallenge text.
        max_frame: Frames after this one do not count: for ground truth that ends before the video does.
        match: ``iou`` or ``foot:PIXELS``, see `MatchRule`.
        drop_ignored: Leaves out ground truth with ``conf`` 0.

    Raises:
        InputError: A file or an argument does not fit.
    """
    if max_frame is not None and max_frame < 1:
        raise InputError(f"max-frame is {max_frame}; expected 1 or more")
    last = np.iinfo(np.int64).max if max_frame is None else max_frame
    rule, predicted = MatchRule.parse(match), read_mot(pred).up_to(last)
    if rule.foot_px is None:
        return score_tracking(match_boxes(read_mot(gt, drop_ignored=drop_ignored).up_to(last), predicted))
    return score_tracking(match_points(read_mot_points(gt).up_to(last), predicted.foot_points(), rule.foot_px))


def evaluate_mtmc(gt: Path, pred: Path, match: str = "iou", *, drop_ignored: bool = False) -> TrackingScores:
    """Scores the identities of a site: one assignment of identities over all cameras.

    Args:
        gt: Ground truth in the form of ``mtmc.txt``; with ``foot:PIXELS`` also lines
            ``camera,frame,identity,foot_x,foot_y``.
        pred: In the form of ``mtmc.txt``.
        match: ``iou`` or ``foot:PIXELS``, see `MatchRule`.
        drop_ignored: Leaves out ground truth with ``conf`` 0.

    Raises:
        InputError: A file or an argument does not fit.
    """
    rule, predicted = MatchRule.parse(match), read_mtmc(pred)
    if rule.foot_px is None:
        boxes = read_mtmc(gt, drop_ignored=drop_ignored)
        _warn_of_strangers(boxes.keys, predicted.keys)
        return score_tracking(match_boxes(boxes, predicted))
    points = read_mtmc_points(gt)
    _warn_of_strangers(points.keys, predicted.keys)
    return score_tracking(match_points(points, predicted.foot_points(), rule.foot_px))


def evaluate_reid(
    query: Path, gallery: Path, encoder: Encoder, progress: Progress | None = None, *, blur_heads: bool = False
) -> RetrievalScores:
    """Scores an encoder on two folders of crops.

    Args:
        query: Folder of .jpg or .png named as in Market-1501: ``0002_c1s1_000451_03.jpg`` is person 2 in camera 1.
        gallery: The same, searched in; person -1 is junk and not read, person 0 a distractor.
        encoder: Encodes the crops.
        progress: Told the crops encoded.
        blur_heads: Whether the heads are blurred first, which is no part of the protocol.

    Raises:
        InputError: A folder, a name or an image does not fit, or no query has a match.
    """
    queries, candidates = _list_crops(query), _list_crops(gallery)
    total = len(queries) + len(candidates)

    def report(done: int) -> None:
        if progress:
            progress(done, total)

    encoded = _encode(queries, encoder, report, blur_heads=blur_heads)
    searched = _encode(candidates, encoder, lambda done: report(len(queries) + done), blur_heads=blur_heads)
    return evaluate_retrieval(encoded, searched)


def evaluate_detect(
    images: Path,
    labels: Path,
    detector: Detector,
    *,
    min_confidence: float = DEFAULT_MIN_CONFIDENCE,
    progress: Progress | None = None,
) -> DetectionScores:
    """Scores a detector on a folder of images.

    Args:
        images: Folder of .jpg or .png; folders in it count too.
        labels: Folder of the same layout with YOLO text, lines ``class centre_x centre_y width height`` in fractions
            of the image; class 0 is a person, others do not count. An image without a file has no person.
        detector: Should give detections of low confidence too: average precision needs them.
        min_confidence: Weaker detections do not count for precision and recall.
        progress: Told the images judged.

    Raises:
        InputError: A folder, an image or a label does not fit, or no person is labelled.
    """
    paths = list_images(images, deep=True)
    if not labels.is_dir():
        raise InputError(f"{labels}: no such folder; expected the labels of {images}")
    judged = []
    for path, size, found in _detect(paths, detector):
        truth = _read_labels((labels / path.relative_to(images)).with_suffix(".txt"), size)
        judged.append(JudgedImage(found, truth))
        if progress:
            progress(len(judged), len(paths))
    return evaluate_detections(judged, min_confidence)


@dataclass(frozen=True, slots=True)
class _Crop:
    path: Path
    identity: int
    camera: int


def _warn_of_strangers(truth: TrackKeys, predicted: TrackKeys) -> None:
    known, told = set(truth.cameras.tolist()), set(predicted.cameras.tolist())
    if known and told and not known & told:
        logger.warning("ground truth and prediction share no camera: %s against %s", sorted(known), sorted(told))


def _list_crops(folder: Path) -> list[_Crop]:
    crops = []
    for path in list_images(folder):
        name = _CROP_NAME.match(path.name)
        if name is None:
            raise InputError(f"{path}: the name says no person and camera; expected one like 0002_c1s1_000451_03.jpg")
        crops.append(_Crop(path, int(name[1]), int(name[2])))
    # Junk is never compared, so it need not be encoded.
    return [crop for crop in crops if crop.identity != JUNK]


def _encode(
    crops: list[_Crop], encoder: Encoder, report: Callable[[int], None], *, blur_heads: bool
) -> LabelledEmbeddings:
    return LabelledEmbeddings(
        encode_images([crop.path for crop in crops], encoder, report, blur_heads=blur_heads),
        np.array([crop.identity for crop in crops], np.int64),
        np.array([crop.camera for crop in crops], np.int64),
    )


def _detect(paths: list[Path], detector: Detector) -> Iterator[tuple[Path, tuple[int, int], Detections]]:
    """Detects in order, with as many images under way as keep the detector busy."""
    under_way: deque[tuple[Path, tuple[int, int], Pending]] = deque()
    for path in paths:
        if len(under_way) >= max(1, detector.capacity):
            yield _first(under_way)
        image = read_image(path)
        size = image.shape[0], image.shape[1]
        under_way.append((path, size, detector.submit(detector.prepare(image), size, lambda: None)))
    while under_way:
        yield _first(under_way)


def _first(
    under_way: deque[tuple[Path, tuple[int, int], Pending]],
) -> tuple[Path, tuple[int, int], Detections]:
    path, size, pending = under_way.popleft()
    return path, size, pending.result()


def _read_labels(path: Path, size: tuple[int, int]) -> Boxes:
    """Reads the persons of one image of ``size`` (height, width) as ``(G, 4)`` boxes in pixels."""
    if not path.is_file():
        return np.empty((0, 4), np.float32)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read; expected YOLO text") from error
    rows = [_read_label(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    table = np.array(rows, np.float64).reshape(-1, 5)
    centre, sides = table[:, 1:3], table[:, 3:5]
    boxes: NDArray[np.float64] = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1)
    boxes *= np.tile([size[1], size[0]], 2)
    persons: NDArray[np.bool_] = table[:, 0] == PERSON_CLASS
    return boxes[persons].astype(np.float32)


def _read_label(path: Path, number: int, line: str) -> list[float]:
    try:
        row = [float(field) for field in line.split()]
    except ValueError:
        row = []
    if len(row) != 5 or not row[0].is_integer() or not all(0 <= value <= 1 for value in row[1:]):
        raise InputError(
            f"{path}, line {number}: is {line.strip()!r}; "
            "expected class, centre x, centre y, width and height, the last four in 0-1"
        )
    return row
