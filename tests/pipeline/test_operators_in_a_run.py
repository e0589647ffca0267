"""Operators correct identities while a run goes on: what they say is taken over, kept and gone on from."""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import pytest
from sqlalchemy import text

from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.protocols import TrackletUpdate
from reid_pipeline.pipeline.replay import updates_of
from reid_pipeline.pipeline.run_events import identity_events
from reid_pipeline.pipeline.two_pass import TwoPassAssociator
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import CorrectionRefused
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, GalleryRow, NewTracklet, RunStatus, SourceSpec
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer
from tests.pipeline.agreement import check_agreement
from tests.pipeline.crowd import DIM, SECOND_US, draw_crowd

DAY_US = 86_400 * SECOND_US


class RunningSite:
    """A run in full swing: each update's decisions are stored at once, and an operator may correct them."""

    def __init__(self, database, tracklets):
        self.database = database
        self.crops = CropStore(database.data_dir)
        self.repository = Repository(database, self.crops)
        self.anna = Corrections(database, Access("anna", Role.OPERATOR))
        self.run_id = self.repository.begin_run({}, {}, 0)
        names = sorted({each.camera for each in tracklets})
        self.sources = {
            name: self.repository.open_source(SourceSpec(name, name, "f", live=False, start_us=0)) for name in names
        }
        self.tracklets = tracklets
        self.asked = 0
        self.start()

    def start(self):
        """The associator of a new run."""
        self.gallery = Gallery(DIM, DAY_US)
        first = PrototypeAssociator(self.gallery, self.repository.next_identity())
        self.associator = TwoPassAssociator(first, DAY_US, 0.002, topology=True, operators=self.tell_news)
        self.associator.restore(self.rows())

    def rows(self):
        identities = self.identities()
        for each in self.tracklets:
            if each.key in identities:
                for view in each.views:
                    span = each.first_us, each.last_us
                    yield GalleryRow(identities[each.key], *each.key, view.time_us, view.quality, view.embedding, *span)

    def tell_news(self, after):
        self.asked += 1
        return self.repository.operator_news(after)

    def play(self, updates):
        """Goes on; yields after each update whether there was a pass in it."""
        for update in updates:
            asked = self.asked
            self.store(self.associator.update(update), update)
            yield self.asked > asked

    def close(self, update):
        self.store(self.associator.close(), replace(update, started=()))

    def store(self, decisions, update):
        new = tuple(
            NewTracklet(
                update.camera, number, self.sources[update.camera].source_id, self.run_id, frame, update.time_us
            )
            for number, frame in update.started
        )
        events = tuple(event for each in decisions for event in identity_events(each, update.time_us))
        if new or events:
            with Writer(self.database, self.crops) as writer:
                writer.put(Changes(new_tracklets=new, identity_events=events))

    def identities(self):
        """Who the tracklets are in the database."""
        query = "SELECT name, number, identity FROM tracklets t JOIN cameras c ON c.id = camera_id"
        with self.database.session_scope() as session:
            rows = session.execute(text(query))
            return {(name, number): identity for name, number, identity in rows if identity is not None}

    def check(self):
        """What the associator believes is what is stored, and that is what operators have said."""
        stored = self.identities()
        believed = check_agreement(self.associator, self.gallery)
        assert believed == {key: stored[key] for key in believed}
        for link in self.repository.operator_links():
            assert (stored[link.first] == stored[link.second]) == link.same


@pytest.fixture
def make_site(tmp_path, caplog):
    """Gives a running site; at the end no decision of the machine has run against an operator's word."""
    with open_database(tmp_path / "data") as database:
        yield lambda crowd: RunningSite(database, crowd.record())
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(people=10, sightings=6, noise=0.1, seed=3)


def meddle(site, chance):
    """An operator does something, sensible or not."""
    people = {}
    for key, identity in sorted(site.identities().items()):
        people.setdefault(identity, []).append(key)
    kind = chance.choice(["merge", "split", "undo", "undo machine"])
    try:
        if kind == "merge":
            site.anna.merge(*chance.sample(sorted(people), 2))
        elif kind == "split":
            identity = chance.choice(sorted(people))
            site.anna.split(identity, chance.sample(people[identity], chance.randint(1, len(people[identity]))))
        else:
            site.anna.undo(chance.choice(sorted(people)), machine=kind == "undo machine")
    except CorrectionRefused:
        return 0
    return 1


@pytest.mark.parametrize("seed", range(2))
def test_whatever_operators_do_the_run_goes_on_from_there(make_site, crowd, seed):
    site, chance = make_site(crowd), random.Random(seed)
    updates = list(updates_of(crowd.record()))
    done = passes = 0
    for passed in site.play(updates):
        if passed:
            passes += 1
            site.check()
        if chance.random() < 0.25 and len(set(site.identities().values())) > 2:
            done += meddle(site, chance)
    site.close(updates[-1])
    site.check()
    assert passes >= 4
    assert done >= 10


def test_whom_an_operator_merges_is_one_for_both_passes(make_site, crowd):
    site = make_site(crowd)
    updates = list(updates_of(crowd.record()))
    place = len(updates) // 2
    list(site.play(updates[:place]))
    looks = dict(zip((each.key for each in crowd.record()), crowd.people.tolist(), strict=True))
    one, other = 3, 4
    of = {
        person: {site.identities()[key] for key in site.identities() if looks[key] == person} for person in (one, other)
    }
    assert of[one].isdisjoint(of[other])
    done = site.anna.merge(min(of[one]), min(of[other]))
    taken = []
    waiting = True
    for passed, update in zip(site.play(updates[place:]), updates[place:], strict=True):
        waiting = waiting and not passed
        if not waiting:
            taken += [site.identities().get((update.camera, number)) for number, _ in update.started]
            site.check()
    assert not waiting
    assert done.identity not in taken
    site.close(updates[-1])
    site.check()
    assert {site.identities()[link.second] for link in site.repository.operator_links()} == {done.other}


def test_who_was_split_off_is_not_joined_again_and_is_recognised(make_site):
    crowd = draw_crowd(people=6, sightings=10, noise=0.05, seed=4)
    site = make_site(crowd)
    updates = list(updates_of(crowd.record()))
    passes = site.play(updates)
    assert sum(next(passes) for _ in range(len(updates) // 2)) >= 2
    identities = site.identities()
    most = max(set(identities.values()), key=list(identities.values()).count)
    members = sorted(key for key, identity in identities.items() if identity == most)
    made = site.anna.split(most, members[: len(members) // 2]).identity
    list(passes)
    site.close(updates[-1])
    site.check()
    after = site.identities()
    assert {after[key] for key in members[: len(members) // 2]}.isdisjoint(
        {after[key] for key in members[len(members) // 2 :]}
    )
    assert made in after.values()


def test_a_new_run_knows_what_operators_have_said(make_site, crowd):
    site = make_site(crowd)
    updates = list(updates_of(crowd.record()))
    place = len(updates) // 2
    list(site.play(updates[:place]))
    for last in {each.camera: each for each in updates[:place]}.values():
        ended = open_ones(updates[:place], last.camera)
        list(site.play([TrackletUpdate(last.camera, last.frame, last.time_us, (), (), (), ended)]))
    site.close(updates[place])
    site.repository.end_run(site.run_id, RunStatus.DONE, 0)
    people = sorted(set(site.identities().values()))
    site.anna.merge(people[0], people[1])
    site.anna.split(people[2], [min(key for key, identity in site.identities().items() if identity == people[2])])
    site.start()
    site.check()
    started = {(each.camera, number) for each in updates[:place] for number, _ in each.started}
    left = [each for each in crowd.record() if each.key not in started]
    list(site.play(updates_of(left)))
    site.close(updates[-1])
    site.check()


def open_ones(updates, camera):
    """Numbers of the tracklets that have not ended."""
    started = {number for each in updates if each.camera == camera for number, _ in each.started}
    return tuple(sorted(started - {number for each in updates if each.camera == camera for number in each.ended}))
