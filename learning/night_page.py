"""The report of an adaptation as one HTML page that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from reid_pipeline.learning.gate import Change, Verdict
from reid_pipeline.learning.night_pictures import Answer, Person, Pictures, Search, View

_STYLE: Final = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --faint: #656d76; --line: #d4d9df; --panel: #f5f7f9;
  --old: #9aa4b0; --new: #2a6fdb; --good: #1a7f37; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --text: #e3e7ec; --faint: #99a3ae; --line: #333a42; --panel: #1d2127;
    --old: #77818d; --new: #6ea8ff; --good: #5bc27a; --bad: #ff8a80 } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 68em; padding: 0 1.2em; color: var(--text);
  background: var(--back) }
h1 { font-size: 1.25em; font-weight: 600; margin: 0 0 1em; color: var(--faint) }
h2 { font-size: 1.15em; margin: 2.4em 0 .5em }
.decision { border: 1px solid var(--line); border-left: .4em solid var(--bad); background: var(--panel); padding: 1em }
.decision.promoted { border-left-color: var(--good) }
.decision strong { font-size: 1.3em; display: block }
.decision p { margin: .4em 0 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .45em .9em .45em 0; border-bottom: 1px solid var(--line); vertical-align: middle }
th { font-weight: 600; color: var(--faint) }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
.note, figcaption, footer { color: var(--faint); font-size: .87em }
figure { display: inline-block; margin: 0 .35em .5em 0; vertical-align: top }
figure img { display: block; height: 7.5em; border-radius: 3px }
figure.own img { outline: 3px solid var(--good) }
figcaption { max-width: 6.5em; font-size: .72em; line-height: 1.25; margin-top: .25em; overflow-wrap: anywhere }
.strip { border-bottom: 1px solid var(--line); padding: .6em 0 .1em; overflow-x: auto; white-space: nowrap }
.strip figcaption { white-space: normal }
.search { display: flex; gap: 2em; border-bottom: 1px solid var(--line); padding: .6em 0 .1em; flex-wrap: wrap }
.search p { margin: 0 0 .3em; font-size: .87em; color: var(--faint) }
.charts { display: flex; gap: 2em; flex-wrap: wrap }
svg { display: block } svg text { font-size: 11px; fill: var(--faint) }
svg .old { fill: var(--old) } svg .new { fill: var(--new) } svg .frame { stroke: var(--line) }
svg .whisker { stroke: var(--text); stroke-width: 1.5; fill: none }
svg .curve { stroke: var(--new); stroke-width: 2; fill: none }
footer { margin-top: 3em; border-top: 1px solid var(--line); padding-top: 1em }
"""
_MEANINGS: Final = {
    "retrieval": ("People found again", "half a visit finds its other half among all others; 1 is always first"),
    "round_trip": ("There and back", "part that comes back to itself from its nearest in another camera"),
    "true_positive_rate": ("Told from people seen beside them", "part that is surer than one mistake in 1,000"),
    "camera_bias": ("Leaning on the camera", "neighbours of the own camera over what chance gives; 1 is none"),
    "effective_rank": ("Directions in use", "how many directions the embeddings spread over; a collapse has 1"),
    "mean_cosine": ("Likeness of two crops", "of any two, on average; a collapse has 1"),
}
_BAR, _ROW, _LEFT = 240, 14, 2  # pixels


_NO_PICTURES: Final = "<p>The site is encrypted and this page is not: it shows no pictures.</p>"
_PERSONAL: Final = """This page holds pictures of people, which are personal data. It lies in the site's data folder
under the retention class <code>reports</code>; remove it where those pictures must go earlier. """


@dataclass(frozen=True, slots=True)
class NightStory:
    """What the page tells.

    Attributes:
        name: Of the adaptation.
        written_at: When, as text.
        parent: Name of the encoder that served.
        model: Name of the candidate.
        verdict: What the gate says.
        rounds: Figures of each round of learning, with its `step`.
        settings: What it was made with, by name.
        pictures: What it shows; None on a site that is encrypted, as this page is not.
    """

    name: str
    written_at: str
    parent: str
    model: str
    verdict: Verdict
    rounds: Sequence[Mapping[str, float]]
    settings: Mapping[str, object]
    pictures: Pictures | None


def night_page(story: NightStory) -> str:
    """The page; all text is escaped, and a browser may load nothing but the pictures in it."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(story.name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(story.name)}, {escape(story.written_at)} UTC</h1>
{_decision(story)}
{_figures(story.verdict)}
{_rounds(story.rounds)}
{_NO_PICTURES if story.pictures is None else _people(story.pictures.people) + _searches(story.pictures.searches)}
{_settings(story.settings)}
<footer>{"" if story.pictures is None else _PERSONAL}All times are UTC.</footer>
</body>
</html>
"""


def _decision(story: NightStory) -> str:
    promoted = story.verdict.promoted
    model, parent = escape(story.model), escape(story.parent)
    head = f"Promoted: {model} serves now" if promoted else f"Not promoted: {parent} goes on serving"
    told = (
        f"Searches and new sightings use {model}; <code>reid-pipeline model rollback</code> takes it back."
        if promoted
        else f"{model} was made and examined, but it does not serve."
    )
    return f"""<div class="decision{" promoted" if promoted else ""}">
<strong>{head}</strong>
<p>{escape(_in_words(story.verdict.reason))}.</p>
<p class="note">{told} Both were examined on visits that were kept back from learning.</p>
</div>"""


def _in_words(reason: str) -> str:
    for name, (words, _) in _MEANINGS.items():
        reason = reason.replace(name, words.lower())
    return reason[:1].upper() + reason[1:]


def _figures(verdict: Verdict) -> str:
    rows = "\n".join(
        _figure(name, verdict.before[name], verdict.after[name], verdict.changes.get(name))
        for name in _MEANINGS
        if name in verdict.before and name in verdict.after
    )
    return f"""<h2>Figures</h2>
<p class="note">Grey before, blue after. The line at the end of a blue bar is the range of what chance could make of the
difference: nine draws of ten and more lie within it.</p>
<table>
<thead><tr><th>Figure</th><th>Before</th><th>After</th><th>Difference</th><th></th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _figure(name: str, before: float, after: float, change: Change | None) -> str:
    words, meaning = _MEANINGS[name]
    known = math.isfinite(before) and math.isfinite(after)
    difference = f"{after - before:+.3f}" if known else ""
    if change is not None and known:
        difference += f" ({change.low:+.3f} to {change.high:+.3f})"
    numbers = "".join(f'<td class="number">{text}</td>' for text in (_number(before), _number(after), difference))
    bars = _bars(before, after, change) if known else ""
    return f'<tr><td>{escape(words)}<div class="note">{escape(meaning)}</div></td>{numbers}<td>{bars}</td></tr>'


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "unknown"


def _bars(before: float, after: float, change: Change | None) -> str:
    """Two bars from zero, both to one scale."""
    low, high = (before + change.low, before + change.high) if change is not None else (after, after)
    scale = _BAR / max(before, after, high, 1.0, 1e-9)
    bars = "".join(
        f'<rect class="{name}" x="{_LEFT}" y="{2 + place * _ROW}" width="{max(value, 0.0) * scale:.1f}" height="10"/>'
        for place, (name, value) in enumerate((("old", before), ("new", after)))
    )
    middle = 7 + _ROW
    ends = [_LEFT + max(each, 0.0) * scale for each in (low, high)]
    whisker = (
        f'<path class="whisker" d="M{ends[0]:.1f} {middle}H{ends[1]:.1f}M{ends[0]:.1f} {middle - 4}v8'
        f'M{ends[1]:.1f} {middle - 4}v8"/>'
        if change is not None
        else ""
    )
    return f'<svg width="{_BAR + 2 * _LEFT}" height="{2 * _ROW + 2}" role="img">{bars}{whisker}</svg>'


def _rounds(rounds: Sequence[Mapping[str, float]]) -> str:
    names = [name for name in (rounds[0] if rounds else {}) if name != "step"]
    charts = "".join(_curve(name, [(each["step"], each[name]) for each in rounds if name in each]) for name in names)
    shown = f'<div class="charts">{charts}</div>' if charts else "<p>None were noted.</p>"
    return f"""<h2>Rounds of learning</h2>
<p class="note">Before each round it is guessed anew who is who: <em>people</em> is how many were told apart,
<em>tracklets</em> which part of all tracklets is somebody's.</p>
{shown}"""


def _curve(name: str, points: Sequence[tuple[float, float]]) -> str:
    """A line over the steps, from zero up, with its first and last value."""
    width, height, head = 240, 110, 22
    last_step = max(points[-1][0], 1.0)
    most = max(*(value for _, value in points), 1e-9)
    places = [(step / last_step * width, head + (1 - value / most) * (height - head)) for step, value in points]
    path = "M" + "L".join(f"{x + _LEFT:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle class="new" cx="{x + _LEFT:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    first, last = points[0][1], points[-1][1]
    return f"""<svg width="{width + 70}" height="{height + 22}" role="img">
<path class="frame" d="M{_LEFT} {head}V{height}H{width}" fill="none"/>
<path class="curve" d="{path}"/>{dots}
<text x="{_LEFT}" y="12">{escape(name)}: {first:.4g} to {last:.4g}</text>
<text x="{_LEFT}" y="{height + 15}">step 0</text>
<text x="{width}" y="{height + 15}" text-anchor="end">{last_step:.0f}</text>
<text x="{width + 6}" y="{places[-1][1] + 4:.1f}">{last:.4g}</text>
</svg>"""


def _people(people: Sequence[Person]) -> str:
    strips = "\n".join(_strip(person) for person in people)
    return f"""<h2>Who is taken for one person</h2>
<p class="note">Each line is tracklets that the new encoder takes for one person, one crop each, in order of time: some
drawn at random from those kept back from learning. Nobody says whether it is right: look.</p>
{strips or "<p>No two tracklets were taken for one person.</p>"}"""


def _strip(person: Person) -> str:
    left_out = person.tracklets - len(person.views)
    more = f'<span class="note">and {left_out} more</span>' if left_out else ""
    return f'<div class="strip">{"".join(_picture(view) for view in person.views)}{more}</div>'


def _searches(searches: Sequence[Search]) -> str:
    rows = "\n".join(_search(search) for search in searches)
    return f"""<h2>Searches before and after</h2>
<p class="note">Left the first crop of a tracklet, whose first half is searched for among the second halves of all.
Green: its own, at the place that is stated. First those that gained most, then those that lost most, then some
at random.</p>
{rows or "<p>There were none to compare.</p>"}"""


def _search(search: Search) -> str:
    return f"""<div class="search"><div><p>query</p>{_picture(search.query)}</div>
{_answer("before", search.before)}
{_answer("after", search.after)}</div>"""


def _answer(when: str, answer: Answer) -> str:
    pictures = "".join(_picture(view, own=place == answer.own) for place, view in enumerate(answer.views))
    return f"<div><p>{when}: place {answer.rank}</p>{pictures}</div>"


def _picture(view: View, *, own: bool = False) -> str:
    caption = f"{escape(view.camera)}<br>{escape(view.time)}"
    source = b64encode(view.jpeg).decode()
    kind = ' class="own"' if own else ""
    return (
        f'<figure{kind}><img alt="" src="data:image/jpeg;base64,{source}"><figcaption>{caption}</figcaption></figure>'
    )


def _settings(settings: Mapping[str, object]) -> str:
    texts = {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in settings.items()}
    rows = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in texts.items())
    return f"<h2>Settings</h2>\n<table><tbody>\n{rows}\n</tbody></table>"
