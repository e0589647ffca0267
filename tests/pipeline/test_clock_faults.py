"""Clocks that jump, swapped clocks, renamed cameras and empty databases: no crash, and nobody is taken for another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import TrackletFeet, TrackletUpdate, TrackletView
from reid_pipeline.pipeline.replay import updates_of
from reid_pipeline.pipeline.steady_time import SteadyTime
from reid_pipeline.pipeline.two_pass import TwoPassAssociator
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.records import GalleryRow
from tests.pipeline.crowd import DIM, SECOND_US, draw_crowd
from tests.pipeline.run_site import RunSite, people_of
from tests.scene import WALKS, Scene

HOUR_US, DAY_US = 3600 * SECOND_US, 86_400 * SECOND_US
JUMPS = {"a day forwards": DAY_US, "an hour back": -HOUR_US, "to 1970": -(2**60)}


@pytest.fixture(scope="module")
def crowd():
    """Many are in one camera at one time; each is told from the others with ease."""
    people = draw_crowd(people=12, sightings=6, noise=0.05, seed=5)
    return replace(people, starts_s=people.starts_s / 4, ends_s=people.starts_s / 4 + 8.0)


def new_associator(next_identity=1):
    first = PrototypeAssociator(Gallery(DIM, 2 * DAY_US), next_identity)
    return TwoPassAssociator(first, 2 * DAY_US, 0.002, topology=True)


def play(updates, associator=None):
    associator = new_associator() if associator is None else associator
    book = IdentityBook()
    for update in updates:
        book.apply(associator.update(update))
    book.apply(associator.close())
    return book


def shift(update, by_us):
    return replace(update, time_us=update.time_us + by_us)


def check(crowd, book, least_recall=0.0):
    """Nobody is taken for somebody else; so much of what belongs together is together."""
    given = np.array([book.identity(each.key) for each in crowd.record()])
    joined, upper = given[:, None] == given[None], np.triu(np.ones(crowd.same.shape, bool), 1)
    assert not (joined & ~crowd.same).any()
    assert not (joined & crowd.apart & upper).any()
    assert (joined & crowd.same & upper).sum() >= least_recall * (crowd.same & upper).sum()


def test_without_any_fault(crowd):
    check(crowd, play(updates_of(crowd.record())), 0.9)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("cameras", [("c0",), ("c0", "c1", "c2", "c3")])
def test_a_clock_jumps_in_the_middle_of_a_run(crowd, cameras, jump):
    updates = list(updates_of(crowd.record()))
    half = len(updates) // 2
    jumped = [shift(each, JUMPS[jump] if each.camera in cameras else 0) for each in updates[half:]]
    check(crowd, play([*updates[:half], *jumped]))


def test_one_clock_is_so_far_ahead_that_all_others_are_forgotten(crowd):
    updates = [shift(each, 30 * DAY_US if each.camera == "c0" else 0) for each in updates_of(crowd.record())]
    check(crowd, play(updates))


def test_a_clock_that_goes_to_and_fro(crowd):
    updates = list(updates_of(crowd.record()))
    jumped = [shift(each, -HOUR_US * (place // 20 % 2)) for place, each in enumerate(updates)]
    check(crowd, play(jumped))


@pytest.mark.parametrize("jump_us", [0, -HOUR_US])
def test_twins_side_by_side_stay_two_while_the_clock_jumps(crowd, jump_us):
    """Looks do not tell them apart, so only what is seen at one time does."""
    updates = list(updates_of(crowd.record()))
    look, end_us = crowd.looks[0], updates[-1].time_us

    def gate(frame, seen, ended=()):
        views = tuple(TrackletView(number, look, 0.8) for number in seen)
        started = ((frame, frame),) if frame in seen else ()
        time_us = end_us + frame * SECOND_US + (jump_us if frame > 1 else 0)
        return TrackletUpdate("gate", frame, time_us, started, tuple(seen), views, tuple(ended))

    twins = [gate(1, [1]), gate(2, [1, 2]), gate(3, [1, 2]), gate(4, [2], [1]), gate(5, [], [2])]
    book = play([*updates, *twins])
    assert book.identity(("gate", 1)) != book.identity(("gate", 2))
    assert book.identity(("gate", 1)) in {book.identity(each.key) for each in crowd.record()}


@pytest.mark.parametrize("by_us", [HOUR_US, DAY_US])
def test_two_cameras_with_swapped_clocks(crowd, by_us):
    """One is ahead of the others by as much as the other one is behind."""
    skew = {"c0": by_us, "c1": -by_us}
    updates = [shift(each, skew.get(each.camera, 0)) for each in updates_of(crowd.record())]
    check(crowd, play(updates))  # live: as they come
    check(crowd, play(sorted(updates, key=lambda each: each.time_us)))  # files: in the order of their times


def test_a_camera_that_is_renamed_between_two_runs(crowd):
    tracklets = crowd.record()
    half = len(tracklets) // 2
    book = play(updates_of(tracklets[:half]))
    rows = [
        GalleryRow(
            book.identity(each.key), *each.key, view.time_us, view.quality, view.embedding, each.first_us, each.last_us
        )
        for each in tracklets[:half]
        for view in each.views
    ]
    later = [
        replace(each, camera=each.camera.replace("c0", "lobby"), number=each.number + 500) for each in tracklets[half:]
    ]
    associator = new_associator(1000)
    associator.restore(rows)
    second = play(updates_of(later), associator)
    identities = [book.identity(each.key) for each in tracklets[:half]]
    for each, old in zip(tracklets[:half], identities, strict=True):
        identities[tracklets.index(each)] = second.identity(each.key) or second.survivor(old)
    identities += [second.identity(each.key) for each in later]
    people = defaultdict(set)
    for identity, person in zip(identities, crowd.people.tolist(), strict=True):
        people[identity].add(person)
    assert all(len(persons) == 1 for persons in people.values())
    assert any(identity < 1000 for identity in identities[half:])  # who was known is recognised


def test_an_associator_that_was_never_told_of_anybody():
    associator = new_associator()
    associator.restore([])
    assert associator.update(TrackletUpdate("hall", 1, 0, (), (), (), ())) == []
    assert associator.close() == []
    assert new_associator().close() == []


class TestSteadyTime:
    def test_what_rises_stays_as_it_is(self):
        steady = SteadyTime()
        for camera, time_us in (("a", 5), ("b", 3), ("a", 5), ("b", 9), ("a", 7)):
            update = TrackletUpdate(camera, 1, time_us, (), (), (), ())
            assert steady.steady(update) is update

    def test_a_clock_that_was_set_back_goes_on_until_it_is_right_again(self):
        steady = SteadyTime()
        given = [100, 110, 10, 20, 15, 90, 114, 230, 240]
        made = [steady.steady(TrackletUpdate("a", 1, each, (), (), (), ())).time_us for each in given]
        assert made == [100, 110, 110, 120, 120, 195, 219, 230, 240]
        assert steady.steady(TrackletUpdate("b", 1, 10, (), (), (), ())).time_us == 10

    def test_beginnings_and_ends_go_with_it(self):
        steady = SteadyTime()
        steady.steady(TrackletUpdate("a", 1, 100, (), (), (), ()))
        late = steady.steady(TrackletUpdate("a", 2, 40, (), (), (), (), began_us={7: 30}, left={5: (1, 20)}))
        assert (late.time_us, late.began_us, late.left) == (100, {7: 90}, {5: (1, 80)})

    def test_feet_go_with_it(self):
        steady = SteadyTime()
        steady.steady(TrackletUpdate("a", 1, 100, (), (), (), ()))
        feet = TrackletFeet(1, np.array([30, 40]), np.zeros((2, 3), np.float32))
        made = steady.steady(TrackletUpdate("a", 2, 40, (), (1,), (), (), (feet,)))
        assert made.feet[0].times_us.tolist() == [90, 100]


class TestWholeRuns:
    """On pictures, through the real `run`."""

    def starts(self, scene: Scene, **starts) -> dict:
        cameras = {name: {**each, "start": starts[name]} for name, each in scene.settings["cameras"].items()}
        return {**scene.settings, "cameras": cameras}

    def test_two_cameras_with_swapped_clocks(self, tmp_path, scene):
        settings = self.starts(scene, hall="2026-11-20T10:00:00Z", door="2026-11-20T08:00:00Z")
        site = RunSite(tmp_path, settings)
        assert site.run() == 0
        assert_nobody_is_another(scene, site)

    def test_a_clock_a_day_ahead_after_half_of_the_files(self, tmp_path, scene):
        site = RunSite(tmp_path, self.starts(scene, hall="2026-11-20T08:00:00Z", door="2026-11-20T08:00:00Z"))
        assert site.run("--max-frames", "40") == 0
        later = self.starts(scene, hall="2026-11-21T08:00:00Z", door="2026-11-20T07:00:00Z")
        assert RunSite(tmp_path, later).run() == 0
        assert_nobody_is_another(scene, site)

    def test_a_camera_that_is_renamed(self, tmp_path, scene):
        site = RunSite(tmp_path, scene.settings)
        assert site.run() == 0
        before = site.query("SELECT name, number, identity FROM tracklets t JOIN cameras c ON c.id = camera_id")
        cameras = {f"new {name}": each for name, each in scene.settings["cameras"].items()}
        cameras = {name.replace(" ", "-"): each for name, each in cameras.items()}
        renamed = RunSite(tmp_path, {**scene.settings, "cameras": cameras})
        assert renamed.run() == 0
        after = renamed.query("SELECT name, number, identity FROM tracklets t JOIN cameras c ON c.id = camera_id")
        assert [row for row in after if row[0] in WALKS] == before
        of = {(name.removeprefix("new-"), name in WALKS, number): identity for name, number, identity in after}
        assert len(of) == 10
        for name, number, identity in before:
            assert of[name, False, number] == identity  # recognised

    def test_a_database_without_anybody(self, tmp_path, scene):
        site = RunSite(tmp_path, scene.settings)
        open_database(site.data_dir).close()
        assert site.run("--max-frames", "2") == 0  # too few for a tracklet
        assert site.query("SELECT count(*) FROM identities") == [(0,)]
        assert site.run() == 0
        assert_nobody_is_another(scene, site)


def assert_nobody_is_another(scene: Scene, site: RunSite) -> None:
    identities = list(people_of(scene.mtmc_truth, site).values())
    assert len(identities) == 3
    assert len(set().union(*identities)) == sum(map(len, identities))
