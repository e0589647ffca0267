"""A run changes over to the encoder that is promoted meanwhile."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reid_pipeline.pipeline import encoder_watch
from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.camera_analysis import CameraAnalysis
from reid_pipeline.pipeline.datatypes import Detections, Frame
from reid_pipeline.pipeline.encoder_watch import Change, EncoderWatch
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.runner import Camera, Run, Signals
from reid_pipeline.pipeline.tracker import PersonTracker
from reid_pipeline.pipeline.tracker_settings import TrackerSettings
from reid_pipeline.pipeline.two_pass import TwoPassAssociator
from reid_pipeline.storage.records import EventType
from tests.pipeline.builders import MeanColourEncoder

STEP_US = 100_000
PICTURE = np.random.default_rng(0).integers(0, 60, (240, 320, 3)).astype(np.uint8)
PICTURE[:, :100, 0] += 190  # the first person is blue, the second red
PICTURE[:, 100:, 2] += 190


class InverseEncoder(MeanColourEncoder):
    """Another space: what is bright is dark."""

    model_hash = "inverse"

    def encode(self, crops):
        return super().encode([255 - crop for crop in crops])


class Serving:
    """What serves, changed by the test."""

    def __init__(self):
        self.now = MeanColourEncoder.model_hash

    def __call__(self):
        return self.now


@pytest.fixture
def looks_at_once(monkeypatch):
    monkeypatch.setattr(encoder_watch, "LOOK_EVERY_S", 0.0)


@pytest.fixture
def in_turn(monkeypatch):
    """What a thread would do is done at once."""

    class AtOnce(ThreadPoolExecutor):
        def submit(self, call, *arguments):
            future = super().submit(call, *arguments)
            future.exception()
            return future

    monkeypatch.setattr(encoder_watch, "ThreadPoolExecutor", AtOnce)


def watch_of(serving, prepare, settled):
    return EncoderWatch(serving, prepare, settled.append, MeanColourEncoder.model_hash)


@pytest.mark.usefixtures("looks_at_once", "in_turn")
class TestWatch:
    def test_nothing_changes_while_the_same_serves(self):
        watch = watch_of(Serving(), pytest.fail, [])
        assert [watch.take() for _ in range(3)] == [None] * 3
        watch.close()

    def test_a_change_is_given_once_and_what_came_in_between_is_embedded_after_it(self):
        serving, settled = Serving(), []
        change = Change(InverseEncoder(), None)
        watch = watch_of(serving, lambda: change, settled)
        serving.now = InverseEncoder.model_hash
        given = [watch.take() for _ in range(5)]
        assert [each for each in given if each is not None] == [change]
        watch.close()
        assert settled == [change.encoder]

    def test_an_encoder_that_cannot_be_used_is_tried_once_and_the_run_goes_on(self, caplog):
        serving, tries = Serving(), []

        def broken():
            tries.append(serving.now)
            raise OSError("the graph is gone")

        watch = watch_of(serving, broken, [])
        serving.now = "broken"
        with caplog.at_level(logging.WARNING):
            assert [watch.take() for _ in range(6)] == [None] * 6
        assert tries == ["broken"]
        assert "the graph is gone" in caplog.text
        serving.now = MeanColourEncoder.model_hash  # rolled back: what runs serves again
        assert watch.take() is None
        watch.close()


def test_it_looks_only_now_and_then():
    watch = EncoderWatch(lambda: pytest.fail("looked"), pytest.fail, pytest.fail, "a")
    assert watch.take() is None
    watch.close()


def associator(next_identity=1):
    return TwoPassAssociator(
        PrototypeAssociator(Gallery(3, 3_600_000_000), next_identity), 3_600_000_000, 0.002, topology=True
    )


class Site:
    """One camera in which somebody stands, run step by step."""

    def __init__(self):
        self.clock = StageClock()
        analysis = CameraAnalysis("hall", PersonTracker(TrackerSettings()), MeanColourEncoder(), self.clock)
        self.camera = Camera("hall", 1, None, live=True, analysis=analysis, total_frames=None)
        self.associator = associator()
        self.run = Run(1, [self.camera], None, self.associator, self.clock, Signals())
        self.index = 0

    def steps(self, count, people=1):
        """Views and decisions of so many frames."""
        views, decisions = [], []
        for _ in range(count):
            self.index += 1
            boxes = np.array([[20 + 100 * person, 20, 60 + 100 * person, 130] for person in range(people)], np.float32)
            frame = Frame("hall", self.index, self.index * STEP_US, PICTURE, 0.0)
            result = self.camera.analysis.process(frame, Detections(boxes, np.full(people, 0.9, np.float32)))
            made = self.run._associator.update(result.update)
            for number, _ in result.update.started:
                self.camera.identities[number] = None
            for decision in made:
                if decision.tracklet is not None:
                    self.camera.identities[decision.tracklet[1]] = decision.identity
            self.camera.last_frame, self.camera.last_us = frame.index, frame.time_us
            views += result.views
            decisions += made
        return views, decisions


def test_open_tracklets_stay_who_they_are_and_are_looked_at_anew():
    site = Site()
    before, decisions = site.steps(40)
    assert [each.kind for each in decisions] == [EventType.OPEN]
    assert {view.model_hash for view in before} == {"mean colour"}
    site.run._change_over(Change(InverseEncoder(), associator()))
    after, later = site.steps(10)
    assert later == []  # nobody is found anew
    assert after
    assert {view.model_hash for view in after} == {"inverse"}
    np.testing.assert_allclose(after[0].embedding, InverseEncoder().encode([np.asarray(_pixels(after[0]))])[0])


def _pixels(view):
    import cv2

    return cv2.imdecode(np.frombuffer(view.jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_numbers_that_were_given_are_not_given_again():
    site = Site()
    site.steps(40)
    site.run._change_over(Change(InverseEncoder(), associator()))
    _, decisions = site.steps(60, people=2)
    assert [(each.kind, each.identity) for each in decisions] == [(EventType.OPEN, 2)]


def test_looks_of_the_old_space_are_compared_with_nothing():
    site = Site()
    site.steps(40)
    site.run._change_over(Change(InverseEncoder(), associator()))
    assert all(track.look is None for track in site.camera.analysis._tracker._tracks)
