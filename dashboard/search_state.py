"""What somebody searches for on the page Search: what its address says, and what they brought and judged since."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import streamlit as st

from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.search import Found
from reid_pipeline.pipeline.search_picture import PersonInPicture

_HOUR_US: Final = 3_600_000_000
_KEY: Final = "search_state"


class Span(Enum):
    """How far back is searched."""

    EVER = "at any time"
    HOUR = "in the last hour"
    DAY = "in the last 24 hours"
    WEEK = "in the last 7 days"

    @property
    def length_us(self) -> int | None:
        """In microseconds; None without a limit."""
        return {Span.HOUR: _HOUR_US, Span.DAY: 24 * _HOUR_US, Span.WEEK: 168 * _HOUR_US}.get(self)


@dataclass(slots=True)
class SearchState:
    """A search that goes on.

    Attributes:
        sightings: Tracklets that the address names.
        identities: Identities that the address names.
        persons: Out of pictures, by the number of the file.
        accepted: Hits that are the person.
        rejected: Hits that are not.
        found: What was found last, and for what.
        generation: Counts searches, so that each begins with an empty upload.
    """

    sightings: tuple[TrackletKey, ...] = ()
    identities: tuple[int, ...] = ()
    persons: dict[str, PersonInPicture] = field(default_factory=dict)
    accepted: list[TrackletKey] = field(default_factory=list)
    rejected: list[TrackletKey] = field(default_factory=list)
    found: tuple[Hashable, Found] | None = None
    generation: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody is searched for."""
        return not (self.sightings or self.identities or self.persons)

    @property
    def key(self) -> Hashable:
        """Another one whenever something else is searched for."""
        return self.sightings, self.identities, tuple(self.persons), tuple(self.accepted), tuple(self.rejected)

    def judge(self, text: str, *, accept: bool) -> None:
        """Takes a hit, ``camera:number``, for the person, or for somebody else."""
        key = parse_key(text)
        if key is not None and key not in (*self.accepted, *self.rejected):
            (self.accepted if accept else self.rejected).append(key)

    def keep_pictures(self, files: Collection[str]) -> None:
        """Forgets the persons of files that were taken away."""
        for gone in self.persons.keys() - set(files):
            del self.persons[gone]

    def clear(self) -> None:
        """Begins anew."""
        self.sightings, self.identities, self.found = (), (), None
        for each in (self.persons, self.accepted, self.rejected):
            each.clear()
        self.generation += 1
        for name in ("sighting", "identity"):
            st.query_params.pop(name, None)

    def noted(self) -> dict[str, object]:
        """What the audit log is to say of it: numbers, never pictures."""
        asked = {
            "images": len(self.persons),
            "identities": list(self.identities),
            "sightings": [tracklet_text(key) for key in (*self.sightings, *self.accepted)],
        }
        return {name: value for name, value in asked.items() if value}


def read_state() -> SearchState:
    """The search of this session; a new one where the address names somebody else."""
    sightings = tuple(key for text in st.query_params.get_all("sighting") if (key := parse_key(text)) is not None)
    identities = tuple(int(text) for text in st.query_params.get_all("identity") if text.isdecimal() and len(text) < 19)
    state: SearchState = st.session_state.setdefault(_KEY, SearchState())
    if (sightings or identities) and (sightings, identities) != (state.sightings, state.identities):
        state = SearchState(sightings, identities, generation=state.generation + 1)
        st.session_state[_KEY] = state
    return state


def parse_key(text: str) -> TrackletKey | None:
    """``camera:number`` of a tracklet; None where it is none."""
    camera, _, number = text.rpartition(":")
    return (camera, int(number)) if camera and number.isdecimal() and len(number) < 19 else None


def tracklet_text(key: TrackletKey) -> str:
    """A tracklet as ``camera:number``."""
    return f"{key[0]}:{key[1]}"
