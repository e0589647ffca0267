"""How right the identities of a replay are: each crop is a detection, and who it shows is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from reid_pipeline.pipeline.metrics_tracking import TrackingScores, score_tracking
from reid_pipeline.pipeline.mot_format import BoxTracks, TrackKeys
from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.replay_journeys import ReplayTracklet
from reid_pipeline.pipeline.tracking_sequence import match_boxes
from reid_pipeline.storage.records import TrackletBoxes

CropBoxes = dict[str, list[TrackletBoxes]]
"""Tracklets by camera with a box for each crop."""

_BOX: Final = (0.0, 0.0, 64.0, 128.0)  # made up: the place of a crop in its picture is not known


@dataclass(frozen=True, slots=True)
class FalseMerges:
    """How often a tracklet was joined to somebody else.

    Attributes:
        count: Tracklets whose person is not the one that their identity shows most, by detections.
        attachments: Tracklets that were joined to an identity which had one.
    """

    count: int
    attachments: int

    @property
    def rate(self) -> float:
        """The part of the attachments that is false; 0 where nothing was joined."""
        return self.count / self.attachments if self.attachments else 0.0

    @property
    def upper95(self) -> float:
        """The rate that the true one is not above, with 95 % confidence.

        Source:
            Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, 1934.
        """
        if self.count >= self.attachments:
            return 1.0
        return float(betaincinv(self.count + 1, self.attachments - self.count, 0.95))


def count_false_merges(tracklets: Sequence[ReplayTracklet], identities: Mapping[TrackletKey, int]) -> FalseMerges:
    """Counts over final identities; a tracklet without one was not joined to anybody."""
    members: defaultdict[int, list[ReplayTracklet]] = defaultdict(list)
    for tracklet in tracklets:
        if tracklet.key in identities:
            members[identities[tracklet.key]].append(tracklet)
    strangers = sum(_strangers(group) for group in members.values())
    return FalseMerges(strangers, sum(len(group) - 1 for group in members.values()))


def score_identities(tracklets: Sequence[ReplayTracklet], identities: Mapping[TrackletKey, int]) -> TrackingScores:
    """The scores of `eval mtmc`, where each crop is a box in a frame of its own."""
    persons = {tracklet.key: tracklet.person for tracklet in tracklets}
    return score_tracking(
        match_boxes(_to_tracks(crop_boxes(tracklets, persons)), _to_tracks(crop_boxes(tracklets, identities)))
    )


def crop_boxes(tracklets: Sequence[ReplayTracklet], identities: Mapping[TrackletKey, int]) -> CropBoxes:
    """Gives each crop a box in a frame of its own, numbered by time in each camera, so that no two of them touch."""
    cameras: CropBoxes = {}
    frames = _number_crops(tracklets)
    for tracklet in tracklets:
        count = len(tracklet.crops)
        cameras.setdefault(tracklet.camera, []).append(
            TrackletBoxes(
                tracklet.number,
                identities.get(tracklet.key),
                np.array(frames[tracklet.key], np.int32),
                np.array(tracklet.times_us(), np.int64),
                np.tile(np.array(_BOX, np.float32), (count, 1)),
                np.ones(count, np.float32),
            )
        )
    return cameras


def _strangers(group: Sequence[ReplayTracklet]) -> int:
    shown: Counter[int] = Counter()
    for tracklet in group:
        shown[tracklet.person] += len(tracklet.crops)
    person = min(shown, key=lambda each: (-shown[each], each))
    return sum(tracklet.person != person for tracklet in group)


def _number_crops(tracklets: Sequence[ReplayTracklet]) -> dict[TrackletKey, list[int]]:
    crops = sorted((time_us, tracklet.key) for tracklet in tracklets for time_us in tracklet.times_us())
    frames: dict[TrackletKey, list[int]] = {}
    last: Counter[str] = Counter()
    for _, key in crops:
        last[key[0]] += 1
        frames.setdefault(key, []).append(last[key[0]])
    return frames


def _to_tracks(cameras: CropBoxes) -> BoxTracks:
    known = [
        (name, each, each.identity) for name, some in cameras.items() for each in some if each.identity is not None
    ]
    keys = TrackKeys(
        np.array([name for name, each, _ in known for _ in each.frames], np.str_),
        _join([each.frames for _, each, _ in known]),
        np.array([identity for _, each, identity in known for _ in each.frames], np.int64),
    )
    return BoxTracks(keys, np.tile(np.array(_BOX), (len(keys), 1)), np.ones(len(keys)))


def _join(frames: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *frames])
