"""The pages of the dashboard: where each stands in the menu, and what somebody must be allowed to do to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

import streamlit as st

from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.storage.permissions import ALLOWED, Permission

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


_LINKS: Final = "_pages"


@dataclass(frozen=True, slots=True)
class PageSpec:
    """A page; its module ``dashboard.page_<name>`` has the function ``show``, and is imported when it is first seen.

    Attributes:
        name: In its address, ``/<name>``.
        title: In the menu.
        icon: A Material symbol.
        section: Of the menu.
        needs: What is needed to see it, ...
        instead: ... or this.
    """

    name: str
    title: str
    icon: str
    section: str
    needs: Permission
    instead: Permission | None = None

    def load(self) -> Callable[[Visitor], None]:
        """Imports it."""
        show: Callable[[Visitor], None] = import_module(f"reid_pipeline.dashboard.page_{self.name}").show
        return show


PAGES: Final = (
    PageSpec("live", "Live", "videocam", "Watch", Permission.SEE),
    PageSpec("alerts", "Alerts", "notifications", "Watch", Permission.ACKNOWLEDGE, Permission.APPROVE),
    PageSpec("people", "People", "groups", "Find", Permission.SEE),
    PageSpec("journeys", "Journeys", "conversion_path", "Find", Permission.SEE),
    PageSpec("map", "Map", "map", "Find", Permission.SEE),
    PageSpec("search", "Search", "image_search", "Find", Permission.SEARCH),
    PageSpec("learning", "Learning", "school", "Site", Permission.SEE),
    PageSpec("system", "System", "monitor_heart", "Site", Permission.SEE),
    PageSpec("privacy", "Privacy", "shield_person", "Site", Permission.HOLD),
    PageSpec("users", "Users", "group", "Site", Permission.MANAGE),
    PageSpec("password", "Password", "key", "You", Permission.SEE),
)


def pages_for(visitor: Visitor) -> dict[str, list[StreamlitPage]]:
    """The pages that somebody may see, by section; the first one is where they start."""
    may = ALLOWED[visitor.access.role]
    allowed = [each for each in PAGES if each.needs in may or each.instead in may]
    sections: dict[str, list[StreamlitPage]] = {}
    links: dict[str, StreamlitPage] = {}
    for each in allowed:
        page = st.Page(
            partial(_show, each, visitor),
            title=each.title,
            icon=f":material/{each.icon}:",
            url_path=each.name,
            default=each is allowed[0],
        )
        sections.setdefault(each.section, []).append(page)
        links[each.name] = page
    st.session_state[_LINKS] = links
    return sections


def page_link(name: str) -> StreamlitPage | None:
    """The page of a name, to switch or link to; None where this person may not see it."""
    links: dict[str, StreamlitPage] = st.session_state.get(_LINKS, {})
    return links.get(name)


def _show(page: PageSpec, visitor: Visitor) -> None:
    page.load()(visitor)
