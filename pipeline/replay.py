"""Tracklets that are known already, sent through an associator again in the order of their times, without any video."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import (
    Associator,
    Decision,
    TrackletFeet,
    TrackletKey,
    TrackletUpdate,
    TrackletView,
)

_Step = Callable[[], list[Decision]]

FRAME_US: Final = 10_000  # what falls into so much time is one frame; shorter than a frame of any camera


@dataclass(frozen=True, slots=True, eq=False)
class RecordedView:
    """A view of a tracklet: when, its embedding ``(D,) float32`` of norm 1 and its quality, 0-1."""

    time_us: int
    embedding: Embeddings
    quality: float


@dataclass(frozen=True, slots=True, eq=False)
class RecordedTracklet:
    """A tracklet from start to end, with its views, none of them before or after, and where it stood, if known."""

    camera: str
    number: int
    first_us: int
    last_us: int
    views: tuple[RecordedView, ...]
    feet: TrackletFeet | None = None

    @property
    def key(self) -> TrackletKey:
        """Camera and number."""
        return self.camera, self.number


@dataclass(frozen=True, slots=True)
class Replayed:
    """What an associator made of tracklets.

    Attributes:
        identities: Who each tracklet is in the end; those that were never decided are not there.
        decisions: How many decisions led there.
        seconds: Time that the associator took.
    """

    identities: dict[TrackletKey, int]
    decisions: int
    seconds: float

    @property
    def decisions_s(self) -> float:
        """Decisions per second."""
        return self.decisions / max(self.seconds, 1e-9)


def replay(tracklets: Sequence[RecordedTracklet], associator: Associator) -> Replayed:
    """Sends tracklets through an associator to the end of the run."""
    book = IdentityBook()
    count, seconds = 0, 0.0
    steps: Iterator[_Step] = (partial(associator.update, update) for update in updates_of(tracklets))
    for step in chain(steps, [associator.close]):
        began_s = time.perf_counter()
        decisions = step()
        seconds += time.perf_counter() - began_s
        count += len(decisions)
        book.apply(decisions)
    known = ((tracklet.key, book.identity(tracklet.key)) for tracklet in tracklets)
    return Replayed({key: identity for key, identity in known if identity is not None}, count, seconds)


def updates_of(tracklets: Sequence[RecordedTracklet]) -> Iterator[TrackletUpdate]:
    """What the cameras would say, in capture-time order.

    There is an update where a tracklet starts, shows a view or ends; it names all tracklets that its camera sees then.
    Frames are numbered by the time, from the first start on, so that the frames of two tracklets of a camera overlap
    where their times do.
    """
    origin_us = min((tracklet.first_us for tracklet in tracklets), default=0)
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for (frame, camera), moment in sorted(_moments(tracklets, origin_us).items(), key=lambda item: item[0]):
        seen[camera].update(moment.started)
        yield TrackletUpdate(
            camera,
            frame,
            origin_us + (frame - 1) * FRAME_US,
            tuple((number, frame) for number in sorted(moment.started)),
            tuple(sorted(seen[camera])),
            tuple(sorted(moment.views, key=lambda view: view.number)),
            tuple(sorted(moment.ended)),
            tuple(moment.feet),
        )
        seen[camera].difference_update(moment.ended)


@dataclass(slots=True)
class _Moment:
    """What happens in one frame of one camera."""

    started: list[int] = field(default_factory=list)
    views: list[TrackletView] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    feet: list[TrackletFeet] = field(default_factory=list)


def _moments(tracklets: Sequence[RecordedTracklet], origin_us: int) -> dict[tuple[int, str], _Moment]:
    moments: defaultdict[tuple[int, str], _Moment] = defaultdict(_Moment)
    for tracklet in tracklets:
        moments[_frame(tracklet.first_us, origin_us), tracklet.camera].started.append(tracklet.number)
        end = moments[_frame(tracklet.last_us, origin_us), tracklet.camera]
        end.ended.append(tracklet.number)
        end.feet += [] if tracklet.feet is None else [tracklet.feet]
        for view in tracklet.views:
            shown = TrackletView(tracklet.number, view.embedding, view.quality)
            moments[_frame(view.time_us, origin_us), tracklet.camera].views.append(shown)
    return moments


def _frame(time_us: int, origin_us: int) -> int:
    return (time_us - origin_us) // FRAME_US + 1
