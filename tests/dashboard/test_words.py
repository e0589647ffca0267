from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from reid_pipeline.dashboard import words


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (1.0, "fewer than 1 in 2000 such links are wrong"),
        (0.999, "about 1 in 1000 such links is wrong"),
        (0.98, "about 1 in 50 such links is wrong"),
        (0.9, "about 1 in 10 such links is wrong"),
        (0.75, "about 1 in 4 such links is wrong"),
        (0.62, "about 2 in 5 such links are wrong"),
        (0.5, "about 1 in 2 such links is wrong"),
        (0.49, "more likely somebody else"),
    ],
)
def test_a_probability_in_words(probability, said):
    assert words.wrong_in(probability) == said


@pytest.mark.parametrize("probability", [each / 1000 for each in range(500, 1000)])
def test_words_are_never_far_from_the_number(probability):
    said = words.wrong_in(probability).split()
    if said[0] == "about":
        assert int(said[1]) / int(said[3]) == pytest.approx(1 - probability, rel=0.35)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (180000, "2 days 2 h"),
    ],
)
def test_spans(seconds, said):
    assert words.span(round(seconds * 1e6)) == said


def test_times_are_those_of_the_site():
    berlin = ZoneInfo("Europe/Berlin")
    assert words.clock(1_763_640_000_000_000, berlin) == "2025-11-20 13:00:00"
    assert words.time_of_day(1_763_640_000_000_000, berlin) == "13:00:00"
    assert words.ago(0, 1_000_000) == "now"
    assert words.ago(0, 30_000_000) == "30 s ago"
