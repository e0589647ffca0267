"""Zones by hand-made walks, against a slow version that sees a whole walk at once, and in whole runs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.zones import MARGIN, SETTLE_US, Zone, ZoneEvent, ZoneWatch
from tests.pipeline.run_site import RunSite
from tests.scene import FPS, FRAMES, HEIGHT, HIGH, LOW, PERSON_HEIGHT, PERSON_WIDTH, WALKS, WIDTH, Scene

SIDE = 200  # of the picture, pixels
TALL = 40  # height of a box: the margin is 2 pixels
STEP_US = 100_000
SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])  # 50 to 150 pixels
IN, OUT, EDGE = (100, 100), (20, 20), (150 + MARGIN * TALL / 2, 100)


def door(dwell_us: int | None = None) -> Zone:
    return Zone("door", SQUARE, dwell_us)


def frame_of(index: int, side: int = SIDE) -> Frame:
    return Frame("hall", index, index * STEP_US, np.empty((side, side, 3), np.uint8), 0.0)


def box_of(foot: tuple[float, float]) -> tuple[float, float, float, float]:
    return foot[0] - 8, foot[1] - TALL, foot[0] + 8, foot[1]


def tracked(feet: dict[int, tuple[float, float]], ended: tuple[int, ...] = ()) -> TrackedBoxes:
    boxes = np.array([box_of(foot) for foot in feet.values()], np.float32).reshape(-1, 4)
    return TrackedBoxes(tuple(feet), boxes, np.ones(len(feet), np.float32), ended)


def walk(watch: ZoneWatch, *feet: tuple[float, float] | None) -> list[ZoneEvent]:
    """Moves tracklet 1, a frame each from 1; None: not seen."""
    events = []
    for index, foot in enumerate(feet, 1):
        events += watch.update(frame_of(index), tracked({} if foot is None else {1: foot}))
    return events


def brief(events: list[ZoneEvent]) -> list[tuple[str, int, float | None]]:
    return [(event.type, event.frame, event.dwell_s) for event in events]


class TestOneWalk:
    def test_in_and_out_again(self):
        events = walk(ZoneWatch([door()]), OUT, OUT, *[IN] * 20, *[OUT] * 10)
        assert events == [
            ZoneEvent("enter", "door", 1, 3, 300_000, box_of(IN)),
            ZoneEvent("leave", "door", 1, 22, 2_200_000, box_of(IN), 1.9),
        ]

    def test_it_is_told_once_it_is_certain(self):
        watch = ZoneWatch([door()])
        assert not walk(watch, *[IN] * 5)  # 0.4 seconds
        assert brief(watch.update(frame_of(6), tracked({1: IN}))) == [("enter", 1, None)]
        assert not [watch.update(frame_of(index), tracked({1: OUT})) for index in range(7, 12)][-1]
        assert brief(watch.update(frame_of(12), tracked({1: OUT}))) == [("leave", 6, 0.5)]

    def test_who_ends_inside_leaves_where_they_were_last_seen(self):
        watch = ZoneWatch([door()])
        walk(watch, *[IN] * 10)
        watch.update(frame_of(11), tracked({1: OUT}))
        assert brief(watch.update(frame_of(40), tracked({}, ended=(1,)))) == [("leave", 10, 0.9)]
        assert not watch.end([1])

    def test_the_end_of_a_run_ends_every_visit(self):
        watch = ZoneWatch([door()])
        walk(watch, *[IN] * 10)
        assert brief(watch.end([1])) == [("leave", 10, 0.9)]

    def test_a_short_look_inside_is_no_visit(self):
        watch = ZoneWatch([door()])
        assert not walk(watch, OUT, *[IN] * 5, *[OUT] * 10, *[IN] * 5)
        assert not watch.end([1])

    def test_a_short_loss_of_the_feet_is_no_leave(self):
        events = walk(ZoneWatch([door()]), *[IN] * 10, *[OUT] * 5, *[IN] * 10, *[OUT] * 10)
        assert brief(events) == [("enter", 1, None), ("leave", 25, 2.4)]

    def test_losses_of_the_feet_do_not_add_up(self):
        events = walk(ZoneWatch([door()]), *[IN] * 10, *([OUT] * 3 + [IN]) * 5)
        assert brief(events) == [("enter", 1, None)]

    def test_a_single_sighting_is_never_enough(self):
        slow = ZoneWatch([door()])
        for index in (1, 100):
            assert not slow.update(frame_of(index), tracked({1: OUT}))
        assert not slow.update(frame_of(200), tracked({1: IN}))
        assert brief(slow.update(frame_of(300), tracked({1: IN}))) == [("enter", 200, None)]
        assert not slow.update(frame_of(400), tracked({1: OUT}))
        assert brief(slow.update(frame_of(500), tracked({1: OUT}))) == [("leave", 300, 10.0)]

    def test_the_margin_is_for_those_inside_only(self):
        assert not walk(ZoneWatch([door()]), *[EDGE] * 30)
        assert brief(walk(ZoneWatch([door()]), *[IN] * 10, *[EDGE] * 10, *[OUT] * 10)) == [
            ("enter", 1, None),
            ("leave", 20, 1.9),
        ]

    @pytest.mark.parametrize("every", [1, 2, 5, 10])
    def test_trembling_on_the_outline_does_not_flicker(self, every):
        rng = np.random.default_rng(3)
        feet = 150 + np.clip(rng.normal(0, 0.01 * TALL, 3000), -0.04 * TALL, 0.04 * TALL)
        watch, events = ZoneWatch([door()]), []
        for index in range(0, 3000, every):
            events += watch.update(frame_of(index), tracked({1: (float(feet[index]), 100)}))
        assert [event.type for event in events] == ["enter"]

    def test_somebody_comes_back(self):
        events = walk(ZoneWatch([door()]), *([IN] * 10 + [OUT] * 10) * 2)
        assert brief(events) == [("enter", 1, None), ("leave", 10, 0.9), ("enter", 21, None), ("leave", 30, 0.9)]


class TestDwell:
    def test_it_is_told_once_a_visit(self):
        events = walk(ZoneWatch([door(1_000_000)]), *([IN] * 30 + [OUT] * 10) * 2)
        kinds = [("enter", 1, None), ("dwell", 11, 1.0), ("leave", 30, 2.9)]
        assert brief(events) == [*kinds, *((kind, frame + 40, dwell) for kind, frame, dwell in kinds)]

    def test_it_waits_for_a_sighting_inside(self):
        events = walk(ZoneWatch([door(1_000_000)]), *[IN] * 10, *[OUT] * 3, IN, *[OUT] * 10)
        assert brief(events) == [("enter", 1, None), ("dwell", 14, 1.3), ("leave", 14, 1.3)]
        events = walk(ZoneWatch([door(1_000_000)]), *[IN] * 10, *[OUT] * 10)
        assert brief(events) == [("enter", 1, None), ("leave", 10, 0.9)]

    def test_it_comes_after_the_enter(self):
        watch = ZoneWatch([door(100_000)])
        assert brief(walk(watch, *[IN] * 10)) == [("enter", 1, None), ("dwell", 6, 0.5)]


class TestPlaces:
    def test_zones_may_overlap_and_people_are_told_apart(self):
        watch = ZoneWatch([Zone("right", np.array([[0.5, 0], [1, 0], [1, 1], [0.5, 1]])), door()])
        events = []
        for index in range(1, 8):
            events += watch.update(frame_of(index), tracked({7: (120, 100), 3: (60, 100), 5: (180, 20)}))
        found = [(event.tracklet, event.zone) for event in events]
        assert found == [(7, "right"), (7, "door"), (3, "door"), (5, "right")]
        assert [(event.tracklet, event.zone) for event in watch.end((3, 7))] == [(3, "door"), *found[:2]]

    @pytest.mark.parametrize("foot", [(100, SIDE), (100, SIDE + 30), (0, SIDE), (-10, SIDE), (SIDE + 9, SIDE)])
    def test_feet_below_the_picture_stand_on_its_edge(self, foot):
        watch = ZoneWatch([Zone("floor", np.array([[0, 0.8], [1, 0.8], [1, 1], [0, 1]]))])
        assert brief(walk(watch, *[foot] * 10)) == [("enter", 1, None)]

    def test_a_concave_zone_has_a_hollow(self):
        points = np.array([[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]])
        assert not walk(ZoneWatch([Zone("v", points)]), *[(100, 150)] * 10)
        assert brief(walk(ZoneWatch([Zone("v", points)]), *[(20, 100)] * 10)) == [("enter", 1, None)]

    def test_zones_follow_the_size_of_the_picture(self):
        watch = ZoneWatch([door()])
        walk(watch, *[IN] * 10)
        events = [watch.update(frame_of(index, 4 * SIDE), tracked({1: IN})) for index in range(11, 30)]
        assert [brief(each) for each in events if each] == [[("leave", 10, 0.9)]]

    def test_without_zones_there_is_nothing(self):
        watch = ZoneWatch()
        assert not walk(watch, *[IN] * 30)
        assert not watch.end([1])


def depth_of(points: np.ndarray, foot: np.ndarray) -> float:
    """Distance to the nearest side, negative outside: a ray to the right crosses an odd number of sides from inside."""
    inside, nearest = False, np.inf
    for start, stop in pairwise([*points, points[0]]):
        along = np.clip((foot - start) @ (stop - start) / ((stop - start) @ (stop - start)), 0, 1)
        nearest = min(nearest, float(np.hypot(*(foot - start - along * (stop - start)))))
        if (start[1] > foot[1]) != (stop[1] > foot[1]):
            crossing = start[0] + (foot[1] - start[1]) / (stop[1] - start[1]) * (stop[0] - start[0])
            inside ^= bool(crossing > foot[0])
    return nearest if inside else -nearest


def visits_of(times: list[int], depths: list[float], dwell_us: int) -> list[tuple[str, int, float | None]]:
    """Events of one whole walk: type, position of the sighting, seconds."""
    found: list[tuple[str, int, float | None]] = []
    start = 0
    while start < len(times):
        stop = next((at for at in range(start, len(times)) if depths[at] < 0), len(times))
        if stop == start or times[stop - 1] - times[start] < SETTLE_US:
            start = stop + 1
            continue
        away = [depth < -MARGIN * TALL for depth in depths]
        told = len(times)
        for at in range(start, len(times)):
            first = at
            while away[first - 1] and first - 1 > start:
                first -= 1
            if away[at] and times[at] - times[first] >= SETTLE_US:
                told = at
                break
        inside = [at for at in range(start, told) if not away[at]]
        found.append(("enter", start, None))
        long = [at for at in inside if times[at] - times[start] >= max(dwell_us, SETTLE_US)]
        found += [("dwell", at, (times[at] - times[start]) / 1e6) for at in long[:1]]
        found.append(("leave", inside[-1], (times[inside[-1]] - times[start]) / 1e6))
        start = told + 1
    return found


@pytest.mark.parametrize("seed", range(20))
def test_any_walks_as_the_slow_version_sees_them(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(3, 8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    star = 0.5 + rng.uniform(0.1, 0.5, (corners, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
    dwell_us = int(rng.integers(1, 40)) * STEP_US
    zones = [Zone("star", star, dwell_us), Zone("square", SQUARE, dwell_us)]
    watch = ZoneWatch(zones)
    people = rng.uniform(70, 130, (3, 2))
    seen: dict[int, list[tuple[int, np.ndarray]]] = {1: [], 2: [], 3: []}
    events: list[ZoneEvent] = []
    for index in np.cumsum(rng.choice([1, 2, 12], 200, p=[0.7, 0.28, 0.02])).tolist():
        people = np.clip(people + rng.normal(0, rng.choice([1, 6], p=[0.7, 0.3]), (3, 2)), 0, SIDE)
        here = {number: person for number, person in enumerate(people, 1) if rng.random() < 0.9}
        for number, person in here.items():
            seen[number].append((index, person))
        events += watch.update(frame_of(index), tracked({number: tuple(foot) for number, foot in here.items()}))
    events += watch.end((1, 2, 3))

    expected = set()
    for number, sightings in seen.items():
        frames = [index for index, _ in sightings]
        for zone in zones:
            depths = [depth_of(zone.points * SIDE, foot) for _, foot in sightings]
            for kind, at, dwell_s in visits_of([index * STEP_US for index in frames], depths, dwell_us):
                expected.add((number, zone.name, kind, frames[at], dwell_s))
    found = [(event.tracklet, event.zone, event.type, event.frame, event.dwell_s) for event in events]
    assert len(found) == len(set(found)) > 0
    assert set(found) == expected
    for event in events:
        foot = dict(seen[event.tracklet])[event.frame]
        np.testing.assert_allclose(event.box, box_of(tuple(foot)), atol=1e-3)
        assert event.time_us == event.frame * STEP_US


# Whole runs: in the hall person 1 walks in the upper lane to the right, person 2 in the lower lane to the left.

_START = "2026-11-20T08:00:00Z"
_FEET_HIGH, _FEET_LOW = HIGH + PERSON_HEIGHT, LOW + PERSON_HEIGHT


def _strip(left: float, right: float, foot: int) -> list[list[float]]:
    """A zone in pixels of the scene, around the feet of one lane."""
    top, bottom = (foot - 8) / HEIGHT, min(foot + 8, HEIGHT) / HEIGHT
    left, right = left / WIDTH, right / WIDTH
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


KEYS = ("type", "zone", "tracklet")
ZONES = {
    "middle": {"points": _strip(120, 220, _FEET_HIGH), "dwell": "1s"},
    "stairs": {"points": _strip(260, WIDTH, _FEET_HIGH)},
    "exit": {"points": _strip(0, 80, _FEET_LOW)},
    "nowhere": {"points": [[0.9, 0], [1, 0], [1, 0.1]]},
}


def zoned(scene: Scene, **camera: object) -> dict:
    cameras = {name: {**entry, "start": _START} for name, entry in scene.settings["cameras"].items()}
    cameras["hall"] |= {"zones": ZONES, **camera}
    return {**scene.settings, "cameras": cameras}


def zone_events(site: RunSite) -> list[dict]:
    return [event for event in site.events() if event["zone"] is not None]


def frames_inside(person: int, left: float, right: float) -> list[int]:
    """In which frames of the truth the foot of somebody in the hall is between two columns."""
    (way,) = (each for each in WALKS["hall"] if each.person == person)
    lefts = {frame: way.left(frame) for frame in range(1, FRAMES + 1)}
    return [frame for frame, x in lefts.items() if x is not None and left <= x + PERSON_WIDTH / 2 <= right]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> RunSite:
    """The scene after one run with zones; tests only read it."""
    site = RunSite(tmp_path_factory.mktemp("zoned"), zoned(scene))
    assert site.run() == 0
    return site


def test_a_run_tells_who_was_in_which_zone(done):
    events = zone_events(done)
    found = [(event["camera"], event["zone"], event["tracklet"], event["type"]) for event in events]
    assert found == [
        *[("hall", "middle", 1, kind) for kind in ("enter", "dwell", "leave")],
        ("hall", "stairs", 1, "enter"),
        ("hall", "exit", 2, "enter"),
        ("hall", "stairs", 1, "leave"),
        ("hall", "exit", 2, "leave"),
    ]
    middle, leaving = frames_inside(1, 120, 220), frames_inside(2, 0, 80)
    enter, dwell, leave, up, came, gone, went = events
    assert enter["frame"] == pytest.approx(middle[0], abs=1)
    assert leave["frame"] == pytest.approx(middle[-1], abs=2)  # the margin is about a frame's way
    assert dwell["frame"] == enter["frame"] + FPS
    assert came["frame"] == pytest.approx(leaving[0], abs=1)
    assert gone["frame"] == WALKS["hall"][0].last  # told when the tracker gives the tracklet up
    assert went["frame"] == FRAMES  # still inside when the file ends
    assert (enter["dwell_s"], dwell["dwell_s"]) == (None, 1.0)
    for first, last in ((enter, leave), (up, gone), (came, went)):
        assert last["dwell_s"] == (last["frame"] - first["frame"]) / FPS


def test_their_sightings_are_those_of_the_tracks(done):
    tracks = done.tracks("hall")
    identities = dict(done.query("SELECT number, identity FROM tracklets WHERE camera_id = 1"))
    start_us = done.query("SELECT start_us FROM sources")[0][0]
    for event in zone_events(done):
        here = (tracks.keys.ids == event["tracklet"]) & (tracks.keys.frames == event["frame"])
        np.testing.assert_allclose(tracks.boxes[here], [event["box"]], atol=0.11)
        assert event["time"] == iso_time(start_us + (event["frame"] - 1) * 1_000_000 // FPS)
        assert event["identity"] == identities[event["tracklet"]]


@pytest.mark.parametrize("number", [1, 2])
def test_a_leave_stands_before_the_end_of_its_tracklet(done, number):
    lines = [(event["type"], event["tracklet"]) for event in done.events() if event["camera"] == "hall"]
    leaves = [at for at, line in enumerate(lines) if line == ("leave", number)]
    assert leaves[-1] < lines.index(("end", number))


def test_the_other_events_are_those_of_a_run_without_zones(done, tmp_path, scene):
    plain = RunSite(tmp_path, zoned(scene, zones={}))
    assert plain.run() == 0
    assert not zone_events(plain)
    rest = [event for event in done.events() if event["zone"] is None and event["type"] != "camera"]
    assert rest == [event for event in plain.events() if event["type"] != "camera"]
    assert plain.read("tracks/mtmc.txt") == done.read("tracks/mtmc.txt")


def test_the_same_files_give_the_same_events(done, tmp_path, scene):
    other = RunSite(tmp_path, zoned(scene))
    assert other.run() == 0
    assert zone_events(other) == zone_events(done)


def test_sampling_changes_no_visit(done, tmp_path, scene):
    sampled = RunSite(tmp_path, zoned(scene, detect={"fps": FPS / 2}))
    assert sampled.run() == 0
    pairs = list(zip(zone_events(sampled), zone_events(done), strict=True))
    for few, all_ in pairs:
        assert [few[key] for key in KEYS] == [all_[key] for key in KEYS]
        assert few["frame"] == pytest.approx(all_["frame"], abs=2)


def test_a_visit_ends_with_the_run_and_begins_anew_with_the_next(tmp_path, scene):
    site = RunSite(tmp_path, zoned(scene))
    assert site.run("--max-frames", "36") == 0
    assert [(each["type"], each["tracklet"]) for each in zone_events(site)] == [
        ("enter", 1),
        ("dwell", 1),
        ("leave", 1),
    ]
    assert zone_events(site)[-1]["frame"] == 36
    assert site.run() == 0
    later = zone_events(site)[3:]
    assert [(event["type"], event["zone"]) for event in later[:2]] == [("enter", "middle"), ("leave", "middle")]
    assert later[0]["tracklet"] > 2


def test_the_settings_of_zones_are_in_the_summary(done: RunSite):
    settings = done.summary()["settings"]
    assert settings["cameras.hall.zones.middle.dwell"] == "1s"
    assert settings["cameras.hall.zones.exit.points"] == ZONES["exit"]["points"]
