"""Who each tracklet is in the end, after all decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

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
        return None if identity is None else self.survivor(identity)

    def survivor(self, identity: int) -> int:
        """Who an identity is, after all merges."""
        while identity in self._merged:
            identity = self._merged[identity]
        return identity

    def forget(self, tracklet: TrackletKey) -> None:
        """Forgets who a tracklet was said to be."""
        self._given.pop(tracklet, None)

    def correct(self, identities: Mapping[TrackletKey, int], survivors: Mapping[int, int]) -> list[Decision]:
        """Takes over what operators have made of it.

        Args:
            identities: Who tracklets are now.
            survivors: Identities, and who each of them is now: itself, or an older one.

        Returns:
            The decisions that lead there from what was noted; none of them is to be noted again.
        """
        merges = list(self._corrected_merges(survivors))
        self.apply(merges)
        before = {key: self.identity(key) for key in self._given}
        self._merged = {each: other for each, other in self._merged.items() if each not in survivors}
        self._merged.update({each: other for each, other in survivors.items() if each != other})
        self._given.update({key: identity for key, identity in identities.items() if self.identity(key) != identity})
        after = {key: self.survivor(identity) for key, identity in self._given.items()}
        changed = ((key, identity) for key, identity in after.items() if before.get(key) != identity)
        return [*merges, *(Decision(EventType.ASSIGN, key, identity, None, {}) for key, identity in changed)]

    def _corrected_merges(self, survivors: Mapping[int, int]) -> Iterator[Decision]:
        for identity, survivor in survivors.items():
            if survivor != identity and self.survivor(identity) == identity:
                yield Decision(EventType.MERGE, None, identity, None, {}, other=survivor)

    def _merge(self, decision: Decision) -> None:
        if decision.other is None or decision.other >= decision.identity:
            raise ValueError(f"merge of identity {decision.identity}: expected an older `other`, got {decision.other}")
        self._merged[decision.identity] = decision.other
