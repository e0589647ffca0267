"""The gallery against a slow one that keeps everything in one list."""

from dataclasses import dataclass

import numpy as np
import pytest

from reid_pipeline.pipeline import gallery as gallery_module
from reid_pipeline.pipeline import gallery_shelf
from reid_pipeline.pipeline.byte_codes import ERROR
from reid_pipeline.pipeline.gallery import WINDOWS, Gallery
from reid_pipeline.pipeline.gallery_shelf import Prototypes

DIM, WINDOW_US = 64, 1000
MEMORY_US = WINDOWS * WINDOW_US
CAMERAS = ("hall", "lobby", "yard")
EXACT = 2e-3  # half precision, many times


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(gallery_shelf, "PAGE_ROWS", 7)


def unit(vector):
    return vector / np.linalg.norm(vector)


def views_of(*entries):
    """From identities, sums of views and qualities."""
    identities, totals, qualities = zip(*entries, strict=True)
    return Prototypes(np.array(identities), np.array(totals, np.float32), np.array(qualities, np.float32))


def look(person, noise=0.0, seed=0):
    vector = unit(np.random.default_rng(person).normal(size=DIM))
    return unit(vector + noise * np.random.default_rng((person, seed)).normal(size=DIM) / 8).astype(np.float32)


@dataclass
class Entry:
    identity: int
    camera: str
    window: int
    total: np.ndarray
    quality: float


class SlowGallery:
    """The same by hand: one list in the order in which the prototypes came."""

    def __init__(self, most, views):
        self.entries, self.most, self.views, self.oldest = [], most, views, 0

    def put(self, camera, time_us, identity, total, quality):
        window = max([time_us // WINDOW_US, *(each.window for each in self.entries if each.camera == camera)])
        own = [each for each in self.entries if (each.identity, each.camera, each.window) == (identity, camera, window)]
        if own:
            nearest = max(own, key=lambda each: unit(each.total) @ total)
            unlike = unit(nearest.total) @ unit(total) < gallery_module._ALIKE
            good = quality >= gallery_module._GOOD * max(each.quality for each in own)
            if not (unlike and good and len(own) < self.views):
                nearest.total, nearest.quality = nearest.total + total, max(nearest.quality, quality)
                return
        self.entries.append(Entry(identity, camera, window, total.astype(np.float64), quality))

    def forget(self, time_us, keep):
        first = (time_us - MEMORY_US) // WINDOW_US
        self.drop([each for each in self.entries if each.window < first], time_us, keep)
        surplus = len(self.entries) - self.most
        if surplus > 0:
            by_age = sorted(self.entries, key=lambda each: (each.window, each.camera))  # stable
            self.drop(by_age[: surplus + self.most // 10], time_us, keep)

    def drop(self, gone, time_us, keep):
        left = {id(each) for each in self.entries} - {id(each) for each in gone}
        self.entries = [each for each in self.entries if id(each) in left]
        for each in sorted(gone, key=lambda each: (each.camera, each.window)):
            if (each.identity, each.camera) in keep:
                self.put(each.camera, time_us, each.identity, each.total, each.quality)

    def search(self, vector, spans):
        best = {}
        for each in self.entries:
            since, until = spans.get(each.camera, (1, 0))
            if since // WINDOW_US <= each.window <= until // WINDOW_US:
                similarity = float(unit(each.total) @ vector)
                best[each.identity] = max(best.get(each.identity, -2.0), similarity)
        return best


def assert_same(gallery, slow, vectors, count, spans, least):
    selection = gallery.select(spans)
    answers = {query: [] for query in range(len(vectors))}
    for query, identity, similarity in gallery.search(vectors, selection, count, least):
        answers[query].append((identity, similarity))
    for query, vector in enumerate(vectors):
        expected, found = slow.search(vector, spans), answers[query]
        similarities = [similarity for _, similarity in found]
        assert similarities == sorted(similarities, reverse=True)
        assert len({identity for identity, _ in found}) == len(found)
        alike = sorted((each for each in expected.values() if each >= least - EXACT), reverse=True)
        sure = sum(each >= least + EXACT for each in alike)
        assert min(sure, count) <= len(found) <= min(len(alike), count)
        tolerance = EXACT if len(alike) < count else ERROR  # those who come last may miss their nearest prototype
        np.testing.assert_allclose(similarities, alike[: len(found)], atol=tolerance)
        for identity, similarity in found:
            assert similarity == pytest.approx(expected[identity], abs=tolerance)
            assert similarity >= least


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes(views, seed):
    random = np.random.default_rng(seed)
    gallery, slow = Gallery(DIM, MEMORY_US, most=90, views=views), SlowGallery(90, views)
    time_us, sizes = 50 * MEMORY_US, []
    for _ in range(150):
        time_us += int(random.integers(600)) if random.random() < 0.97 else int(random.integers(2 * MEMORY_US))
        camera = str(random.choice(CAMERAS))
        people = random.permutation(25)[: random.integers(1, 6)].tolist()
        qualities = random.uniform(0.1, 1, len(people)).round(3).tolist()
        totals = [
            quality * look(person, 0.9, int(random.integers(9)))
            for person, quality in zip(people, qualities, strict=True)
        ]
        seen_us = time_us - 2 * WINDOW_US * (random.random() < 0.1)  # late now and then
        gallery.put(camera, seen_us, views_of(*zip(people, totals, qualities, strict=True)))
        for person, total, quality in zip(people, totals, qualities, strict=True):
            slow.put(camera, seen_us, person, total, quality)
        if random.random() < 0.3:
            keep = {(int(random.integers(25)), str(random.choice(CAMERAS))) for _ in range(6)}
            assert gallery.is_overfull(time_us) or len(gallery) <= 90
            gallery.forget(time_us, keep)
            slow.forget(time_us, keep)
            assert not gallery.is_overfull(time_us)
        if random.random() < 0.1:
            gone = int(random.integers(25))
            gallery.remove(gone)
            slow.entries = [each for each in slow.entries if each.identity != gone]
        assert len(gallery) == len(slow.entries)
        sizes.append(len(gallery))
        spans = {
            name: (time_us - int(random.integers(MEMORY_US)), time_us) for name in CAMERAS if random.random() < 0.7
        }
        vectors = np.stack([look(int(random.integers(30)), 0.5, 99) for _ in range(3)])
        assert_same(gallery, slow, vectors, int(random.integers(1, 12)), spans, float(random.uniform(-0.9, 0.5)))
    assert max(sizes) > 80


def test_all_of_one_person_do_not_hide_the_others():
    gallery = Gallery(DIM, MEMORY_US)
    for window in range(20):
        gallery.put("hall", window * WINDOW_US, views_of((1, look(1, 0.05, window), 1.0)))
    gallery.put("hall", 20 * WINDOW_US, views_of((2, look(2), 1.0), (3, look(3), 1.0)))
    selection = gallery.select({"hall": (0, MEMORY_US)})
    found = gallery.search(look(1)[None], selection, 3)
    assert sorted(found.identities.tolist()) == [1, 2, 3]
    assert len(selection) == 22


def test_a_poor_view_starts_no_prototype_beside_a_good_one():
    gallery = Gallery(DIM, MEMORY_US, views=2)
    for quality, expected in ((0.9, 1), (0.2, 1), (0.8, 2), (0.9, 2)):
        gallery.put("hall", 0, views_of((1, quality * look(round(100 * quality) + expected), quality)))
        assert len(gallery) == expected


def test_those_who_are_there_are_kept():
    gallery = Gallery(DIM, MEMORY_US)
    gallery.put("hall", 0, views_of((1, look(1), 1.0), (2, look(2), 1.0)))
    later = 3 * MEMORY_US
    gallery.forget(later, {(1, "hall"), (2, "lobby")})
    found = gallery.search(look(1)[None], gallery.select({"hall": (later, later)}), 5)
    assert found.identities.tolist() == [1]
    assert found.similarities.tolist() == pytest.approx([1], abs=EXACT)


def test_where_too_many_are_the_oldest_go():
    gallery = Gallery(DIM, MEMORY_US, most=20)
    for person in range(30):
        gallery.put(CAMERAS[person % 3], person * WINDOW_US // 5, views_of((person, look(person), 1.0)))
        gallery.forget(person * WINDOW_US // 5, ())
        assert len(gallery) <= 20
    found = gallery.search(look(0)[None], gallery.select(dict.fromkeys(CAMERAS, (0, MEMORY_US))), 30)
    left = set(found.identities.tolist())
    assert len(left) == len(gallery) >= 17
    assert min(person // 5 for person in left) >= max(person // 5 for person in set(range(30)) - left)  # whole windows


def test_nobody_is_known():
    gallery = Gallery(DIM, MEMORY_US)
    gallery.forget(MEMORY_US, ())
    assert not list(gallery.search(look(1)[None], gallery.select({"hall": (0, 1)}), 3))
    assert len(gallery) == 0


def test_a_renamed_identity_is_found_as_the_other_one():
    gallery = Gallery(DIM, MEMORY_US)
    for person in range(20):  # over several pages
        for camera in CAMERAS[:2]:
            gallery.put(camera, person * 100, views_of((person, look(person), 0.8)))
    gallery.rename(5, 3)
    gallery.rename(77, 3)
    everywhere = gallery.select(dict.fromkeys(CAMERAS, (0, MEMORY_US)))
    found = {
        query: identity for query, identity, _ in gallery.search(np.stack([look(p) for p in range(20)]), everywhere, 1)
    }
    assert found == {person: 3 if person == 5 else person for person in range(20)}
    gallery.put("hall", 1900, views_of((3, look(5), 0.8)))
    gallery.remove(3)
    assert len(gallery) == 36
