"""The values that enter and leave the storage.

All times are integer microseconds since 1970 UTC (``*_us``). Frame numbers, tracklet numbers and identities count from
1. What a run writes is collected in one `Changes` a commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.box_codec import BoxArrays
from reid_pipeline.storage.corpus_records import CollectedCrop

Box: TypeAlias = tuple[float, float, float, float]
JsonScalar: TypeAlias = str | int | float | bool | None

MACHINE: Final = "machine"  # who decides where no operator does


class RunStatus(StrEnum):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"  # a source broke off; what was read is kept
    FAILED = "failed"
    STOPPED = "stopped"


class EventType(StrEnum):
    """What can be decided about identities."""

    OPEN = "open"  # a new identity
    ASSIGN = "assign"  # a tracklet belongs to an identity
    MERGE = "merge"  # an identity was another, older one all along
    SPLIT = "split"  # a tracklet leaves its identity for a new one
    CONFIRM = "confirm"  # an operator says that tracklets of an identity are rightly one person
    UNDO = "undo"  # an operator takes a MERGE, SPLIT or CONFIRM back


# What a run writes


@dataclass(frozen=True, slots=True)
class NewTracklet:
    """A tracklet begins; `number` is fresh in its camera."""

    camera: str
    number: int
    source_id: int
    run_id: int
    first_frame: int
    first_us: int


@dataclass(frozen=True, slots=True, eq=False)
class BoxRun:
    """At least one more box of a tracklet, after those it has; arrays as in `BoxArrays`."""

    camera: str
    number: int
    frames: NDArray[np.int32]
    times_us: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        self.arrays().check()
        if not len(self.frames):
            raise ValueError(f"boxes of tracklet {self.number} of {self.camera}: expected at least one, got none")

    def arrays(self) -> BoxArrays:
        """The four arrays as one value."""
        return BoxArrays(self.frames, self.times_us, self.boxes, self.scores)


@dataclass(frozen=True, slots=True)
class TrackletEnd:
    """A tracklet will get no more boxes."""

    camera: str
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One of the best pictures of a tracklet with its embedding.

    Attributes:
        camera: Name of the camera.
        number: Number of the tracklet.
        frame: Frame that it was cut from.
        time_us: Capture time of that frame.
        quality: How good a view it is; higher is better.
        box: x1 y1 x2 y2 in pixels of the decoded frame.
        jpeg: The stored bytes. The encoder has seen exactly the pixels that they decode to.
        embedding: ``(D,) float32`` of norm 1.
        model_hash: What made the embedding; registered before.
        replaces: Frame of an earlier view of this tracklet that goes, with its embedding and its file.
    """

    camera: str
    number: int
    frame: int
    time_us: int
    quality: float
    box: Box
    jpeg: bytes
    embedding: NDArray[np.float32]
    model_hash: str
    replaces: int | None = None

    def __post_init__(self) -> None:
        if self.embedding.ndim != 1 or self.embedding.dtype != np.float32:
            raise ValueError(f"embedding: expected (D,) float32, got {self.embedding.shape} {self.embedding.dtype}")
        if self.replaces == self.frame:
            raise ValueError(f"view of frame {self.frame}: expected to replace another frame, got its own")


@dataclass(frozen=True, slots=True)
class IdentityEvent:
    """One decision about identities.

    Attributes:
        type: OPEN makes `identity`. ASSIGN gives it the tracklet. MERGE ends `identity` in favour of the older
            `other`. SPLIT makes `identity` and gives it the tracklet, which was `other`'s. CONFIRM changes nothing:
            the tracklet is rightly of `identity`. UNDO takes a MERGE, SPLIT or CONFIRM of these two back.
        time_us: Capture time that the decision was made at.
        identity: Who it is about.
        other: The second identity of a merge or split.
        camera: Camera of the tracklet; needed for ASSIGN, SPLIT and CONFIRM, else it may be left out.
        number: Number of the tracklet.
        probability: That the decision is right, calibrated, where there is one.
        evidence: What led to it.
        actor: Who decided: `MACHINE`, or an operator's name.
        undoes: Of an UNDO, what it takes back, by its id in the log.
    """

    type: EventType
    time_us: int
    identity: int
    other: int | None = None
    camera: str | None = None
    number: int | None = None
    probability: float | None = None
    evidence: Mapping[str, JsonScalar] = field(default_factory=dict)
    actor: str = MACHINE
    undoes: int | None = None

    def __post_init__(self) -> None:
        if (self.camera is None) != (self.number is None):
            raise ValueError(f"{self.type} of identity {self.identity}: expected camera and number, or neither")
        if self.type in (EventType.ASSIGN, EventType.SPLIT, EventType.CONFIRM) and self.camera is None:
            raise ValueError(f"{self.type} of identity {self.identity}: expected a tracklet, got none")
        if self.type is EventType.CONFIRM and self.actor == MACHINE:
            raise ValueError(f"confirmation of identity {self.identity}: expected an operator")
        if self.type is EventType.SPLIT and self.other is None:
            raise ValueError(f"split of identity {self.identity}: expected `other`, which the tracklet leaves")
        if self.type is EventType.MERGE and (self.other is None or self.other >= self.identity):
            raise ValueError(f"merge of identity {self.identity}: expected an older `other`, got {self.other}")
        if self.type is EventType.UNDO and (self.undoes is None or self.other is None or self.actor == MACHINE):
            raise ValueError(f"undo of identity {self.identity}: expected `undoes`, `other` and an operator")


@dataclass(frozen=True, slots=True)
class NewAlert:
    """A tracklet that may be who the entry of a watch list is about; `probability` that it is."""

    entry: int
    camera: str
    number: int
    time_us: int
    probability: float


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """Everything up to this frame of a source is in this commit or an earlier one."""

    source_id: int
    frames_committed: int
    finished: bool


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What a run found since its last commit; stored as a whole or not at all.

    The parts are applied in the order of the attributes, each in its own order.
    """

    new_tracklets: tuple[NewTracklet, ...] = ()
    boxes: tuple[BoxRun, ...] = ()
    ends: tuple[TrackletEnd, ...] = ()
    views: tuple[View, ...] = ()
    corpus: tuple[CollectedCrop, ...] = ()
    identity_events: tuple[IdentityEvent, ...] = ()
    alerts: tuple[NewAlert, ...] = ()
    progress: tuple[SourceProgress, ...] = ()


# What is set up before, and read afterwards


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What a camera is about to be read from.

    Attributes:
        camera: Name of the camera; made where it is new.
        location: Absolute path, or address without secrets.
        fingerprint: Tells this content from others; the same one again is a resume.
        live: True for what cannot be read again.
        start_us: Capture time of the first frame, if this is the first time.
    """

    camera: str
    location: str
    fingerprint: str
    live: bool
    start_us: int


@dataclass(frozen=True, slots=True)
class SourceState:
    """Where a source stands.

    Attributes:
        source_id: What `NewTracklet` and `SourceProgress` name it by.
        start_us: Capture time of the first frame, kept from the first time.
        frames_committed: Last frame that is stored; 0 at the beginning.
        finished: True when it was read to its end.
    """

    source_id: int
    start_us: int
    frames_committed: int
    finished: bool


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model in use; `hash` as in the contract of models, `task` is ``reid`` or ``detect``."""

    hash: str
    name: str
    task: str
    licence: str


@dataclass(frozen=True, slots=True, eq=False)
class GalleryRow:
    """One stored view of a person, to recognise the person again.

    Attributes:
        identity: Who it is, after all merges.
        camera: Where it was seen.
        number: Tracklet of the view.
        time_us: Capture time of the view.
        quality: As in `View`.
        vector: ``(D,) float32`` of norm 1.
        first_us: When the tracklet began.
        last_us: When the tracklet's last box so far was.
    """

    identity: int
    camera: str
    number: int
    time_us: int
    quality: float
    vector: NDArray[np.float32]
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, eq=False)
class TrackletBoxes:
    """Boxes of one tracklet in frame order, arrays as in `BoxArrays`; `identity` after all merges."""

    number: int
    identity: int | None
    frames: NDArray[np.int32]
    times_us: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def arrays(self) -> BoxArrays:
        """The four arrays as one value."""
        return BoxArrays(self.frames, self.times_us, self.boxes, self.scores)


@dataclass(frozen=True, slots=True)
class CameraTotals:
    """Counts of one camera; an identity seen by two cameras counts in both."""

    camera: str
    tracklets: int
    identities: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a site; `identities` are different persons, so fewer than the sum over cameras."""

    tracklets: int
    identities: int
    cameras: tuple[CameraTotals, ...]


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """An identity.

    Attributes:
        number: The identity's number.
        opened_us: Capture time that it was opened at.
        merged_into: Who it is now, when it was merged; a survivor.
        vacant: True when all its tracklets were removed.
    """

    number: int
    opened_us: int
    merged_into: int | None
    vacant: bool


@dataclass(frozen=True, slots=True)
class IdentityLogRecord:
    """A decision as it was logged at wall-clock time `at_us`, else as in `IdentityEvent`.

    A tracklet that was removed since has left no `camera` and `number`. `log_id` counts the decisions of a site;
    `undone_by` is that of the UNDO which took this one back.
    """

    at_us: int
    type: EventType
    time_us: int
    identity: int
    other: int | None
    camera: str | None
    number: int | None
    probability: float | None
    evidence: Mapping[str, JsonScalar]
    actor: str
    log_id: int
    undone_by: int | None


@dataclass(frozen=True, slots=True)
class OperatorLink:
    """An operator's word about two tracklets, each as camera and number: one person (`same`), or two."""

    first: tuple[str, int]
    second: tuple[str, int]
    same: bool


@dataclass(frozen=True, slots=True)
class OperatorNews:
    """What operators have decided about identities, for who goes on deciding beside them.

    Attributes:
        log_id: Their newest decision, in the log; 0 where there is none.
        links: All that they have said about pairs of tracklets, as `Repository.operator_links` tells.
        identities: Who tracklets are now: those that were spoken of, and those of identities that new decisions name.
        survivors: Identities that new decisions name, and who each is after all merges.
    """

    log_id: int
    links: tuple[OperatorLink, ...]
    identities: Mapping[tuple[str, int], int]
    survivors: Mapping[int, int]
