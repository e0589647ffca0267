"""The values that enter and leave the corpus: crops of people nobody has named, for learning.

All times are integer microseconds since 1970 UTC (``*_us``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class CorpusCrop:
    """A picture of one person.

    Attributes:
        time_us: Capture time.
        jpeg: The bytes to store; not empty.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        quality: How good a view it is, 0-1.
        digest: Tells where it was imported from (see `corpus_store.digest_of`); one that is stored is not stored again.
            None: it cannot come twice.
    """

    time_us: int
    jpeg: bytes
    width: int
    height: int
    quality: float
    digest: int | None = None

    def __post_init__(self) -> None:
        if not self.jpeg:
            raise ValueError("crop of the corpus: expected the bytes of a JPEG, got none")


@dataclass(frozen=True, slots=True, eq=False)
class CollectedCrop:
    """A crop that a run collects, of a tracklet that has begun."""

    camera: str
    number: int
    crop: CorpusCrop


@dataclass(frozen=True, slots=True, eq=False)
class ImportedTracklet:
    """A tracklet from elsewhere, or more of one.

    Attributes:
        number: From 1 in its origin; the same number again adds to the tracklet.
        first_us: When it begins.
        last_us: When it ends, as far as is known.
        crops: What to add, in order of time.
    """

    number: int
    first_us: int
    last_us: int
    crops: tuple[CorpusCrop, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """How many crops were new, and how many tracklets they are of."""

    tracklets: int
    crops: int


@dataclass(frozen=True, slots=True)
class CorpusOrigin:
    """One camera in one run, or one imported video or set: people who are there at one time are different people.

    Attributes:
        id: Its row.
        camera: Name of its camera.
        start_us: When it begins, kept from the first time.
        frames: How many frames of it are in.
        finished: Whether all of it is in.
        next_number: What the next new tracklet of it is numbered.
    """

    id: int
    camera: str
    start_us: int
    frames: int
    finished: bool
    next_number: int


@dataclass(frozen=True, slots=True)
class CorpusFilter:
    """Which tracklets; what is left out does not choose.

    Attributes:
        cameras: Those seen by any of these.
        since_us: Those that last at least until then.
        until_us: Those that begin before then.
    """

    cameras: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class CorpusTracklet:
    """One person, unbroken, in one camera.

    Attributes:
        id: Its row.
        camera: Name of the camera.
        run: Its `CorpusOrigin.id`. Two tracklets of one run whose times overlap are two people; of different runs
            nothing is known.
        number: Of a tracklet that a run collected, its number there; else a number in its run.
        first_us: When the tracklet began, which may be before its first crop.
        last_us: When it ended so far.
    """

    id: int
    camera: str
    run: int
    number: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class CorpusItem:
    """Where a crop is stored and what is known of it; `CorpusStore.read` gives its bytes.

    Attributes:
        tracklet: `CorpusTracklet.id`.
        time_us: Capture time.
        shard: The file, by its row.
        day: Folder of the file: days since 1970.
        offset: First byte.
        length: How many bytes.
        width: Pixels.
        height: Pixels.
        quality: As in `CorpusCrop`.
        camera: Name of the camera.
    """

    tracklet: int
    time_us: int
    shard: int
    day: int
    offset: int
    length: int
    width: int
    height: int
    quality: float
    camera: str


@dataclass(frozen=True, slots=True)
class CameraCorpus:
    """What one camera gave."""

    camera: str
    tracklets: int
    crops: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """What is in the corpus. Histograms are pairs of a lower bound and a count, rising, without empty bins.

    Attributes:
        crops: How many.
        tracklets: How many.
        bytes: Of all crops.
        disk_bytes: Of the shards, with the gaps that removed crops have left; of the whole corpus, whatever was chosen.
        first_us: Of the first crop; None where there is none.
        last_us: Of the last crop.
        cameras: By name.
        days: Crops by day (UTC), as days since 1970.
        crops_per_tracklet: Tracklets by how many crops they have.
        widths: Crops by width, in steps of `WIDTH_STEP` pixels.
        heights: Crops by height, in steps of `HEIGHT_STEP` pixels.
        qualities: Crops by quality in tenths, 0 to 9.
    """

    crops: int
    tracklets: int
    bytes: int
    disk_bytes: int
    first_us: int | None
    last_us: int | None
    cameras: tuple[CameraCorpus, ...]
    days: tuple[tuple[int, int], ...]
    crops_per_tracklet: tuple[tuple[int, int], ...]
    widths: tuple[tuple[int, int], ...]
    heights: tuple[tuple[int, int], ...]
    qualities: tuple[tuple[int, int], ...]
