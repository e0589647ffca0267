"""How the dashboard looks: quiet colours, light and dark, one accent; a little CSS where Streamlit has no setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import streamlit as st

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

THEME: Final[dict[str, Any]] = {
    "theme.font": _FONT,
    "theme.headingFont": _FONT,
    "theme.baseFontSize": 15,
    "theme.baseRadius": "6px",
    "theme.showSidebarBorder": True,
    "theme.headingFontSizes": ["1.6rem", "1.2rem", "1.05rem", "1rem", "0.95rem", "0.9rem"],
    "theme.headingFontWeights": [650, 600, 600, 600, 600, 600],
    "theme.metricValueFontSize": "1.5rem",
    "theme.light.primaryColor": "#0f6d8c",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f5f7",
    "theme.light.textColor": "#16202a",
    "theme.light.borderColor": "#d5dbe1",
    "theme.dark.primaryColor": "#4bb3d4",
    "theme.dark.backgroundColor": "#10161b",
    "theme.dark.secondaryBackgroundColor": "#182027",
    "theme.dark.textColor": "#e6ebef",
    "theme.dark.borderColor": "#2b363f",
}

_CSS: Final = """
<style>
.stMainBlockContainer { padding-top: 2.75rem; padding-bottom: 3rem; max-width: 1500px; }
@media (max-width: 640px) { .stMainBlockContainer { padding: 3.25rem 1rem 2rem; } }
[data-testid="stMetric"] { padding: 0; }
.log-out { font: inherit; font-size: .85rem; color: inherit; background: none; border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius); padding: .25rem .7rem; cursor: pointer; }
.log-out:hover, .log-out:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }
[data-testid="stCaptionContainer"] { color: inherit; opacity: .72; }
</style>
"""

ICON: Final = Path(__file__).with_name("assets") / "icon.png"
"""Beside the name in a tab of the browser. A symbol of Streamlit's would be fetched from its maker's host."""

PALETTE: Final = ("#0f6d8c", "#c2571a", "#5b7f2b", "#8a4f9e", "#a8862a", "#b23a48", "#3f6fb5", "#4f7a74")
"""For lines and bars, told apart by everybody, also in grey."""


def apply_look() -> None:
    """Adds the CSS to the present page."""
    st.html(_CSS)


def identity_colour(identity: int | None) -> str:
    """The colour of an identity, the same as in the videos; grey while it is unknown."""
    from reid_pipeline.pipeline.video import identity_colour as bgr

    blue, green, red = bgr(identity)
    return f"#{red:02x}{green:02x}{blue:02x}"
