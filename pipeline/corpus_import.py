"""Folders of crops as material for learning: plain ones, and sets that are named as Market-1501 is.

Market-1501 names (``0002_c1s1_000451_03.jpg``): a tracklet is a stretch of one person in one camera and sequence, cut
where 250 frame numbers are missing. The sequences follow each other, 25 frames a second, and the last one ends when
they are imported. Who is on a crop is used for nothing else and not kept. Junk (-1) and distractors (0000, which are
many people under one number) are left out.

Plain folders: a picture in the folder itself is a tracklet of its own; a folder in it is a tracklet; in a folder of
folders the outer ones are cameras. Their times are unknown: a second a picture, one tracklet after the other, so that
nothing is said about who was there at one time.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.head_blur import blur_head
from reid_pipeline.pipeline.image_folder import list_images
from reid_pipeline.pipeline.metrics_retrieval import JUNK
from reid_pipeline.pipeline.replay_journeys import MARKET_NAME, Crop, find_stretches, parse_name
from reid_pipeline.pipeline.views import GOOD_HEIGHT_PX, sharpness, store_pixels
from reid_pipeline.storage.corpus_records import CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore, digest_of

logger = logging.getLogger(__name__)

FRAME_US: Final = 40_000
PICTURE_US: Final = 1_000_000  # between the pictures of a plain folder
DISTRACTOR: Final = 0
_AT_ONCE: Final = 200  # tracklets in a transaction
_LONGEST: Final = 10**9  # frame numbers in a sequence: more than a year
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_JPEG: Final = b"\xff\xd8"

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """A file, and when it was taken: microseconds after the beginning of its run."""

    path: Path
    after_us: int


@dataclass(frozen=True, slots=True)
class PictureRun:
    """One camera in one run.

    Attributes:
        camera: Name of the camera.
        start_us: When it begins, before the end of the import's time: 0 or less.
        key: Tells its content.
        tracklets: The pictures of each, in order of time.
    """

    camera: str
    start_us: int
    key: str
    tracklets: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import came to.

    Attributes:
        tracklets: With at least one crop that is new.
        crops: That are new.
        known: Crops that were there already.
        left_out: Junk and distractors.
        unreadable: Files that could not be read to their end.
        videos: That were new, or went on.
        known_videos: That were there already.
    """

    tracklets: int = 0
    crops: int = 0
    known: int = 0
    left_out: int = 0
    unreadable: int = 0
    videos: int = 0
    known_videos: int = 0

    def __add__(self, other: ImportCounts) -> ImportCounts:
        """Both together."""
        return ImportCounts(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


def import_folder(
    folder: Path, store: CorpusStore, camera: str | None, now_us: int, report: Report, *, blur_heads: bool = False
) -> ImportCounts:
    """Adds the crops of a folder; those that are there already are left out.

    Args:
        folder: The folder.
        store: The corpus.
        camera: Name of the camera; of a set with several cameras, what their names begin with. None: as the folder.
        now_us: The time.
        report: Told how many pictures are done, of how many.
        blur_heads: Whether heads are blurred, as a run of the site does.

    Raises:
        InputError: There is no picture in it, or its names are of two kinds.
    """
    paths = list_images(folder, deep=True)
    runs = plan_market(folder, paths, camera) if _is_market(folder, paths) else plan_plain(folder, paths, camera)
    total = sum(len(tracklet) for run in runs for tracklet in run.tracklets)
    counts, done = ImportCounts(left_out=len(paths) - total), 0
    for run in runs:
        origin = store.open_origin(run.camera, run.key, now_us + run.start_us)
        for first in range(0, len(run.tracklets), _AT_ONCE):
            some = run.tracklets[first : first + _AT_ONCE]
            read = [tuple(_read(pictures, origin.start_us, blur=blur_heads)) for pictures in some]
            added = _add(store, origin.id, read, first=first + 1)
            count = sum(len(tracklet) for tracklet in some)
            counts += replace(added, unreadable=count - sum(len(crops) for crops in read))
            done += count
            report(done, total)
    return counts


def plan_market(folder: Path, paths: Sequence[Path], camera: str | None) -> list[PictureRun]:
    """Runs of a set with Market-1501's names, by sequence and camera."""
    crops = [crop for crop in map(parse_name, paths) if crop.person not in (JUNK, DISTRACTOR)]
    late = next((crop for crop in crops if crop.frame > _LONGEST), None)
    if late is not None:
        raise InputError(f"{late.path}: frame {late.frame}: expected a number of frames, at most {_LONGEST}")
    starts = _sequence_starts(crops)
    groups: defaultdict[tuple[int, int], list[tuple[Picture, ...]]] = defaultdict(list)
    for stretch in find_stretches(crops):
        pictures = tuple(Picture(crops[row].path, crops[row].frame * FRAME_US) for row in stretch.crops)
        groups[crops[stretch.crops[0]].sequence, stretch.camera].append(pictures)
    return [
        _run(folder, f"{camera}_c{number}" if camera else f"c{number}", starts[sequence], _in_order(tracklets))
        for (sequence, number), tracklets in sorted(groups.items())
    ]


def plan_plain(folder: Path, paths: Sequence[Path], camera: str | None) -> list[PictureRun]:
    """Runs of a plain folder, one a camera."""
    cameras: defaultdict[str, list[list[Path]]] = defaultdict(list)
    for place, group in groupby(paths, key=lambda path: path.parent):
        parts = place.relative_to(folder).parts
        name = camera_name(parts[0] if len(parts) > 1 else camera or folder.resolve().name)
        pictures = list(group)
        cameras[name] += [pictures] if parts else [[path] for path in pictures]
    runs = []
    for name, groups in cameras.items():
        seconds = iter(range(sum(len(group) for group in groups)))
        tracklets = [tuple(Picture(path, next(seconds) * PICTURE_US) for path in group) for group in groups]
        runs.append(_run(folder, name, -sum(len(group) for group in groups) * PICTURE_US, tracklets))
    return runs


def camera_name(text: str) -> str:
    """A name that a camera may have, from a file's or folder's.

    Example:
        >>> camera_name("Eingang Süd (2)")
        'Eingang_S_d_2'
    """
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:64] or "camera"


def picture_crop(content: bytes, image: Image, time_us: int, *, blur: bool = False) -> CorpusCrop:
    """A crop as it comes from a file, with its `content` where that is a JPEG; a JPEG of the image where it is not.

    With `blur` the head is blurred in what is stored.
    """
    if blur:
        image = blur_head(image)
    height, width = image.shape[:2]
    quality = min(height / GOOD_HEIGHT_PX, 1.0) * (0.5 + 0.5 * sharpness(image))
    jpeg = content if content.startswith(_JPEG) and not blur else store_pixels(image)[0]
    return CorpusCrop(time_us, jpeg, width, height, quality, digest_of(content))


def _is_market(folder: Path, paths: Sequence[Path]) -> bool:
    named = [bool(MARKET_NAME.match(path.name)) for path in paths]
    if any(named) and not all(named):
        raise InputError(
            f"{paths[named.index(False)]}: is not named as the other crops of {folder} are; expected names that all "
            "are like 0002_c1s1_000451_03.jpg, or none"
        )
    return all(named)


def _sequence_starts(crops: Iterable[Crop]) -> dict[int, int]:
    """When each sequence begins, so that one follows the other and the last one ends at 0."""
    lengths: dict[int, int] = {}
    for crop in crops:
        lengths[crop.sequence] = max(lengths.get(crop.sequence, 0), crop.frame + 1)
    start = -sum(lengths.values()) * FRAME_US
    starts = {}
    for sequence, length in sorted(lengths.items()):
        starts[sequence] = start
        start += length * FRAME_US
    return starts


def _in_order(tracklets: Iterable[tuple[Picture, ...]]) -> list[tuple[Picture, ...]]:
    """In order of time: the order of the names would tell who is the same person."""
    return sorted(tracklets, key=lambda pictures: (pictures[0].after_us, pictures[0].path.name))


def _run(folder: Path, camera: str, start_us: int, tracklets: Sequence[tuple[Picture, ...]]) -> PictureRun:
    digest = sha256(camera.encode())
    for picture in (picture for tracklet in tracklets for picture in tracklet):
        name = picture.path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{picture.path.stat().st_size}\0".encode())
    return PictureRun(camera, start_us, f"pictures {digest.hexdigest()[:32]}", tuple(tracklets))


def _add(store: CorpusStore, origin: int, read: Sequence[tuple[CorpusCrop, ...]], first: int) -> ImportCounts:
    """Stores the crops of tracklets that are numbered from `first` on."""
    tracklets = [
        ImportedTracklet(number, crops[0].time_us, crops[-1].time_us, crops)
        for number, crops in enumerate(read, start=first)
        if crops
    ]
    added = store.add(origin, tracklets)
    return ImportCounts(added.tracklets, added.crops, sum(len(crops) for crops in read) - added.crops)


def _read(pictures: Iterable[Picture], start_us: int, *, blur: bool) -> Iterator[CorpusCrop]:
    for picture in pictures:
        content = picture.path.read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
        if image is None:
            logger.warning("%s: cannot be read as an image; it is left out", picture.path)
            continue
        yield picture_crop(content, np.asarray(image, np.uint8), start_us + picture.after_us, blur=blur)
