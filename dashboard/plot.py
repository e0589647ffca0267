"""A plot and its data, which go to the browser apart: Altair would check every value, which takes seconds of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import streamlit as st


@dataclass(frozen=True, slots=True)
class Plot:
    """Rows, and a chart without data whose encodings name their types."""

    rows: Sequence[Mapping[str, object]]
    chart: alt.Chart


def show_plot(plot: Plot, key: str) -> None:
    """Shows a plot as wide as there is room."""
    spec = plot.chart.to_dict()
    for part in ("data", "datasets"):  # which name and hold one empty row
        spec.pop(part, None)
    st.vega_lite_chart(list(plot.rows), spec, width="stretch", key=key)
