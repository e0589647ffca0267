"""The stays that a page counts, kept for a minute: a page runs anew at each click."""

from __future__ import annotations

from typing import Final

import streamlit as st

from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.time_choice import TimeSpan
from reid_pipeline.storage.traffic import Stays, Traffic

_MINUTE_US: Final = 60_000_000


def stays_of(visitor: Visitor, when: TimeSpan, cameras: tuple[str, ...] = ()) -> Stays:
    """The stays of a time, from its whole minute on, in some cameras or in all that may be seen."""
    traffic = Traffic(visitor.site.database, visitor.access)  # refuses who may see nothing, also of what is kept
    since_us = None if when.since_us is None else when.since_us // _MINUTE_US * _MINUTE_US
    site = str(visitor.site.database.data_dir)
    return _read(traffic, site, visitor.scope, since_us, when.until_us, cameras)


@st.cache_data(ttl=60, max_entries=32, show_spinner=False)
def _read(
    _traffic: Traffic,
    site: str,
    scope: tuple[str, ...] | None,
    since_us: int | None,
    until_us: int | None,
    cameras: tuple[str, ...],
) -> Stays:
    """Site and scope are there to keep apart what is kept for different people."""
    return _traffic.stays(since_us, until_us, cameras)
