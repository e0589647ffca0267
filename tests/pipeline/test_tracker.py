"""One contract for every tracker, played by hand-made walkers; then what is particular to `PersonTracker`."""

from dataclasses import dataclass

import numpy as np
import pytest

from reid_pipeline.pipeline.box_runs import BoxRuns
from reid_pipeline.pipeline.crossings import NOBODY
from reid_pipeline.pipeline.datatypes import Detections, Frame
from reid_pipeline.pipeline.tracker import PersonTracker, _Track
from reid_pipeline.pipeline.tracker_settings import TrackerSettings

MEMORY, CONFIRM = TrackerSettings().memory_frames, TrackerSettings().confirm_frames
RED, GREEN, BLUE = np.eye(3, 8, dtype=np.float32)  # looks of three people


@dataclass(frozen=True)
class Person:
    """A person 40 pixels wide whose left upper corner is at (x, y)."""

    x: float
    look: np.ndarray
    y: float = 100
    score: float = 0.9
    height: float = 100

    @property
    def box(self):
        return np.array([self.x, self.y, self.x + 40, self.y + self.height], np.float32)


@pytest.fixture(params=[PersonTracker])
def make_tracker(request):
    return lambda first_number=1: request.param(TrackerSettings(), first_number)


def play(tracker, frames, with_looks=True):
    """Feeds frames (lists of people) and gives, for each, the numbers by the position of the person in its list."""
    shown = []
    for people in frames:
        order = sorted(people, key=lambda person: -person.score)
        boxes = np.array([person.box for person in order], np.float32).reshape(-1, 4)
        scores = np.array([person.score for person in order], np.float32)
        looks = {tuple(person.box): person.look for person in people}
        tracked = tracker.update(
            Detections(boxes, scores),
            (lambda boxes, looks=looks: np.array([looks[tuple(box)] for box in boxes])) if with_looks else None,
        )
        number_of = dict(zip(map(tuple, tracked.boxes), tracked.numbers, strict=True))
        shown.append(([number_of.get(tuple(person.box)) for person in people], tracked.ended))
    return shown


def standing(count, *people):
    return [list(people)] * count


def last_numbers(shown):
    return shown[-1][0]


def test_numbers_count_from_the_first_one(make_tracker):
    shown = play(make_tracker(first_number=17), standing(10, Person(0, RED), Person(200, GREEN)))
    assert sorted(last_numbers(shown)) == [17, 18]


def test_two_trackers_share_nothing(make_tracker):
    one, other = make_tracker(), make_tracker()
    play(one, standing(10, Person(0, RED), Person(100, GREEN)))
    assert last_numbers(play(other, standing(10, Person(0, GREEN)))) == [1]


def test_a_walker_keeps_the_number(make_tracker):
    shown = play(make_tracker(), [[Person(5 * frame, RED)] for frame in range(100)])
    assert {number for (number,), _ in shown[CONFIRM:]} == {1}


@pytest.mark.parametrize("with_looks", [True, False])
def test_people_who_walk_past_each_other_keep_their_numbers(make_tracker, with_looks):
    frames = [[Person(5 * frame, RED), Person(300 - 5 * frame, GREEN, y=110)] for frame in range(60)]
    shown = play(make_tracker(), frames, with_looks)
    assert last_numbers(shown) == shown[10][0]


@pytest.mark.parametrize("speed", [3, 4, 6, 8])
def test_people_who_meet_and_turn_round_are_told_apart_by_looks(make_tracker, speed):
    away = [abs(step * speed) for step in range(-200 // speed, 200 // speed)]
    frames = [[Person(300 - x, RED), Person(304 + x, GREEN, y=104)] for x in away]
    shown = play(make_tracker(), frames)
    assert last_numbers(shown) == shown[5][0]
    shown = play(make_tracker(), frames, with_looks=False)
    assert last_numbers(shown) == shown[5][0][::-1]  # motion alone would rather let them pass


def test_weak_detections_never_start_a_tracklet(make_tracker):
    shown = play(make_tracker(), standing(20, Person(0, RED, score=0.3)))
    assert all(numbers == [None] for numbers, _ in shown)


def test_a_weak_detection_is_no_first_sighting(make_tracker):
    frames = [*standing(1, Person(0, RED, score=0.3)), *standing(CONFIRM, Person(0, RED))]
    assert [numbers for numbers, _ in play(make_tracker(), frames)] == [[None]] * CONFIRM + [[1]]


def test_weak_detections_continue_a_tracklet(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(5, Person(0, RED)))
    shown = play(tracker, standing(2 * MEMORY, Person(0, RED, score=0.2)))
    assert all(shown == ([1], ()) for shown in shown)


@pytest.mark.parametrize("hidden", [5, MEMORY - 5])
def test_a_hidden_person_comes_back_by_look(make_tracker, hidden):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED), Person(400, GREEN)))
    play(tracker, standing(hidden, Person(400, GREEN)))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(50, RED), Person(400, GREEN)))) == [1, 2]


@pytest.mark.parametrize("elsewhere", [Person(600, RED), Person(60, RED, y=50, height=200)])
def test_nobody_jumps_or_doubles_the_size(make_tracker, elsewhere):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED)))
    play(tracker, standing(5))
    assert last_numbers(play(tracker, standing(CONFIRM, elsewhere))) == [2]


def test_whoever_came_back_is_followed_from_there(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED)))
    play(tracker, standing(MEMORY - 5))
    play(tracker, standing(1, Person(120, RED)))
    assert last_numbers(play(tracker, standing(5, Person(120, RED)), with_looks=False)) == [1]


def test_a_look_is_not_taken_from_behind_somebody(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(5, Person(0, BLUE), Person(20, BLUE)))  # the one in front is what both boxes show
    play(tracker, [[Person(0, RED), Person(20 + 8 * step, BLUE)] for step in range(3, 12)])
    play(tracker, standing(10, Person(108, BLUE)))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(-50, RED), Person(108, BLUE)))) == [1, 2]


def test_learns_what_different_is_from_people_side_by_side(make_tracker):
    red, green, blue, other = (
        look / np.linalg.norm(look) for look in 2 * np.ones(8, np.float32) / 8**0.5 + np.eye(8, dtype=np.float32)[:4]
    )  # everybody looks much alike to this encoder
    tracker = make_tracker()
    stay = [Person(300, green), Person(500, blue)]
    play(tracker, standing(1000, Person(0, red), *stay))
    play(tracker, standing(10, *stay))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(50, red), *stay))) == [1, 2, 3]
    play(tracker, standing(10, *stay))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(0, other), *stay))) == [4, 2, 3]


def test_somebody_else_at_the_same_place_gets_a_new_number(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED), Person(400, GREEN)))
    play(tracker, standing(MEMORY - 5, Person(400, GREEN)))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(5, BLUE), Person(400, GREEN)))) == [3, 2]


def test_a_look_that_contradicts_breaks_the_tracklet(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED)))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(18, GREEN)))) == [2]


def test_a_look_that_fits_does_not(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(20, Person(0, RED)))
    assert last_numbers(play(tracker, standing(CONFIRM, Person(18, RED)))) == [1]


def test_an_ended_number_is_reported_once_and_never_comes_back(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(10, Person(0, RED)))
    shown = play(tracker, standing(MEMORY + 20))
    assert [ended for _, ended in shown if ended] == [(1,)]
    assert not any(ended for _, ended in shown[:MEMORY])
    shown = play(tracker, standing(10, Person(0, RED)))
    assert last_numbers(shown) == [2]
    assert not any(ended for _, ended in shown)


def test_close_ends_what_is_open(make_tracker):
    tracker = make_tracker()
    play(tracker, standing(10, Person(0, RED), Person(200, GREEN)))
    play(tracker, standing(2, Person(0, RED)))
    assert sorted(tracker.close()) == [1, 2]
    assert tracker.close() == ()
    assert last_numbers(play(tracker, standing(10, Person(0, RED)))) == [3]


def test_frames_without_people(make_tracker):
    tracked = [make_tracker().update(Detections.empty(), None) for _ in range(3)][-1]
    assert (tracked.numbers, tracked.ended) == ((), ())
    assert (tracked.boxes.shape, tracked.scores.shape) == ((0, 4), (0,))


def crowd(seed, count=200):
    """People in three looks at random places; strong and weak, often on top of each other."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        places = random.integers(0, 20, random.integers(0, 6)) * 15.0
        yield [
            Person(x, (RED, GREEN, BLUE)[random.integers(3)], y=100 + 7 * row, score=random.uniform(0.1, 1))
            for row, x in enumerate(places.tolist())
        ]


def walkers(seed, count=150):
    """People who cross again and again; whoever is near another is often hidden, or looks like both."""
    random = np.random.default_rng(seed)
    looks = np.eye(8, dtype=np.float32)[: random.integers(2, 6)]
    place, speed = random.uniform(0, 200, len(looks)), random.uniform(-8, 8, len(looks))
    for _ in range(count):
        place += speed
        speed = np.where((place < 0) | (place > 250), -speed, speed)
        people = []
        for row, look in enumerate(looks):
            near = [looks[other] for other in np.flatnonzero(abs(place - place[row]) < 30) if other != row]
            if not near or random.random() < 0.5:
                x = float(place[row])
                people.append(Person(x, mixed(look, *near), y=100 + 3 * row, score=random.uniform(0.2, 1)))
        yield people


@pytest.mark.parametrize("people", [crowd, walkers])
@pytest.mark.parametrize("seed", range(5))
def test_in_any_crowd_the_rules_hold(make_tracker, people, seed):
    tracker = make_tracker()
    frames = list(people(seed))
    shown = play(tracker, frames)
    finished, known = set(), set()
    for numbers, ended in shown:
        present = [number for number in numbers if number is not None]
        assert len(present) == len(set(present))
        assert not finished & {*present, *ended}
        known |= set(present)
        finished |= set(ended)
    assert known == set(range(1, len(known) + 1))
    assert finished | set(tracker.close()) == known
    assert play(make_tracker(), frames) == shown


def test_a_short_flicker_gets_no_number():
    tracker = PersonTracker(TrackerSettings(confirm_frames=3))
    frames = [*standing(2, Person(0, RED)), *standing(5), *standing(2, Person(0, RED))]
    assert {number for numbers, _ in play(tracker, frames) for number in numbers} == {None}
    assert tracker.close() == ()


def test_looks_are_asked_for_only_where_motion_does_not_decide():
    tracker, asked = PersonTracker(TrackerSettings(refresh_frames=20)), []

    def appearance(boxes):
        asked.append(len(boxes))
        return np.repeat(RED[None], len(boxes), axis=0)

    alone = Detections(Person(0, RED).box[None], np.array([0.9], np.float32))
    for _ in range(3 + 2 * 20):
        tracker.update(alone, appearance)
    assert asked == [1, 1, 1]  # when it is confirmed and whenever its look is old


def test_a_tracklet_that_was_passed_on_unnoticed_ends_at_the_second_look():
    tracker = PersonTracker(TrackerSettings(refresh_frames=20, doubt_frames=4))
    play(tracker, standing(30, Person(0, RED), Person(400, BLUE)))
    shown = play(tracker, standing(20 + 4 + 2, Person(0, GREEN), Person(400, BLUE)))
    assert [ended for _, ended in shown if ended] == [(1,)]
    assert last_numbers(shown) == [3, 2]
    assert last_numbers(play(tracker, standing(60, Person(0, GREEN), Person(400, BLUE)))) == [3, 2]


def test_one_look_that_is_somebody_elses_changes_nothing():
    tracker = PersonTracker(TrackerSettings(refresh_frames=20, doubt_frames=4))
    play(tracker, standing(13, Person(0, RED), Person(400, BLUE)))
    for _ in range(6):
        once = play(tracker, [*standing(21, Person(0, RED), Person(400, BLUE)), [Person(0, GREEN), Person(400, BLUE)]])
        assert last_numbers(once) == [1, 2]


def test_weak_detections_of_something_else_do_not_keep_a_tracklet():
    """As where somebody walks away from beside a chair."""
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(20, Person(0, RED), Person(400, BLUE)))
    shown = play(tracker, standing(2 * MEMORY, Person(2, GREEN, score=0.2), Person(400, BLUE)))
    assert {number for (number, _), _ in shown} == {None}
    assert [ended for _, ended in shown if ended] == [(1,)]


def mixed(*looks):
    return sum(looks) / np.linalg.norm(sum(looks))


def meeting(away, *, out=(True, True)):
    """Two people meet and turn round; while one covers much of the other, their looks cannot be told apart."""
    frames = []
    for step, x in enumerate(away):
        covers, parted = x < 12, step > len(away) // 2 and x > 40
        looks = [mixed(RED, GREEN)] * 2 if covers else [RED, GREEN]
        people = Person(300 - x, looks[0]), Person(304 + x, looks[1], y=104)
        frames.append([person for person, stays in zip(people, out, strict=True) if stays or not parted])
    return frames


@pytest.mark.parametrize("speed", [3, 4, 6])
def test_numbers_that_a_crossing_has_exchanged_are_given_back(speed):
    away = [abs(step * speed) for step in range(-200 // speed, 200 // speed)]
    frames = meeting(away)
    shown = play(PersonTracker(TrackerSettings()), frames)
    assert last_numbers(shown) == shown[8][0]
    blind = play(PersonTracker(TrackerSettings(doubt_frames=1000)), frames)
    assert last_numbers(blind) != shown[8][0]  # it is the look afterwards that puts them right


def test_who_comes_out_alone_has_the_own_number():
    frames = meeting([abs(step * 4) for step in range(-50, 50)], out=(False, True))
    shown = play(PersonTracker(TrackerSettings()), frames)
    assert last_numbers(shown) == [shown[8][0][1]]


def test_people_who_look_alike_keep_the_numbers_that_motion_gives_them():
    """Nothing is exchanged, and nobody is looked at for ever."""
    tracker, asked = PersonTracker(TrackerSettings()), []

    def appearance(boxes):
        asked.append(len(boxes))
        return np.repeat(RED[None], len(boxes), axis=0)

    for x in [180] * 30 + list(range(180, 120, -3)) + list(range(120, 180, 3)) + [180] * 150:
        people = [Person(100, RED), Person(x, RED)]
        tracked = tracker.update(
            Detections(np.stack([person.box for person in people]), np.array([0.9, 0.8], np.float32)), appearance
        )
        if len(asked) == 0 or x < 180:
            asked.clear()
    assert sorted(tracked.numbers) == [1, 2]
    settings = TrackerSettings()
    assert sum(asked) <= 2 * (settings.most_doubts + 1 + 150 // settings.refresh_frames)


@pytest.mark.parametrize("half_hidden", [2, 6])
def test_a_tracklet_that_begins_within_a_crossing_is_whom_it_looks_like(half_hidden):
    """Somebody comes out from behind another one, elsewhere than expected, and half hidden at first."""
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(30, Person(20, RED), Person(120, GREEN)))
    play(tracker, [[*([Person(20, RED)] if x >= 60 else []), Person(x, GREEN)] for x in range(114, 12, -6)])
    begun = play(tracker, standing(half_hidden, Person(-2, mixed(BLUE, GREEN)), Person(12, GREEN)))
    assert last_numbers(begun) == [3 if half_hidden > CONFIRM else None, 2]
    shown = play(tracker, [[Person(-2, RED), Person(x, GREEN)] for x in range(30, 300, 6)])
    assert last_numbers(shown) == [1, 2]
    given = {number for numbers, _ in begun + shown for number in numbers if number}
    ended = [number for _, ended in shown for number in ended]
    assert ended == sorted(given - {1, 2})  # nobody ends who was never there
    assert sorted(tracker.close()) == [1, 2]


def unclear(tracker, look, aside):
    """A look that fits a person badly, but not so badly that it is nobody's."""
    for similarity in np.linspace(1, 0, 1001):
        if tracker._odds.log_odds(float(similarity)) < (NOBODY + TrackerSettings().doubt_odds) / 2:
            return (similarity * look + np.sqrt(1 - similarity**2) * aside).astype(np.float32)
    raise AssertionError("no similarity is unclear")


def test_one_look_does_not_count_twice():
    """Whose rival is found to be itself is not asked again in that frame: one odd look breaks no tracklet."""
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(60, Person(0, RED), Person(60, GREEN)))
    play(tracker, standing(4, Person(0, RED), Person(16, GREEN)))
    odd = unclear(tracker, RED, BLUE)
    shown = play(
        tracker, [*standing(3, Person(0, odd), Person(60, GREEN)), *standing(9, Person(0, RED), Person(60, GREEN))]
    )
    assert last_numbers(shown) == [1, 2]
    assert not any(ended for _, ended in shown)


def test_who_has_crossed_keeps_the_look_from_before_until_both_are_seen_again():
    """The other one is hidden by a third for long: nothing is learnt and nothing broken before it can be asked too."""
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(30, Person(0, RED), Person(60, GREEN), Person(300, BLUE)))
    play(tracker, standing(3, Person(20, RED), Person(40, GREEN), Person(300, BLUE)))
    play(tracker, standing(2, Person(30, mixed(RED, GREEN)), Person(34, mixed(RED, GREEN)), Person(300, BLUE)))
    hidden = mixed(RED, BLUE)
    swapped = [Person(0, GREEN), Person(60, hidden)]
    play(tracker, [[*swapped, Person(max(x, 76), BLUE)] for x in range(300, -100, -8)])
    shown = play(tracker, standing(12, Person(0, GREEN), Person(60, RED), Person(300, BLUE)))
    assert last_numbers(shown)[:2] == [2, 1]


def see(tracker, people):
    """One frame; the boxes by number with what the tracker says, and the detections."""
    boxes = np.array([person.box for person in people], np.float32).reshape(-1, 4)
    looks = {tuple(person.box): person.look for person in people}
    detections = Detections(boxes, np.array([person.score for person in people], np.float32))
    return detections, tracker.update(detections, lambda boxes: np.array([looks[tuple(box)] for box in boxes]))


@pytest.mark.parametrize("people", [crowd, walkers])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_said_of_the_unsure_fits_to_the_rest(make_tracker, people, seed):
    tracker, known = make_tracker(), set()
    for each in people(seed):
        ordered = sorted(each, key=lambda person: -person.score)
        _, tracked = see(tracker, ordered)
        assert tracked.unsure <= known | set(tracked.numbers)
        for one, other in tracked.handed:
            assert one in known
            assert other in known | set(tracked.numbers)
            assert one != other
        known |= set(tracked.numbers)


@pytest.mark.parametrize("speed", [3, 4, 6])
def test_boxes_of_a_crossing_are_stored_for_whom_they_show(speed):
    """Motion lets the two pass; as soon as looks tell, what waited goes to whom it belongs."""
    tracker, runs, stored = PersonTracker(TrackerSettings()), BoxRuns(), {1: {}, 2: {}}
    away = [abs(step * speed) for step in range(-200 // speed, 200 // speed)]
    left_of, unsure, handed = {}, set(), set()  # by frame: where the one on the left is
    for index, people in enumerate(meeting(away)):
        left_of[index] = people[0].x
        detections, tracked = see(tracker, people)
        unsure |= tracked.unsure
        handed |= set(tracked.handed)
        frame = Frame("hall", index, index * 125_000, np.zeros((2, 2, 3), np.uint8), 0.0)
        given = [*runs.take(frame, detections, tracked), *(runs.end(tracker.close()) if index == len(away) - 1 else [])]
        for run in given:
            stored[run.number] |= dict(zip(run.frames.tolist(), run.boxes[:, 0].tolist(), strict=True))
    assert (unsure, handed) == ({1, 2}, {(1, 2), (2, 1)})
    apart = [index for index, x in enumerate(away) if x > 20]
    assert {number: sorted(boxes) for number, boxes in stored.items()} == {
        key: list(range(len(away))) for key in (1, 2)
    }
    assert [stored[1][index] for index in apart] == [left_of[index] for index in apart]


def test_who_is_weakly_seen_is_unsure_until_seen_well_again():
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(5, Person(0, RED)))
    assert see(tracker, [Person(0, RED, score=0.3)])[1].unsure == {1}
    assert see(tracker, [Person(0, RED)])[1].unsure == frozenset()


@pytest.mark.parametrize(("score", "believed"), [(0.2, False), (0.3, True), (0.9, True)])
def test_a_box_that_is_hardly_detected_is_where_it_is_expected(score, believed):
    tracker = PersonTracker(TrackerSettings())
    play(tracker, standing(10, Person(0, RED)), with_looks=False)
    half = Person(0, RED, score=score, height=60)
    boxes = see(tracker, [half])[1].boxes
    assert (boxes[0] == half.box).all() == believed
    assert believed or boxes[0, 3] - boxes[0, 1] > 80  # of 100, where 60 are in sight


def test_looks_that_are_unclear_one_by_one_are_weighed_together():
    """Whom it has crossed later begins with what speaks for itself so far: neither ahead nor behind."""
    tracker = PersonTracker(TrackerSettings())
    track, first, second = (_Track(look=look) for look in (RED, GREEN, BLUE))
    look = mixed(RED, RED, GREEN)
    own, rival, later = (tracker._odds_of(each, look) for each in (track, first, second))
    assert len({own, rival, later}) == 3
    track.rivals = [first]
    assert tracker._weigh(track, look) == (own, [rival])
    assert tracker._weigh(track, look) == (2 * own, [2 * rival])
    track.rivals = [first, second]
    together, others = tracker._weigh(track, look)
    assert [together, *others] == pytest.approx([3 * own, 3 * rival, 2 * own + later])


def test_a_change_of_light_does_not_end_a_tracklet():
    """Who was in plain sight all the time is not somebody else because of looks that differ somewhat."""
    tracker = PersonTracker(TrackerSettings(refresh_frames=5, doubt_frames=2))
    play(tracker, standing(60, Person(0, RED), Person(400, BLUE)))
    likenesses = np.linspace(0, 1, 200)
    odds = np.array([tracker._odds.log_odds(float(likeness)) for likeness in likenesses])
    likeness = likenesses[np.abs(odds - NOBODY * 0.6).argmin()]
    other = likeness * RED + np.sqrt(1 - likeness**2) * GREEN
    shown = play(tracker, standing(40, Person(0, other), Person(400, BLUE)))
    assert last_numbers(shown) == [1, 2]


def test_what_a_tracklet_had_that_was_passed_on_is_the_new_ones():
    tracker = PersonTracker(TrackerSettings(refresh_frames=20, doubt_frames=4))
    play(tracker, standing(30, Person(0, RED), Person(400, BLUE)))
    handed = [see(tracker, [Person(0, GREEN), Person(400, BLUE)])[1].handed for _ in range(26)]
    assert [each for each in handed if each] == [((1, 3),)]
