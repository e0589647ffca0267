"""A grid of cards with pictures that lead somewhere: a component, so that a click stays in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    Attributes:
        key: What a click on it gives.
        address: Where it leads in another tab.
        picture: Address of its picture, None where there is none.
        title: In one or two words.
        colour: Of the mark beside the title.
        lines: Texts, and what each means.
    """

    key: str
    address: str
    picture: str | None
    title: str
    colour: str
    lines: tuple[tuple[str, str], ...]


@cache
def _component() -> Any:
    assets = files(__package__) / "assets"
    return st.components.v2.component(
        "reid_card_grid",
        html='<div class="cards"></div>',
        css=(assets / "card_grid.css").read_text(encoding="utf-8"),
        js=(assets / "card_grid.js").read_text(encoding="utf-8"),
    )


def show_cards(cards: Sequence[Card], key: str) -> str | None:
    """Shows cards; gives the key of one that was clicked, or None."""
    data = {"cards": [asdict(each) for each in cards]}
    clicked = _component()(key=key, data=data, on_opened_change=_nothing).opened
    return None if clicked is None else str(clicked)


def _nothing() -> None:
    """What happens with a click is up to the page, after it."""
