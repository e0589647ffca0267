"""Making one person of sightings that an operator has accepted, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.overview import Overview


def join_sightings(corrections: Corrections, overview: Overview, keys: Sequence[TrackletKey]) -> int | None:
    """Says that some tracklets are one person, who is the oldest identity of them; returns its number.

    Where an identity has other tracklets too, which nobody has accepted, these stay as they are: the accepted ones are
    split from it first, but for the oldest identity, which they all join.

    Args:
        corrections: Of the operator.
        overview: Of the operator.
        keys: Camera and number of each tracklet; one that nobody has decided about yet is left out.

    Returns:
        The identity; None where none of the tracklets has one.

    Raises:
        CorrectionRefused: A tracklet has left its identity just now, or somebody has said that two are two people.
    """
    accepted: dict[int, list[TrackletKey]] = {}
    for key, identity in overview.identities_of(keys).items():
        accepted.setdefault(identity, []).append(key)
    if not accepted:
        return None
    oldest = min(accepted)
    counts = overview.count_tracklets(accepted)
    for identity in sorted(accepted.keys() - {oldest}):
        mine = accepted[identity]
        whole = len(mine) == counts[identity]
        corrections.merge(oldest, identity if whole else corrections.split(identity, mine).identity)
    return oldest
