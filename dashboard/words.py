"""Numbers in words: probabilities, times, spans of time; and words that mean only what they say."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta, tzinfo


def wrong_in(probability: float) -> str:
    """How often a link of this probability is wrong, for people who do not think in probabilities.

    Example:
        >>> wrong_in(0.98)
        'about 1 in 50 such links is wrong'
        >>> wrong_in(0.6)
        'about 2 in 5 such links are wrong'
        >>> wrong_in(0.3)
        'more likely somebody else'
    """
    wrong = 1.0 - probability
    if wrong > 0.5:
        return "more likely somebody else"
    if wrong < 0.0005:
        return "fewer than 1 in 2000 such links are wrong"
    if wrong <= 0.3:
        return f"about 1 in {_plain(1 / wrong)} such links is wrong"
    return "about 2 in 5 such links are wrong" if wrong < 0.45 else "about 1 in 2 such links is wrong"


def _plain(value: float) -> int:
    """A number as people say it: 2 to 10, then tens, then hundreds."""
    step = 1 if value < 15 else 5 if value < 30 else 10 if value < 150 else 100
    return max(2, round(value / step) * step)


def span(microseconds: int) -> str:
    """A span of time.

    Example:
        >>> span(75_000_000)
        '1 min 15 s'
        >>> span(200_000)
        '0.2 s'
    """
    seconds = microseconds / 1e6
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def ago(time_us: int, now_us: int) -> str:
    """How long ago something was.

    Example:
        >>> ago(0, 75_000_000)
        '1 min ago'
    """
    passed = max(now_us - time_us, 0)
    if passed < 2_000_000:
        return "now"
    minute = 60_000_000
    return f"{span(passed if passed < minute else passed // minute * minute)} ago"


def clock(time_us: int, timezone: tzinfo) -> str:
    """Date and time of day, to the second, in a site's time zone."""
    return moment(time_us, timezone).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(time_us: int, timezone: tzinfo) -> str:
    """Time of day to the second."""
    return moment(time_us, timezone).strftime("%H:%M:%S")


def moment(time_us: int, timezone: tzinfo) -> datetime:
    """A time as a `datetime` in a time zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).astimezone(timezone)


def plain(text: str) -> str:
    r"""What somebody has typed, so that it is text and nothing else in Markdown.

    Example:
        >>> plain("*a* <b>")
        '\\*a\\* &lt;b&gt;'
    """
    return html.escape(text).translate({ord(sign): f"\\{sign}" for sign in "\\`*_{}[]()#+-!|~$:"})
