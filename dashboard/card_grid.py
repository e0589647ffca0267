"""A grid of cards with pictures that lead somewhere: a component, so that a click stays in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from reid_pipeline.dashboard.components import ask


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


def show_cards(cards: Sequence[Card], key: str) -> str | None:
    """Shows cards; gives the key of one that was clicked, or None."""
    data = {"cards": [asdict(each) for each in cards]}
    clicked = ask("card_grid", '<div class="cards"></div>', "opened", key, data)
    return None if clicked is None else str(clicked)
