"""One contract for every associator, played as a site of cameras at one frame a second."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reid_pipeline.pipeline.association import PrototypeAssociator, Seen
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate, TrackletView
from reid_pipeline.pipeline.replay import updates_of
from reid_pipeline.pipeline.two_pass import TwoPassAssociator
from reid_pipeline.storage.records import EventType, GalleryRow
from tests.pipeline import crowd

DIM, SECOND_US, HOUR_US = 64, 1_000_000, 3_600_000_000
MEMORY_US = 2 * HOUR_US
ANNA, BEN, CARL, DORA = range(4)


def look(person, noise=0.0, seed=0):
    """The unit vector of a person, seen with noise."""
    vector = np.random.default_rng(person).normal(size=DIM)
    vector = vector / np.linalg.norm(vector) + noise * np.random.default_rng((person, seed)).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Site:
    """Plays updates to an associator and notes who got which identity, and how."""

    def __init__(self, associator, prototypes):
        self.associator = associator
        self.prototypes = prototypes
        self.known = set()
        self.open = set()
        self.shown = set()  # tracklets with a view
        self.frames = {}
        self.spans = {}
        self.book = IdentityBook()
        self.kinds = {}  # of the first pass
        self.decisions = []

    def frame(self, camera, frame, people, ended=(), start_us=0):
        """One frame: ``people`` maps tracklet numbers to a new view or None."""
        started = tuple((number, frame) for number in people if (camera, number) not in self.known)
        self.known |= {(camera, number) for number in people}
        views = tuple(TrackletView(number, view, 0.8) for number, view in people.items() if view is not None)
        update = TrackletUpdate(
            camera, frame, start_us + frame * SECOND_US, started, tuple(people), views, tuple(ended)
        )
        return self.update(update)

    def update(self, update):
        self.open |= {(update.camera, number) for number, _ in update.started}
        self.open -= {(update.camera, number) for number in update.ended}
        self.shown |= {(update.camera, view.number) for view in update.views}
        self.frames[update.camera] = update.frame, update.time_us
        for number in update.seen:
            self.spans.setdefault((update.camera, number), [update.frame] * 2)[1] = update.frame
        decisions = self.associator.update(update)
        for decision in decisions:
            if "pass" not in decision.evidence:
                assert decision.tracklet not in self.kinds, "decided twice"
                self.kinds[decision.tracklet] = decision.kind
        self.book.apply(decisions)
        self.decisions += decisions
        return decisions

    @property
    def identities(self):
        """Who each tracklet is so far that was decided."""
        return {tracklet: self.book.identity(tracklet) for tracklet in self.kinds}

    def stay(self, camera, frames, number, person):
        """A person alone in a camera from the first to the last of some frames, whose tracklet then ends."""
        for frame in frames:
            self.frame(camera, frame, {number: look(person, 0.03, frame)})
        self.frame(camera, frames[-1] + 1, {}, ended=[number])

    def close(self):
        """Ends all tracklets and the run; gives who each tracklet is in the end."""
        for camera, (frame, time_us) in self.frames.items():
            ended = tuple(number for name, number in sorted(self.open) if name == camera)
            self.update(TrackletUpdate(camera, frame, time_us, (), (), (), ended))
        decisions = self.associator.close()
        self.book.apply(decisions)
        self.decisions += decisions
        return self.identities


@pytest.fixture(params=[PrototypeAssociator, TwoPassAssociator], ids=lambda build: build.__name__)
def make_site(request):
    def make(next_identity=1, most=1000, reach=None):
        gallery = Gallery(DIM, MEMORY_US, most)
        first = PrototypeAssociator(gallery, next_identity, reach=reach)
        two_passes = request.param is TwoPassAssociator
        return Site(TwoPassAssociator(first, MEMORY_US, 0.002, topology=True) if two_passes else first, gallery)

    return make


def assert_apart(identities, spans):
    """Tracklets of one camera that have a frame in common never share an identity."""
    members = defaultdict(list)
    for tracklet, identity in identities.items():
        members[tracklet[0], identity].append(spans[tracklet])
    for times in members.values():
        assert all(before[1] < after[0] for before, after in pairwise(sorted(times)))


def test_the_same_look_in_two_cameras_is_one_identity(make_site):
    site = make_site()
    site.stay("hall", range(1, 9), 1, ANNA)
    site.stay("hall", range(11, 19), 2, BEN)
    site.stay("lobby", range(21, 29), 1, ANNA)
    assert site.identities == {("hall", 1): 1, ("hall", 2): 2, ("lobby", 1): 1}
    assert [decision.kind for decision in site.decisions] == [EventType.OPEN, EventType.OPEN, EventType.ASSIGN]


def test_a_probability_comes_with_a_match_only(make_site):
    site = make_site()
    site.stay("hall", range(1, 9), 1, ANNA)
    site.stay("lobby", range(11, 19), 1, ANNA)
    opened, matched = site.decisions
    assert opened.probability is None
    assert 0.5 < matched.probability <= 1


def test_the_same_person_comes_back_to_the_same_camera(make_site):
    site = make_site()
    site.stay("hall", range(1, 9), 1, ANNA)
    site.stay("hall", range(20, 29), 2, ANNA)
    assert site.identities == {("hall", 1): 1, ("hall", 2): 1}


@pytest.mark.parametrize("known_before", [False, True])
def test_two_people_at_the_same_time_are_never_one_even_with_identical_looks(make_site, known_before):
    site = make_site()
    if known_before:
        site.stay("lobby", range(1, 9), 1, ANNA)
    for frame in range(11, 30):
        site.frame("hall", frame, {1: look(ANNA), 2: look(ANNA)})
    site.frame("hall", 30, {}, ended=[1, 2])
    assert sorted([site.identities["hall", 1], site.identities["hall", 2]]) == [1, 2]


def test_a_frame_in_common_is_enough_to_be_two_people(make_site):
    site = make_site()
    for frame in range(1, 10):
        site.frame("hall", frame, {1: look(ANNA)})
    for frame in range(10, 40):
        site.frame("hall", frame, {1: look(ANNA), 2: look(ANNA)} if frame == 10 else {2: look(ANNA)})
    site.frame("hall", 40, {2: look(ANNA)}, ended=[1])
    site.frame("hall", 41, {2: look(ANNA)})
    site.frame("hall", 42, {}, ended=[2])
    assert site.identities["hall", 1] != site.identities["hall", 2]


def test_waits_until_a_lost_tracklet_has_ended(make_site):
    site = make_site()
    for frame in range(1, 10):
        site.frame("hall", frame, {1: look(ANNA)})
    for frame in range(12, 40):  # the tracker has lost 1 but not given it up
        assert site.frame("hall", frame, {2: look(ANNA)}) == []
    site.frame("hall", 40, {2: look(ANNA)}, ended=[1])
    site.frame("hall", 41, {2: look(ANNA)})
    assert site.identities == {("hall", 1): 1, ("hall", 2): 1}


def test_everybody_is_decided_when_the_tracklet_ends(make_site):
    site = make_site()
    site.frame("hall", 1, {1: look(ANNA), 2: None})
    decisions = site.frame("hall", 2, {}, ended=[1, 2])
    assert [(decision.kind, decision.tracklet) for decision in decisions] == [(EventType.OPEN, ("hall", 1))]


def test_a_view_that_comes_with_the_end_counts(make_site):
    site = make_site()
    site.stay("hall", range(1, 9), 1, ANNA)
    site.frame("lobby", 11, {1: None})
    last = TrackletUpdate("lobby", 12, 12 * SECOND_US, (), (), (TrackletView(1, look(ANNA), 0.8),), (1,))
    assert [decision.identity for decision in site.associator.update(last)] == [1]


@pytest.mark.parametrize(("hours", "expected"), [(1.5, 1), (2.5, 2)])
def test_memory(make_site, hours, expected):
    site = make_site()
    site.stay("hall", range(1, 9), 1, ANNA)
    later = 10 + int(hours * 3600)
    site.stay("lobby", range(later, later + 8), 1, ANNA)
    assert site.identities["lobby", 1] == expected


def test_the_oldest_are_forgotten_where_there_are_too_many(make_site):
    site = make_site(most=20)
    for person in range(30):
        site.stay("hall", range(20 * person + 1, 20 * person + 9), person + 1, person)
    assert len(site.prototypes) <= 21
    site.stay("lobby", range(700, 708), 1, 29)
    site.stay("lobby", range(720, 728), 2, 0)
    assert site.identities["lobby", 1] == site.identities["hall", 30]
    assert site.kinds["lobby", 2] is EventType.OPEN


@pytest.mark.parametrize(("camera", "hours", "expected"), [("lobby", 0.1, 2), ("lobby", 1, 1), ("yard", 1, 2)])
def test_nobody_is_taken_for_somebody_from_where_no_way_leads(make_site, camera, hours, expected):
    ways = {("hall", "lobby"): (HOUR_US // 2, 2 * HOUR_US), ("lobby", "yard"): (0, 2 * HOUR_US)}
    site = make_site(reach=lambda before, now: ways.get((before, now)))
    site.stay("hall", range(1, 9), 1, ANNA)
    later = 10 + int(hours * 3600)
    site.stay(camera, range(later, later + 8), 1, ANNA)
    assert site.identities[camera, 1] == expected
    assert site.decisions[-1].evidence["people"] == (expected == 1)


def test_people_in_sight_are_not_forgotten(make_site):
    site = make_site()
    site.frame("hall", 1, {1: look(ANNA)})
    for frame in range(10, 4 * 3600, 600):
        site.frame("hall", frame, {1: look(ANNA) if frame == 10 else None})
    site.stay("lobby", range(4 * 3600, 4 * 3600 + 8), 1, ANNA)
    assert site.identities["lobby", 1] == site.identities["hall", 1]


def test_restore_continues_identities_and_numbers(make_site):
    site = make_site(next_identity=8)
    stored = {7: ANNA, 3: BEN}
    site.associator.restore(
        GalleryRow(identity, "hall", number, 0, 0.8, look(person), 0, SECOND_US)
        for number, (identity, person) in enumerate(stored.items(), start=1)
    )
    site.stay("lobby", range(2, 10), 1, ANNA)
    site.stay("lobby", range(12, 20), 2, CARL)
    site.stay("hall", range(22, 30), 3, BEN)
    assert site.identities == {("lobby", 1): 7, ("lobby", 2): 8, ("hall", 3): 3}


def test_restored_identities_are_forgotten_in_the_order_in_which_they_were_seen(make_site):
    site = make_site(next_identity=8)
    site.associator.restore(
        GalleryRow(identity, "hall", identity, 0, 0.8, look(person), 0, int(hours * HOUR_US))
        for identity, person, hours in ((7, ANNA, 1.9), (3, BEN, 0.1))
    )
    later = int(2.6 * 3600)
    site.stay("lobby", range(later, later + 8), 1, ANNA)
    site.stay("lobby", range(later + 10, later + 18), 2, BEN)
    assert site.identities == {("lobby", 1): 7, ("lobby", 2): 8}


@pytest.mark.parametrize("together", [False, True])
def test_people_side_by_side_tell_how_much_alike_strangers_look(make_site, together):
    site = make_site()
    axes = np.eye(DIM, dtype=np.float32)
    anna, ben, carl = (np.float32(0.9**0.5) * axes[0] + np.float32(0.1**0.5) * axes[each] for each in (1, 2, 3))
    for frame in range(1, 40):
        site.frame("hall", frame, {1: anna, 2: ben} if together else {1: anna})
    site.frame("hall", 40, {}, ended=[1, 2] if together else [1])
    for frame in range(50, 60):
        site.frame("hall", frame, {3: carl})
    assert site.kinds["hall", 3] is (EventType.OPEN if together else EventType.ASSIGN)


def test_people_are_matched_one_to_one(make_site):
    site = make_site()
    for frame in range(1, 9):
        site.frame("hall", frame, {person + 1: look(person, 0.03, frame) for person in (ANNA, BEN, CARL)})
    site.frame("hall", 9, {}, ended=[1, 2, 3])
    for frame in range(11, 19):
        site.frame("lobby", frame, {4 - person: look(person, 0.03, frame) for person in (CARL, DORA, ANNA, BEN)})
    site.frame("lobby", 20, {}, ended=[4, 3, 2, 1])
    there = {person: site.identities["hall", person + 1] for person in (ANNA, BEN, CARL)}
    here = {person: site.identities["lobby", 4 - person] for person in (ANNA, BEN, CARL, DORA)}
    assert here == {**there, DORA: 4}


def wander(site, seed, frames=150):
    """Four looks wander through two cameras."""
    random = np.random.default_rng(seed)
    inside, next_number = {"hall": {}, "lobby": {}}, 1
    for frame in range(1, frames):
        for camera, people in inside.items():
            ended = [number for number in people if random.random() < 0.1]
            for number in ended:
                del people[number]
            if random.random() < 0.3:
                people[next_number] = int(random.integers(4))
                next_number += 1
            views = {
                number: look(person, 0.05, frame) if random.random() < 0.5 else None
                for number, person in people.items()
            }
            site.frame(camera, frame, views, ended)


@pytest.mark.parametrize("seed", range(8))
def test_in_any_crowd_the_rules_hold(make_site, seed):
    site = make_site()
    wander(site, seed)
    assert_apart(site.identities, site.spans)
    made = [each.identity for each in site.decisions if each.kind in {EventType.OPEN, EventType.SPLIT}]
    assert made == list(range(1, len(made) + 1))
    merged = {each.identity for each in site.decisions if each.kind is EventType.MERGE}
    assert set(site.identities.values()) == set(made) - merged


def test_the_same_updates_give_the_same_decisions(make_site):
    first, second = make_site(), make_site()
    for site in (first, second):
        wander(site, 5)
        site.close()
    assert first.decisions == second.decisions
    assert len(first.decisions) > 20


def pass_through(site, seed):
    """A crowd, close together so that many are in one camera at one time, walks through four cameras."""
    people = crowd.draw_crowd(people=12, sightings=8, noise=0.15, seed=seed)
    squeezed = replace(people, starts_s=people.starts_s / 4, ends_s=people.starts_s / 4 + crowd.STAY_S)
    assert np.triu(squeezed.apart & ~people.same, 1).sum() > 20
    for update in updates_of(squeezed.record()):
        site.update(update)


@pytest.mark.parametrize("play", [wander, pass_through])
@pytest.mark.parametrize("seed", range(3))
def test_the_rules_hold_after_the_end_too(make_site, play, seed):
    site = make_site(next_identity=5)
    play(site, seed)
    identities = site.close()
    assert set(identities) == site.shown
    assert_apart(identities, site.spans)
    made = [each.identity for each in site.decisions if each.kind in {EventType.OPEN, EventType.SPLIT}]
    assert made == list(range(5, 5 + len(made)))
    assert set(identities.values()) <= set(made)


def test_the_same_crowd_gives_the_same_decisions_at_the_end(make_site):
    first, second = make_site(), make_site()
    for site in (first, second):
        pass_through(site, 1)
        site.close()
    assert first.decisions == second.decisions


def test_the_end_of_a_run_without_anybody(make_site):
    assert make_site().close() == {}


class TestDecisionsOfOthers:
    """The first pass goes on from what was decided elsewhere."""

    @pytest.fixture
    def site(self):
        gallery = Gallery(DIM, MEMORY_US)
        return Site(PrototypeAssociator(gallery, 1), gallery)

    def test_who_was_merged_is_the_older_one(self, site):
        site.stay("hall", range(1, 9), 1, ANNA)
        for frame in range(20, 25):
            site.frame("hall", frame, {2: look(BEN)})
        assert site.identities == {("hall", 1): 1, ("hall", 2): 2}
        site.associator.apply([Decision(EventType.MERGE, None, 2, 0.9, {}, other=1)])
        site.frame("hall", 25, {2: look(BEN), 3: look(ANNA)})
        site.frame("hall", 26, {}, ended=[2, 3])
        assert site.identities["hall", 3] == 3  # 1 is there already, as the second tracklet
        site.stay("lobby", range(30, 38), 4, BEN)
        assert site.identities["lobby", 4] == 1

    @pytest.mark.parametrize("moved", [True, False])
    def test_whose_tracklet_was_here_is_not_taken_for_another_who_was_here_too(self, site, moved):
        site.stay("yard", range(1, 9), 9, ANNA)
        for frame in range(20, 25):
            site.frame("hall", frame, {2: look(BEN), 3: None})
        site.frame("hall", 25, {3: None}, ended=[2])
        if moved:
            site.associator.apply([Decision(EventType.ASSIGN, ("hall", 2), 1, 0.9, {})])
        site.frame("hall", 26, {3: look(ANNA)})
        site.frame("hall", 27, {}, ended=[3])
        assert site.identities["hall", 3] == (3 if moved else 1)

    def test_looks_are_learnt_anew(self, site):
        site.stay("hall", range(1, 9), 1, ANNA)
        site.associator.relearn(1, [Seen("hall", SECOND_US, look(BEN), 0.8)], forget=True)
        site.stay("lobby", range(20, 28), 2, BEN)
        site.stay("lobby", range(30, 38), 3, ANNA)
        assert site.identities == {("hall", 1): 1, ("lobby", 2): 1, ("lobby", 3): 2}

    def test_looks_are_added(self, site):
        site.stay("hall", range(1, 9), 1, ANNA)
        site.associator.relearn(1, [Seen("yard", SECOND_US, look(BEN), 0.8)], forget=False)
        site.stay("lobby", range(20, 28), 2, BEN)
        site.stay("yard", range(30, 38), 3, ANNA)
        assert set(site.identities.values()) == {1}


@pytest.mark.parametrize(("shortest_s", "expected"), [(-100, 1), (0, 1), (10, 1), (13, 2)])
def test_nobody_is_faster_than_people_can_be(shortest_s, expected):
    gallery = Gallery(DIM, MEMORY_US)
    associator = PrototypeAssociator(gallery, 1, reach=lambda before, now: (shortest_s * SECOND_US, 2**62))
    site = Site(associator, gallery)
    site.stay("hall", range(1, 9), 1, ANNA)  # seen last in frame 8
    site.stay("lobby", range(20, 28), 1, ANNA)
    assert site.identities["lobby", 1] == expected


@pytest.mark.parametrize(("shortest_s", "expected"), [(-100, 1), (0, 2)])
def test_nobody_is_in_two_places_at_once(shortest_s, expected):
    gallery = Gallery(DIM, MEMORY_US)
    associator = PrototypeAssociator(gallery, 1, reach=lambda before, now: (shortest_s * SECOND_US, 2**62))
    site = Site(associator, gallery)
    for frame in range(1, 30):
        site.frame("hall", frame, {1: look(ANNA)})
        if frame > 10:
            site.frame("lobby", frame, {1: look(ANNA) if frame > 11 else None})
    assert site.identities["lobby", 1] == expected
