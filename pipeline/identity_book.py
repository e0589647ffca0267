"""Who each tracklet is in the end, after all decisions."""

from __future__ import annotations

from collections.abc import Iterable

from reid_pipeline.pipeline.protocols import Decision, TrackletKey
from reid_pipeline.storage.records import EventType


class IdentityBook:
    """Applies the decisions of an associator in order."""

    def __init__(self) -> None:
        self._given: dict[TrackletKey, int] = {}  # who each tracklet was said to be last
        self._merged: dict[int, int] = {}  # into whom

    def apply(self, decisions: Iterable[Decision]) -> None:
        """Notes the next decisions.

        Raises:
            ValueError: A decision lacks its tracklet, or a merge the older identity.
        """
        for decision in decisions:
            if decision.kind is EventType.MERGE:
                self._merge(decision)
            elif decision.tracklet is None:
                raise ValueError(f"{decision.kind} of identity {decision.identity}: expected a tracklet, got none")
            else:
                self._given[decision.tracklet] = decision.identity

    def identity(self, tracklet: TrackletKey) -> int | None:
        """Who a tracklet is, after all merges; None while that is not decided."""
        identity = self._given.get(tracklet)
        while identity in self._merged:
            identity = self._merged[identity]
        return identity

    def forget(self, tracklet: TrackletKey) -> None:
        """Forgets who a tracklet was said to be."""
        self._given.pop(tracklet, None)

    def _merge(self, decision: Decision) -> None:
        if decision.other is None or decision.other >= decision.identity:
            raise ValueError(f"merge of identity {decision.identity}: expected an older `other`, got {decision.other}")
        self._merged[decision.identity] = decision.other
