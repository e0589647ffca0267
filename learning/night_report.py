"""Puts the page on an adaptation together: what was decided, what was measured, what it looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reid_pipeline.learning.adapt import ROUNDS_NAME, Adapted, encode_all
from reid_pipeline.learning.code_version import code_version
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.night_page import NightStory, night_page
from reid_pipeline.learning.night_pictures import Pictures, draw_pictures
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.storage.model_card import Model

PAGE_NAME: Final = "report.html"
_TOLD_ELSEWHERE: Final = ("model", "path", "promoted", "reason", "parent", "before", "after", "changes")


def write_page(
    work: Path,
    report: Mapping[str, object],
    serving: Model,
    adapted: Adapted,
    held_out: Material,
    *,
    pictures: bool = True,
) -> None:
    """Writes ``report.html`` into the work folder of an adaptation.

    Args:
        work: The folder, with the log of its rounds.
        report: What `adapt` says of it.
        serving: The encoder that it was compared with.
        adapted: What came of it.
        held_out: Crops that neither was trained on.
        pictures: Whether some of them are shown, in the clear.
    """
    settings = {name: value for name, value in report.items() if name not in _TOLD_ELSEWHERE}
    story = NightStory(
        work.name,
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        serving.name,
        adapted.model.name,
        adapted.verdict,
        read_rounds(work),
        {**settings, "code": code_version()},
        _draw(serving, adapted.model, held_out) if pictures else None,
    )
    (work / PAGE_NAME).write_text(night_page(story), encoding="utf-8")


def _draw(serving: Model, candidate: Model, held_out: Material) -> Pictures:
    before, after = (encode_all(build_encoder(str(each.graph.parent)), held_out.crops) for each in (serving, candidate))
    return draw_pictures(held_out, before, after)


def read_rounds(work: Path) -> list[dict[str, float]]:
    """The figures of each round by its `step`; of a round that was begun twice, the later."""
    path = work / ROUNDS_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rounds = {}
    for line in lines:
        with suppress(ValueError):  # a line that a lost power supply has torn
            found = json.loads(line)
            rounds[found["step"]] = found
    return [rounds[step] for step in sorted(rounds)]
