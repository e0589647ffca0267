"""The swappable parts: write one class that fits one of these, name it in its `build_*` function, done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Detections, Embeddings, Frame, Image, Scores
from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.storage.records import EventType, GalleryRow, JsonScalar


class Source(Protocol):
    """Where the frames of one camera come from: a file, a folder of images, a stream or a device.

    Attributes:
        live: True for what cannot wait (streams, devices); False for what can be read again (files, folders).
        dropped: Frames that the source itself could not give, by reason (``corrupt``).
    """

    live: bool
    dropped: dict[str, int]

    def frames(self) -> Iterator[Frame]:
        """Opens the source and yields its frames in order; the iterator's end is the end of a file.

        Raises:
            SourceNotFound: It does not exist, or nothing in it can be decoded.
            SourceLost: A live source stopped delivering.
            SourceBroken: A file ends before its end; all whole frames were yielded before.
        """
        ...

    def close(self) -> None:
        """Makes a blocked `frames` end soon; may be called from another thread and more than once."""
        ...


class Pending(Protocol):
    """Detections on their way."""

    def done(self) -> bool:
        """Whether `result` returns at once."""
        ...

    def result(self) -> Detections:
        """Waits for and returns the persons of the frame."""
        ...


class Detector(Protocol):
    """Finds persons. Frames of all cameras go through one detector, several at once."""

    @property
    def capacity(self) -> int:
        """How many submitted frames keep the processor busy."""
        ...

    def prepare(self, image: Image) -> Image:
        """Scales an image to the detector's input; runs in the camera's own thread.

        Args:
            image: ``(H, W, 3) uint8`` BGR.

        Returns:
            ``(h, w, 3) uint8`` BGR, the input of `submit`.
        """
        ...

    def submit(self, prepared: Image, size: tuple[int, int], when_done: Callable[[], None]) -> Pending:
        """Starts the detection on a prepared image of a frame of ``size`` (height, width) and returns at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TrackedBoxes:
    """What a tracker says of one frame.

    Attributes:
        numbers: Tracklet number of each box, counted from 1 in one camera.
        boxes: ``(N, 4) float32``, as detected; where a detection is too weak to say where somebody ends, as expected.
        scores: ``(N,) float32``.
        ended: Numbers of tracklets that ended with this frame and will never return.
        unsure: Numbers of tracklets that have crossed others and may be somebody else since.
        handed: Pairs (one, other): it has come out that what was given to `one` while it was unsure was `other`, an
            open tracklet or one that begins with this frame.
    """

    numbers: tuple[int, ...]
    boxes: Boxes
    scores: Scores
    ended: tuple[int, ...]
    unsure: frozenset[int] = frozenset()
    handed: tuple[tuple[int, int], ...] = ()


class Appearance(Protocol):
    """Gives a tracker the looks of boxes in the current frame, where motion alone does not decide."""

    def __call__(self, boxes: Boxes) -> Embeddings:
        """Encodes ``(N, 4)`` boxes of the current frame to ``(N, D)`` embeddings."""
        ...


class Tracker(Protocol):
    """Joins the detections of one camera to tracklets. Each camera has an instance with its own numbers."""

    def update(self, detections: Detections, appearance: Appearance | None) -> TrackedBoxes:
        """Takes the next frame's detections."""
        ...

    def forget_looks(self) -> None:
        """Forgets all embeddings: those that come will be of another encoder."""
        ...

    def close(self) -> tuple[int, ...]:
        """Ends all tracklets and returns the numbers of those that were still open."""
        ...


class Encoder(Protocol):
    """Turns crops of persons into embeddings."""

    @property
    def dim(self) -> int:
        """Length D of an embedding."""
        ...

    @property
    def model_hash(self) -> str:
        """Names the space of the embeddings: vectors of two hashes are never compared."""
        ...

    def encode(self, crops: Sequence[Image]) -> Embeddings:
        """Encodes N crops ``(h, w, 3) uint8`` BGR of any size to ``(N, D) float32`` of norm 1."""
        ...


TrackletKey = tuple[str, int]  # camera and number


@dataclass(frozen=True, slots=True, eq=False)
class TrackletView:
    """A new view of a tracklet: its embedding ``(D,) float32`` of norm 1 and its quality, 0-1."""

    number: int
    embedding: Embeddings
    quality: float


@dataclass(frozen=True, slots=True, eq=False)
class TrackletFeet:
    """Where somebody stood, at moments when the feet were in the picture.

    Attributes:
        number: Of the tracklet.
        times_us: ``(M,) int64``, rising.
        feet: ``(M, 3) float32``: x and y of the bottom centre of the box, and its height, in pixels.
        floor: How these pixels lie on the site's floor; None where that was not given.
    """

    number: int
    times_us: NDArray[np.int64]
    feet: NDArray[np.float32]
    floor: GivenFloor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrackletUpdate:
    """What one frame of one camera says about its tracklets.

    Attributes:
        camera: Name of the camera.
        frame: Number of the frame.
        time_us: Its capture time.
        started: New tracklets (number, first frame).
        seen: Tracklets that were there until this frame, new ones among them; not those of which it is uncertain.
        views: New views, of tracklets that are seen or that end.
        ended: Tracklets that will never be seen again.
        feet: Where tracklets that are seen or that end stood since the last update that said so; not of every frame.
        began_us: When new tracklets were seen first, where that was before this frame.
        left: Frame and capture time in which tracklets that end were seen last, where that has come out only now.
    """

    camera: str
    frame: int
    time_us: int
    started: tuple[tuple[int, int], ...]
    seen: tuple[int, ...]
    views: tuple[TrackletView, ...]
    ended: tuple[int, ...]
    feet: tuple[TrackletFeet, ...] = ()
    began_us: Mapping[int, int] = field(default_factory=dict)
    left: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an associator has found out about identities.

    OPEN: the tracklet is somebody new, `identity`. ASSIGN: the tracklet is `identity`, whoever it was taken for before.
    MERGE: `identity` was the older `other` all along. SPLIT: the tracklet is not `other`, whom it was taken for, but
    somebody new, `identity`.

    Attributes:
        kind: Which of these.
        tracklet: Which tracklet; None for MERGE.
        identity: Number of the identity, from 1 over the site.
        probability: That it is right; None for OPEN.
        evidence: What it was decided on, for the log.
        other: The second identity of MERGE and SPLIT.
    """

    kind: EventType
    tracklet: TrackletKey | None
    identity: int
    probability: float | None
    evidence: Mapping[str, JsonScalar]
    other: int | None = None


class Associator(Protocol):
    """Gives tracklets identities over all cameras. Two tracklets of one camera that overlap in time never share one."""

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """Takes up what earlier runs know, before the first update."""
        ...

    @property
    def next_identity(self) -> int:
        """The number that the next new identity gets."""
        ...

    def take_over(self, update: TrackletUpdate, identities: Mapping[int, int], next_identity: int) -> None:
        """Takes up the open tracklets of one camera from another associator, with the identities they have there.

        Args:
            update: Names them as started, without views.
            identities: By number; who has none there has none here.
            next_identity: That of the other one: it has given away all lesser numbers.
        """
        ...

    def update(self, update: TrackletUpdate) -> list[Decision]:
        """Takes the next frame of any camera, in capture-time order, and decides what can be decided.

        Of live cameras that order is not certain, and a clock may jump: nobody is taken for another because of it.
        """
        ...

    def close(self) -> list[Decision]:
        """Looks at everything once more at the end of a run, when all tracklets have ended."""
        ...
