import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.gate import Change, Verdict  # noqa: E402  # only where torch is
from reid_pipeline.learning.night_page import NightStory, night_page  # noqa: E402
from reid_pipeline.learning.night_pictures import Pictures, draw_pictures  # noqa: E402
from reid_pipeline.learning.night_report import read_rounds  # noqa: E402
from tests.learning.site_material import site_material  # noqa: E402

pytestmark = pytest.mark.learning

BEFORE = {"retrieval": 0.5, "round_trip": 0.4, "true_positive_rate": 0.8, "camera_bias": 1.2, "effective_rank": 30.0}
AFTER = {
    "retrieval": 0.75,
    "round_trip": 0.45,
    "true_positive_rate": float("nan"),
    "camera_bias": 1.1,
    "effective_rank": 31.0,
}
CHANGES = {"retrieval": Change(0.5, 0.75, 0.2, 0.3)}
VOID = {"meta", "img", "br", "rect", "path", "circle"}


class Checked(HTMLParser):
    """Every tag is closed, and nothing is fetched or run."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.tags = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert tag not in {"script", "link", "iframe", "object"}
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert value.startswith("data:image/jpeg;base64,")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def story(promoted=True, reason="better on held-out tracklets: retrieval 0.500 to 0.750", **changed):
    verdict = Verdict(promoted, reason, BEFORE, AFTER, CHANGES)
    rounds = [{"step": 0, "people": 20.0}, {"step": 40, "people": 30.0}]
    fields = {
        "name": "small-20260105-020000",
        "written_at": "2026-01-05 03:00",
        "parent": "small",
        "model": "small-20260105-020000-75",
        "verdict": verdict,
        "rounds": rounds,
        "settings": {"seed": 3, "method": "<site>", "cameras": ["hall", "door"]},
        "pictures": Pictures(),
    }
    return NightStory(**{**fields, **changed})


def text_of(page):
    return " ".join(" ".join(Checked(page).words).split())


def test_the_decision_comes_first_in_plain_words():
    text = text_of(night_page(story()))
    assert (
        "Promoted: small-20260105-020000-75 serves now Better on held-out tracklets: people found again 0.500" in text
    )
    text = text_of(night_page(story(promoted=False, reason="collapsed: effective rank 30.0 to 1.0")))
    assert "Not promoted: small goes on serving Collapsed: effective rank 30.0 to 1.0." in text


def test_the_figures_have_their_intervals_and_what_is_not_known_has_no_bar():
    page = night_page(story())
    text = text_of(page)
    assert "0.500 0.750 +0.250 (+0.200 to +0.300)" in text
    assert "0.800 unknown" in text
    assert "Likeness of two crops" not in text  # was not measured
    rows = re.findall(r"<tr><td>.*?</tr>", page.split("<h2>Rounds")[0], re.DOTALL)
    assert ["<svg" in row for row in rows] == [True, True, False, True, True]
    old, new = (float(each) for each in re.findall(r'rect class="(?:old|new)".*?width="([\d.]+)"', rows[0]))
    assert new / old == pytest.approx(1.5, abs=0.01)
    ends = [float(each) for each in re.findall(r'd="M([\d.]+) \d+H([\d.]+)', rows[0])[0]]
    assert [(each - 2) / old for each in ends] == pytest.approx([0.7 / 0.5, 0.8 / 0.5], abs=0.01)


def test_text_is_escaped_and_the_foot_says_what_the_pictures_are():
    page = night_page(story())
    assert "<site>" not in page
    assert "hall, door" in page
    assert "personal data" in text_of(page)
    assert "retention class reports" in text_of(page)
    assert "prefers-color-scheme: dark" in page


def test_a_story_without_rounds_and_pictures_says_so():
    text = text_of(night_page(story(rounds=[])))
    for said in ("None were noted.", "No two tracklets were taken for one person.", "There were none to compare."):
        assert said in text


@pytest.fixture(scope="module")
def site():
    """Tracklets of people, and embeddings that tell them apart: those of their colours, and noise."""
    material, owner = site_material(people=10, visits=8, crops=4)
    rng = np.random.default_rng(0)
    clothes, days = rng.normal(size=(10, 16)), rng.normal(0, 0.3, (80, 16))
    looks = (clothes[owner] + days)[material.tracklets] + rng.normal(0, 0.02, (320, 16))
    noise = rng.normal(size=looks.shape)
    good, bad = (np.asarray(each / np.linalg.norm(each, axis=1, keepdims=True), np.float32) for each in (looks, noise))
    return material, owner, good, bad


def who_is_on(view, material):
    """The crop that a picture shows."""
    shown = cv2.imdecode(np.frombuffer(view.jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
    return int(np.abs(material.crops.astype(int) - shown).mean(axis=(1, 2, 3)).argmin())


def test_people_are_strips_of_tracklets_in_order_of_time(site):
    material, owner, good, _ = site
    people = draw_pictures(material, good, good).people
    assert 5 <= len(people) <= 12
    assert [each.tracklets for each in people] == sorted((each.tracklets for each in people), reverse=True)
    for person in people:
        assert len(person.views) == person.tracklets >= 2
        assert [each.time for each in person.views] == sorted(each.time for each in person.views)
        assert len({int(owner[material.tracklets[who_is_on(view, material)]]) for view in person.views}) == 1


def test_searches_gained_and_lost_stand_beside_each_other(site):
    material, _, good, bad = site
    searches = draw_pictures(material, bad, good).searches
    assert len(searches) == 7  # three that gained, none that lost, four at random
    for search in searches:
        query = material.tracklets[who_is_on(search.query, material)]
        for answer in (search.before, search.after):
            assert len(answer.views) == 5
            own = [
                place
                for place, view in enumerate(answer.views)
                if material.tracklets[who_is_on(view, material)] == query
            ]
            assert own == ([] if answer.own is None else [answer.own])
            assert answer.own is None or answer.rank == answer.own + 1
            assert answer.own is not None or answer.rank > 5
    assert all(search.after.rank < search.before.rank for search in searches[:3])
    swapped = draw_pictures(material, good, bad).searches
    assert all(search.after.rank > search.before.rank for search in swapped[:3])
    early = (material.tracklets < 40)[:, None]
    both = draw_pictures(material, np.where(early, good, bad), np.where(early, bad, good)).searches
    assert [search.after.rank < search.before.rank for search in both[:6]] == [True] * 3 + [False] * 3
    assert all(search.after.rank > search.before.rank for search in both[3:6])
    unchanged = draw_pictures(material, good, good).searches
    assert len(unchanged) == 4


def test_all_pictures_are_in_the_page(site):
    material, _, good, bad = site
    pictures = draw_pictures(material, bad, good)
    page = night_page(story(pictures=pictures))
    shown = [base64.b64decode(each) for each in re.findall(r"base64,([^\"]+)", page)]
    expected = [view.jpeg for person in pictures.people for view in person.views]
    for search in pictures.searches:
        expected += [each.jpeg for each in (search.query, *search.before.views, *search.after.views)]
    assert shown == expected
    own = [attrs for tag, attrs in Checked(page).tags if tag == "figure" and attrs.get("class") == "own"]
    assert len(own) == sum(
        each.own is not None for search in pictures.searches for each in (search.before, search.after)
    )


def test_an_encrypted_site_has_a_page_without_pictures():
    page = night_page(story(pictures=None))
    assert "base64" not in page
    assert "shows no pictures" in page
    assert "personal data" not in page


def test_rounds_are_read_once_each_without_torn_lines(tmp_path):
    lines = ['{"step": 0, "people": 3}', '{"step": 40, "peo{"step": 40, "people": 5}', '{"step": 40, "people": 6}']
    (tmp_path / "rounds.ndjson").write_text("\n".join([*lines, '{"step": 0, "people": 4}', '{"st']))
    assert read_rounds(tmp_path) == [{"step": 0, "people": 4}, {"step": 40, "people": 6}]
    assert read_rounds(tmp_path / "nothing") == []
