"""What is kept of tracklets for a second look, and what is forgotten."""

import math
from dataclasses import replace

import numpy as np
import pytest

from reid_pipeline.pipeline import sightings
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import Decision, TrackletFeet, TrackletUpdate, TrackletView
from reid_pipeline.pipeline.sightings import Sightings
from reid_pipeline.storage.records import EventType, GalleryRow, OperatorLink, OperatorNews

SECOND_US = 1_000_000
EAST, NORTH = np.eye(2, dtype=np.float32)


@pytest.fixture
def kept():
    return Sightings(100 * SECOND_US)


def update(camera, second, seen=(), started=(), ended=(), views=()):
    looks = tuple(TrackletView(number, view, quality) for number, view, quality in views)
    starts = tuple((number, second) for number in started)
    return TrackletUpdate(camera, second, second * SECOND_US, starts, tuple(seen), looks, tuple(ended))


def assign(number, identity, camera="hall"):
    return Decision(EventType.ASSIGN, (camera, number), identity, 0.9, {})


def pass_by(kept, number, second, identity, camera="hall"):
    """Somebody is in sight for two seconds."""
    kept.note(update(camera, second, [number], started=[number], views=[(number, EAST, 1.0)]))
    kept.decide([assign(number, identity, camera)])
    kept.note(update(camera, second + 2, [number], ended=[number]))


def row(number, identity, first, last, view=EAST, *, quality=1.0, time=None):
    time_us = SECOND_US * (first if time is None else time)
    return GalleryRow(identity, "hall", number, time_us, quality, view, first * SECOND_US, last * SECOND_US)


def keys(kept):
    return [known.key for known in kept.known()]


def test_a_tracklet_from_start_to_end(kept):
    kept.note(update("hall", 1, [7], started=[7], views=[(7, EAST, 0.9)]))
    kept.decide([assign(7, 3)])
    kept.note(update("hall", 4, [7]))
    kept.note(update("hall", 9, views=[(7, NORTH, 0.3)], ended=[7]))  # out of sight since 4
    [known] = kept.known()
    assert (known.key, known.identity, known.views) == (("hall", 7), 3, 2)
    assert (known.first_us, known.last_us) == (SECOND_US, 4 * SECOND_US)
    np.testing.assert_allclose(known.look, np.array([0.9, 0.3]) / np.hypot(0.9, 0.3), rtol=1e-6)


def test_a_view_of_no_quality_still_shows_somebody(kept):
    kept.note(update("hall", 1, [1], started=[1], ended=[1], views=[(1, NORTH, 0.0)]))
    kept.decide([assign(1, 1)])
    np.testing.assert_allclose(kept.known()[0].look, NORTH)


def test_open_ones_and_those_without_view_or_identity_are_not_known(kept):
    kept.note(update("hall", 1, [1, 2, 3], started=[1, 2, 3], views=[(1, EAST, 1.0), (2, EAST, 1.0)]))
    kept.decide([assign(1, 1)])
    kept.note(update("hall", 2, [1, 2, 3], ended=[2, 3]))
    assert kept.known() == []
    kept.decide([assign(2, 2)])
    assert keys(kept) == [("hall", 2)]


def test_come_in_the_order_of_their_starts(kept):
    kept.note(update("hall", 1, [1], started=[1], views=[(1, EAST, 1.0)]))
    kept.decide([assign(1, 1)])
    pass_by(kept, 9, 2, 2, "lobby")
    pass_by(kept, 2, 2, 3, "door")
    kept.note(update("hall", 9, [1], ended=[1]))
    assert keys(kept) == [("hall", 1), ("door", 2), ("lobby", 9)]


def test_merges_count(kept):
    pass_by(kept, 1, 1, 5)
    kept.decide([Decision(EventType.MERGE, None, 5, 0.9, {}, other=2)])
    assert [known.identity for known in kept.known()] == [2]


def test_memory(kept):
    for number, second in ((1, 10), (2, 50), (3, 110)):
        pass_by(kept, number, second, number)
    assert keys(kept) == [("hall", 1), ("hall", 2), ("hall", 3)]
    pass_by(kept, 4, 113, 4)
    assert keys(kept) == [("hall", 2), ("hall", 3), ("hall", 4)]


def test_the_oldest_are_forgotten_where_there_are_too_many(kept, monkeypatch):
    monkeypatch.setattr(sightings, "MOST_SIGHTINGS", 3)
    for number in range(1, 6):
        pass_by(kept, number, number, number)
        kept.note(update("hall", number, [90 + number], started=[90 + number], ended=[90 + number]))  # shows nobody
    assert keys(kept) == [("hall", 3), ("hall", 4), ("hall", 5)]


class TestRestoring:
    def test_views_of_a_tracklet_are_put_together(self, kept):
        kept.restore([row(1, 7, 1, 5, EAST, quality=0.6), row(2, 8, 2, 3), row(1, 7, 1, 5, NORTH, quality=0.8, time=4)])
        first, second = kept.known()
        assert (first.key, first.identity, first.views) == (("hall", 1), 7, 2)
        assert (first.first_us, first.last_us) == (SECOND_US, 5 * SECOND_US)
        np.testing.assert_allclose(first.look, [0.6, 0.8], rtol=1e-6)
        assert (second.key, second.identity) == (("hall", 2), 8)

    def test_new_decisions_replace_what_was(self, kept):
        kept.restore([row(1, 7, 1, 5), row(2, 8, 2, 3)])
        kept.decide([assign(1, 8), Decision(EventType.MERGE, None, 8, 0.9, {}, other=4)])
        assert [known.identity for known in kept.known()] == [4, 4]

    def test_what_ended_first_is_forgotten_first(self, kept, monkeypatch):
        monkeypatch.setattr(sightings, "MOST_SIGHTINGS", 2)
        kept.restore([row(1, 1, 1, 90), row(2, 2, 2, 3), row(3, 3, 4, 6)])
        assert keys(kept) == [("hall", 1), ("hall", 3)]

    def test_memory(self, kept):
        kept.restore([row(1, 1, 1, 5), row(2, 2, 2, 50)])
        pass_by(kept, 3, 140, 3)
        assert keys(kept) == [("hall", 2), ("hall", 3)]


def test_a_book_forgets_a_tracklet():
    book = IdentityBook()
    book.apply([assign(1, 1), assign(2, 1)])
    book.forget(("hall", 1))
    book.forget(("hall", 9))
    assert [book.identity(("hall", number)) for number in (1, 2)] == [None, 1]


def test_walks_are_kept_as_often_as_they_are_looked_at(kept, monkeypatch):
    monkeypatch.setattr(sightings, "_LONGEST_WALK", 4)
    kept.note(update("hall", 1, [7], started=[7], views=[(7, EAST, 0.9)]))
    kept.decide([assign(7, 3)])
    times_us = SECOND_US + np.arange(0, 1_050_000, 50_000)
    feet = np.column_stack([np.arange(21.0), np.full(21, 5.0), np.full(21, 2.0)]).astype(np.float32)
    for part in (slice(0, 9), slice(9, 21)):  # frame by frame or at once is the same
        kept.note(replace(update("hall", 2, [7]), feet=(TrackletFeet(7, times_us[part], feet[part]),)))
    kept.note(update("hall", 9, ended=[7]))
    [known] = kept.known()
    np.testing.assert_allclose(known.walk, [[1 + each / 20, each, 5, 2] for each in (8, 12, 16, 20)])


class TestOperators:
    def test_an_operators_merge_and_its_undoing(self):
        book = IdentityBook()
        book.apply([assign(1, 1), assign(2, 2), assign(3, 3)])
        done = book.correct({("hall", 1): 1, ("hall", 2): 1}, {2: 1, 1: 1})
        assert done == [Decision(EventType.MERGE, None, 2, None, {}, other=1)]
        book.apply([assign(4, 2)])  # decided before that was heard
        assert [book.identity(("hall", number)) for number in (1, 2, 3, 4)] == [1, 1, 3, 1]
        assert {each.tracklet for each in book.correct({("hall", 2): 2}, {2: 2, 1: 1})} == {("hall", 2), ("hall", 4)}
        assert [book.identity(("hall", number)) for number in (1, 2, 3, 4)] == [1, 2, 3, 2]
        assert book.correct({("hall", 2): 2}, {2: 2}) == []

    def test_an_operators_split(self):
        book = IdentityBook()
        book.apply([assign(1, 1), assign(2, 1)])
        assert book.correct({("hall", 1): 1, ("hall", 2): 9}, {1: 1, 9: 9}) == [assign_told(2, 9)]
        assert book.identity(("hall", 2)) == 9

    def test_who_was_spoken_of_is_settled_and_not_forgotten(self, kept, monkeypatch):
        monkeypatch.setattr(sightings, "MOST_SIGHTINGS", 2)
        keys = [("hall", number) for number in range(1, 5)]
        pass_by(kept, 1, 1, 1)
        pass_by(kept, 2, 5, 2)
        links = (OperatorLink(keys[0], keys[1], same=False),)
        assert kept.heed(OperatorNews(3, links, {keys[0]: 1, keys[1]: 2, ("yard", 9): 7}, {})) == []
        assert [each.settled for each in kept.known()] == [True, True]
        pass_by(kept, 3, 10, 3)
        pass_by(kept, 4, 15, 4)
        assert keys_settled(kept) == {("hall", 3): False, ("hall", 4): False}
        assert kept.told_apart() == {(1, 2)}
        kept.decide([Decision(EventType.MERGE, None, 2, 0.9, {}, other=0)])
        assert kept.told_apart() == {(0, 1)}


def assign_told(number, identity):
    return Decision(EventType.ASSIGN, ("hall", number), identity, None, {})


def keys_settled(kept):
    return {each.key: each.settled for each in kept.known()}


def test_who_is_there_beside_what_is_known(kept):
    pass_by(kept, 1, 1, 1)
    kept.note(update("hall", 9, [2], started=[2], views=[(2, EAST, 1.0)]))
    kept.decide([assign(2, 2)])
    kept.note(update("yard", 9, [3], started=[3], views=[(3, EAST, 1.0)]))  # nobody knows who
    closed, still = kept.beside(())[1], kept.beside({("hall", 1)})
    assert (closed.identity, closed.first_us, closed.last_us) == (1, SECOND_US, 3 * SECOND_US)
    assert [(each.camera, each.first_us, each.last_us, each.identity) for each in still] == [
        ("hall", 9 * SECOND_US, math.inf, 2)
    ]
    assert not closed.meets(still[0])
    assert still[0].meets(replace(still[0], first_us=10**12))


def test_a_tracklet_counts_from_its_trail_to_its_last_box(kept):
    began = replace(update("hall", 5, [7], started=[7], views=[(7, EAST, 0.9)]), began_us={7: 3 * SECOND_US})
    kept.note(began)
    kept.decide([assign(7, 3)])
    kept.note(replace(update("hall", 12, ended=[7]), left={7: (8, 8 * SECOND_US)}))
    [known] = kept.known()
    assert (known.first_us, known.last_us) == (3 * SECOND_US, 8 * SECOND_US)
