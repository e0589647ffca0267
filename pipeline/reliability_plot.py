"""A reliability plot as SVG: stated probability to the right, observed frequency upwards, both in log-odds.

On a scale of probabilities all but a few pairs would lie in one corner. What is well calibrated lies on the diagonal.
"""

from __future__ import annotations

import math
from html import escape
from typing import Final

from reid_pipeline.pipeline.reliability import Reliability, ReliabilityBin

_SIDE: Final = 520.0  # of the square, pixels
_LEFT, _TOP, _BELOW, _RIGHT = 80.0, 46.0, 64.0, 24.0  # around it
_TICKS: Final = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_REACH: Final = 12.5  # log-odds at the edges; what is beyond, as a frequency of 0 or 1, is drawn on the edge
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}.ideal{stroke:#888;stroke-dasharray:5 4}"
    ".range{stroke:#1f6fb4;stroke-width:2}.mean{fill:#1f6fb4}.none{fill:#fff;stroke:#1f6fb4;stroke-width:2}"
    ".count{font-size:10px;fill:#666}.title{font-size:14px}"
)


def draw_reliability(reliability: Reliability, title: str) -> str:
    """The text of an SVG file; a hollow point is a bin whose pairs are all one person, or none is.

    Args:
        reliability: What to draw.
        title: Plain text above it.
    """
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BELOW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
        _text(_LEFT, 26, escape(title), 'class="title"'),
        *(_tick(value) for value in _TICKS),
        _line((_x(-_REACH), _y(-_REACH)), (_x(_REACH), _y(_REACH)), "ideal"),
        *(_point(each) for each in reliability.bins),
        _text(_LEFT + _SIDE / 2, height - 14, "stated probability of one person", 'text-anchor="middle"'),
        _text(0, 0, "part that is one person, with 95 % interval", _upright(20, _TOP + _SIDE / 2, "middle")),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _tick(value: float) -> str:
    place = _log_odds(value)
    x, y = _x(place), _y(place)
    label = f"{value:.4f}".rstrip("0")
    return "\n".join(
        [
            _line((x, _TOP), (x, _TOP + _SIDE), "grid"),
            _line((_LEFT, y), (_LEFT + _SIDE, y), "grid"),
            _text(x, _TOP + _SIDE + 18, label, 'text-anchor="middle"'),
            _text(_LEFT - 8, y + 4, label, 'text-anchor="end"'),
        ]
    )


def _point(one: ReliabilityBin) -> str:
    x, y = _x(_log_odds(one.stated)), _y(_log_odds(one.observed))
    low, high = (_y(_log_odds(value)) for value in one.interval)
    kind = "mean" if 0 < one.same < one.pairs else "none"
    return "\n".join(
        [
            _line((x, low), (x, high), "range"),
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
            _text(0, 0, f"{one.pairs:,}", f'class="count" {_upright(x + 12, _TOP + _SIDE - 4, "start")}'),
        ]
    )


def _log_odds(probability: float) -> float:
    if not 0.0 < probability < 1.0:
        return math.copysign(_REACH, probability - 0.5)
    return math.log(probability / (1.0 - probability))


def _x(log_odds: float) -> float:
    return _LEFT + _SIDE * (min(max(log_odds / _REACH, -1.0), 1.0) + 1.0) / 2.0


def _y(log_odds: float) -> float:
    return _TOP + _SIDE * (1.0 - min(max(log_odds / _REACH, -1.0), 1.0)) / 2.0


def _line(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    return f'<line class="{kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{text}</text>'


def _upright(x: float, y: float, anchor: str) -> str:
    return f'text-anchor="{anchor}" transform="translate({x:.1f} {y:.1f}) rotate(-90)"'
