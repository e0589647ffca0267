"""Looking out for those on the watch lists: who is told, when, how often; and a run that does."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from reid_pipeline.pipeline.calibration import Calibration
from reid_pipeline.pipeline.lookout import REFRESH_S, Eyes, Lookout
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate, TrackletView
from reid_pipeline.storage.calibrations import CalibrationRecord
from reid_pipeline.storage.records import EventType, NewAlert
from reid_pipeline.storage.watch_lists import ActiveEntry

# A similarity of 0.5 is as probable as not, of 0.72 means 0.9, of 0.8 means 0.95.
USUAL = CalibrationRecord(None, False, -5.0, 10.0, 0.1, 100, 15, 1)
EYES = Eyes("m1", Calibration(USUAL))


def look(similarity, dim=4):
    """A unit vector that is so much alike to the first axis."""
    return np.array([similarity, np.sqrt(1 - similarity**2), *[0] * (dim - 2)], np.float32)


def by_identity(number=1, identity=5, rate=0.1):
    return ActiveEntry(number, rate, identity, {})


def by_example(number=1, rate=0.1, model="m1", examples=(1.0,)):
    return ActiveEntry(number, rate, None, {model: np.stack([look(each) for each in examples])})


def frame(time_us=0, started=(), views=(), ended=(), camera="hall"):
    seen = tuple(TrackletView(number, vector, 1.0) for number, vector in views)
    return TrackletUpdate(camera, time_us, time_us, tuple((n, time_us) for n in started), started, seen, ended)


def assign(number, identity, probability=0.99, camera="hall"):
    return Decision(EventType.ASSIGN, (camera, number), identity, probability, {})


def merge(identity, other, probability=0.95):
    return Decision(EventType.MERGE, None, identity, probability, {}, other=other)


@dataclass
class Watched:
    """Entries that a test changes, the clock, and the lookout that reads them."""

    entries: list = field(default_factory=list)
    now_s: float = 0.0
    reads: int = 0

    def __post_init__(self):
        self.lookout = Lookout(self.read, EYES, lambda encoder: encoder, 100, lambda: self.now_s)

    def read(self):
        self.reads += 1
        return tuple(self.entries)

    def heed(self, update, *decisions):
        return [(each.entry, each.camera, each.number) for each in self.lookout.heed(update, decisions)]


class TestByIdentity:
    def test_who_is_assigned_is_told_once_with_the_probability(self):
        watched = Watched([by_identity()])
        assert watched.lookout.heed(frame(7, (1, 2)), [assign(1, 5, 0.97), assign(2, 6)]) == [
            NewAlert(1, "hall", 1, 7, 0.97)
        ]
        assert watched.heed(frame(8), assign(1, 5)) == []
        assert watched.lookout.identity(("hall", 1)) == 5

    def test_an_assignment_that_is_not_sure_enough_is_not_told_until_one_is(self):
        watched = Watched([by_identity(rate=0.1)])
        assert watched.heed(frame(0, (1,)), assign(1, 5, 0.89)) == []
        assert watched.heed(frame(1), assign(1, 5, 0.9)) == [(1, "hall", 1)]

    def test_what_a_person_said_is_sure(self):
        assert Watched([by_identity(rate=0.001)]).heed(frame(0, (1,)), assign(1, 5, None)) == [(1, "hall", 1)]

    @pytest.mark.parametrize("merged", [merge(6, 5), merge(5, 2)], ids=["into the watched", "of the watched"])
    def test_a_merge_tells_of_those_who_became_the_watched(self, merged):
        watched = Watched([by_identity()])
        other = merged.other if merged.other != 5 else merged.identity
        told = watched.heed(frame(0, (1, 2, 3)), assign(1, other), assign(2, 8), assign(3, 5))
        assert told == [(1, "hall", 3)]
        watched.heed(frame(1, ended=(1,)))
        assert watched.lookout.heed(frame(9), [merged]) == [NewAlert(1, "hall", 1, 9, 0.95)]
        assert watched.heed(frame(10, (4,)), assign(4, merged.other)) == [(1, "hall", 4)]

    def test_only_the_newest_are_remembered_for_merges(self, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.lookout._MOST_RECENT", 2)
        watched = Watched([by_identity()])
        watched.heed(frame(0, (1, 2, 3)), *(assign(number, 6) for number in (1, 2, 3)))
        assert watched.heed(frame(1), merge(6, 5)) == [(1, "hall", 2), (1, "hall", 3)]


class TestByExample:
    @pytest.mark.parametrize(("similarity", "rate", "told"), [(0.71, 0.1, 0), (0.73, 0.1, 1), (0.73, 0.05, 0)])
    def test_the_threshold_is_a_rate(self, similarity, rate, told):
        watched = Watched([by_example(rate=rate)])
        alerts = watched.lookout.heed(frame(3, (1,), [(1, look(similarity))]), [])
        assert len(alerts) == told
        if told:
            odds = np.exp(-5 + 10 * similarity) * 99 / 100  # there is one tracklet more than the scale was learnt with
            assert alerts[0].probability == pytest.approx(odds / (1 + odds), abs=2e-3)
            assert (alerts[0].entry, alerts[0].number, alerts[0].time_us) == (1, 1, 3)

    def test_all_views_of_a_tracklet_count(self):
        watched = Watched([by_example()])
        aside = np.array([0.7, 0, np.sqrt(1 - 0.49), 0], np.float32)
        assert watched.heed(frame(0, (1,), [(1, look(0.7))])) == []
        assert watched.heed(frame(1, (), [(1, aside)])) == [(1, "hall", 1)]  # their mean is nearer than either
        assert watched.heed(frame(2, (), [(1, look(1.0))])) == []

    def test_the_mean_of_the_examples_is_what_is_looked_for(self):
        watched = Watched([by_example(examples=(1.0, 0.0))])
        assert watched.heed(frame(0, (1, 2), [(1, look(1.0)), (2, look(2**-0.5))])) == []
        watched = Watched([by_example(examples=(1.0, 0.6))])
        assert watched.heed(frame(0, (1,), [(1, look(0.9))])) == [(1, "hall", 1)]

    def test_among_more_tracklets_less_is_claimed(self):
        watched = Watched([by_example()])
        watched.heed(frame(0, tuple(range(10, 510))))
        assert watched.heed(frame(1, (1,), [(1, look(0.75))])) == []
        assert watched.heed(frame(2, (2,), [(2, look(0.95))])) == [(1, "hall", 2)]

    def test_vectors_of_two_models_are_not_compared(self, caplog):
        watched = Watched([by_example(model="m2")])
        assert watched.heed(frame(0, (1,), [(1, look(1.0))])) == []
        assert "watch entry 1 has no example for this encoder" in caplog.text
        watched.lookout.change_encoder(Eyes("m2", EYES.calibration))
        assert watched.heed(frame(1, (), [(1, look(1.0))])) == [(1, "hall", 1)]

    def test_looks_by_an_earlier_encoder_are_forgotten(self, caplog):
        watched = Watched([by_example()])
        watched.heed(frame(0, (1,), [(1, look(0.1))]))
        watched.lookout.change_encoder(Eyes("m2", EYES.calibration))
        assert "watch entry 1 has no example" in caplog.text
        watched.lookout.change_encoder(EYES)
        assert watched.heed(frame(1, (), [(1, look(0.8))])) == [(1, "hall", 1)]


class TestEntries:
    def test_they_are_read_again_now_and_then(self):
        watched = Watched()
        for time_us in range(5):
            watched.heed(frame(time_us))
        assert watched.reads == 1
        watched.now_s += REFRESH_S
        watched.heed(frame(5))
        assert watched.reads == 2

    def test_a_new_entry_is_met_by_who_is_in_a_picture_and_one_that_is_over_by_nobody(self):
        watched = Watched()
        watched.heed(frame(0, (1, 2, 3), [(2, look(0.9))]), assign(1, 5, 0.95), assign(3, 5))
        watched.heed(frame(1, ended=(3,)))
        watched.entries = [by_identity(1), by_example(2)]
        watched.now_s += REFRESH_S
        assert watched.heed(frame(2)) == [(1, "hall", 1), (2, "hall", 2)]
        watched.entries = []
        watched.now_s += REFRESH_S
        assert watched.heed(frame(3, (4,), [(4, look(1.0))]), assign(4, 5)) == []

    def test_each_entry_is_told_of(self):
        watched = Watched([by_identity(1), by_identity(2), by_example(3)])
        told = watched.heed(frame(0, (1,), [(1, look(1.0))]), assign(1, 5))
        assert told == [(1, "hall", 1), (2, "hall", 1), (3, "hall", 1)]
