"""What is in the corpus, as one SVG of bar charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final

from reid_pipeline.storage.corpus_records import CorpusStats

_WIDTH: Final = 760.0
_CHART: Final = 150.0  # height of the bars
_LEFT, _TOP, _BELOW, _RIGHT = 70.0, 40.0, 62.0, 20.0
_MOST_LABELS: Final = 16
_EPOCH: Final = date(1970, 1, 1)
_STYLE: Final = (
    "text{font:11px sans-serif;fill:#222}.bar{fill:#1f6fb4}.axis{stroke:#888}.count{fill:#666}.title{font-size:14px}"
)

Bars = Sequence[tuple[str, int]]


def draw_corpus(stats: CorpusStats, title: str) -> str:
    """The text of an SVG file: crops by day, camera, width, height and quality, tracklets by their number of crops.

    Args:
        stats: What to draw.
        title: Plain text above it.
    """
    charts: tuple[tuple[str, Bars], ...] = (
        ("crops by day", [((_EPOCH + timedelta(days=day)).isoformat(), count) for day, count in stats.days]),
        ("crops by camera", [(each.camera, each.crops) for each in stats.cameras]),
        ("tracklets by number of crops", _named(stats.crops_per_tracklet)),
        ("crops by width, pixels from", _named(stats.widths)),
        ("crops by height, pixels from", _named(stats.heights)),
        ("crops by quality, from", [(f"{tenth / 10:.1f}", count) for tenth, count in stats.qualities]),
    )
    step = _TOP + _CHART + _BELOW
    height = 30 + step * len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" width="{_WIDTH:g}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH:g}" height="{height:g}" fill="#fff"/>',
        _text(20, 22, title, 'class="title"'),
        *(line for row, (name, bars) in enumerate(charts) for line in _chart(name, bars, 30 + step * row)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _named(histogram: Iterable[tuple[int, int]]) -> Bars:
    return [(str(bound), count) for bound, count in histogram]


def _chart(name: str, bars: Bars, top: float) -> Iterable[str]:
    floor = top + _TOP + _CHART
    yield _text(_LEFT, top + 24, name, "")
    yield f'<line class="axis" x1="{_LEFT:g}" y1="{floor:g}" x2="{_WIDTH - _RIGHT:g}" y2="{floor:g}"/>'
    if not bars:
        return
    largest = max(count for _, count in bars)
    yield _text(_LEFT - 6, top + _TOP + 8, f"{largest:,}", 'class="count" text-anchor="end"')
    step = (_WIDTH - _LEFT - _RIGHT) / len(bars)
    every = -(-len(bars) // _MOST_LABELS)
    for index, (label, count) in enumerate(bars):
        high = _CHART * count / largest
        x = _LEFT + index * step
        yield (
            f'<rect class="bar" x="{x + step * 0.1:.1f}" y="{floor - high:.1f}" width="{min(step, 60) * 0.8:.1f}" '
            f'height="{high:.1f}"><title>{escape(label)}: {count:,}</title></rect>'
        )
        if index % every == 0:
            place = f"translate({x + step * 0.1 + 4:.1f} {floor + 12:.1f}) rotate(30)"
            yield _text(0, 0, label, f'transform="{place}"')


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {attributes}>{escape(text)}</text>'
