"""Who walks where in the virtual site, and when.

Everybody has an itinerary: stops in an area, then a door, some seconds out of sight, and another area or the same one.
They walk at their own speed around furniture and one another; some go in groups of two or three. The crowd moves in
steps of fixed length, so that the frame rate of the cameras does not change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.virtual_floorplan import Floorplan, Points, is_free, plan_floor
from reid_pipeline.pipeline.virtual_pose import Motion, stride_m
from reid_pipeline.pipeline.virtual_scene import Area

STEP_S: Final = 0.1
NOWHERE: Final = -1
PERSONAL_M: Final = 0.5
"""Two people's middles are pushed apart when they are nearer than this."""

_WARM_UP_S: Final = 6.0
_STUCK_S: Final = 4.0
_TURN_RAD_S: Final = 3.5


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """Where everybody is at each step; arrays are ``(steps, people)``.

    Attributes:
        areas: Index of the area, or `NOWHERE`.
        x: Metres.
        y: Metres.
        headings: Radians, without jumps.
        speeds: Metres per second.
        phases: Of the gait, radians.
        gazes: Turn of the head, radians.
    """

    areas: NDArray[np.int64]
    x: Points
    y: Points
    headings: Points
    speeds: Points
    phases: Points
    gazes: Points

    def area_of(self, person: int, time_s: float) -> int:
        """Where a person is at a time after the start."""
        before = min(int(time_s / STEP_S), len(self.areas) - 2)
        here, there = int(self.areas[before, person]), int(self.areas[before + 1, person])
        return here if here == there else NOWHERE

    def motion(self, person: int, time_s: float) -> Motion:
        """What a person does at a time after the start, between two steps of one area."""
        before = min(int(time_s / STEP_S), len(self.areas) - 2)
        share = time_s / STEP_S - before

        def between(values: Points) -> float:
            return float(values[before, person] * (1 - share) + values[before + 1, person] * share)

        return Motion(
            (between(self.x), between(self.y)),
            between(self.headings),
            between(self.speeds),
            between(self.phases),
            time_s,
            between(self.gazes),
        )


@dataclass(slots=True)
class _Walker:
    """One person while the crowd moves."""

    rng: np.random.Generator
    pace_ms: float
    height_m: float
    leader: int
    place: Points
    velocity: Points
    heading: float
    area: int = NOWHERE
    target: int = 0
    way: Points | None = None
    waits_until_s: float = 0.0
    next_area: int = 0
    moved_s: float = 0.0
    phase: float = 0.0
    visits: int = 0
    held_up_s: float = 0.0


def walk_people(
    areas: Sequence[Area], generators: Sequence[np.random.Generator], heights_m: Sequence[float], seconds: float
) -> Walks:
    """Moves a crowd.

    Args:
        areas: The places.
        generators: One a person.
        heights_m: Stature of each person.
        seconds: How long.
    """
    crowd = _Crowd([plan_floor(area) for area in areas], generators, heights_m)
    warm_up = round(_WARM_UP_S / STEP_S)
    states = []
    for step in range(warm_up + int(np.ceil(seconds / STEP_S)) + 2):
        crowd.move(step * STEP_S)
        if step >= warm_up:
            states.append(crowd.state())
    table = np.array(states, np.float64).reshape(len(states), len(heights_m), 7)
    walked = (table[..., column] for column in range(1, 7))
    return Walks(table[..., 0].astype(np.int64), *walked)


class _Crowd:
    """Everybody and the step that moves them."""

    def __init__(
        self, plans: list[Floorplan], generators: Sequence[np.random.Generator], heights_m: Sequence[float]
    ) -> None:
        self._plans = plans
        self._walkers: list[_Walker] = []
        for person, (rng, height) in enumerate(zip(generators, heights_m, strict=True)):
            leader = self._leader(person, rng)
            pace = (
                self._walkers[leader].pace_ms if leader != person else float(np.clip(rng.normal(1.25, 0.2), 0.8, 1.75))
            )
            self._walkers.append(
                _Walker(rng, pace, height, leader, np.zeros(2), np.zeros(2), float(rng.uniform(0, 2 * np.pi)))
            )
            self._enter(person)

    def _leader(self, person: int, rng: np.random.Generator) -> int:
        """Who this person goes with: themselves, or the one before, in groups of up to three."""
        if person == 0 or rng.random() > 0.3:
            return person
        leader = self._walkers[person - 1].leader
        return leader if person - leader < 3 else person

    def _enter(self, person: int) -> None:
        """Puts a person somewhere at the very start: in an area, or behind one of its doors for some time."""
        walker = self._walkers[person]
        leader = self._walkers[walker.leader]
        walker.next_area = self._emptiest(walker.rng) if leader is walker else leader.next_area
        if leader is not walker and leader.area == NOWHERE:
            walker.waits_until_s, walker.target = leader.waits_until_s + 0.6, leader.target
        elif walker.rng.random() < 0.2 and leader is walker:
            walker.waits_until_s = _WARM_UP_S * 0.5 + float(walker.rng.uniform(0, 9))
            walker.target = self._portal(walker, walker.next_area)
        else:
            walker.area = walker.next_area
            walker.place = self._free_place(walker, leader)
            walker.target = (
                leader.target if leader is not walker else int(walker.rng.integers(0, self._stops(walker.area)))
            )

    def _emptiest(self, rng: np.random.Generator) -> int:
        """One of the areas that the fewest people start in."""
        counts = np.bincount([walker.next_area for walker in self._walkers[:-1]], minlength=len(self._plans))
        return int(rng.choice(np.flatnonzero(counts == counts.min())))

    def _free_place(self, walker: _Walker, leader: _Walker) -> Points:
        area = self._plans[walker.area].area
        x1, y1, x2, y2 = area.room
        for attempt in range(300):
            place = walker.rng.uniform((x1 + 0.6, y1 + 0.8), (x2 - 0.6, y2 - 0.6))
            if leader is not walker and attempt < 100:
                place = leader.place + walker.rng.normal(0, 0.8, 2)
            free = bool(is_free(area, place[None], 0.4)[0])
            if free and all(
                np.hypot(*(other.place - place)) > 0.7 for other in self._walkers if other.area == walker.area
            ):
                return np.asarray(place, np.float64)
        return np.array(area.portals[0])

    def _stops(self, area: int) -> int:
        return len(self._plans[area].area.stops)

    def _portal(self, walker: _Walker, area: int) -> int:
        return self._stops(area) + int(walker.rng.integers(0, len(self._plans[area].area.portals)))

    def state(self) -> list[tuple[float, ...]]:
        """Area, x, y, heading, speed, phase and gaze of everybody."""
        rows: list[tuple[float, ...]] = []
        for each in self._walkers:
            speed = float(np.hypot(*each.velocity))
            gaze = 0.35 * np.sin(0.4 * each.moved_s + each.height_m * 50) * (0.5 if speed > 0.3 else 1.0)
            rows.append((each.area, each.place[0], each.place[1], each.heading, speed, each.phase, float(gaze)))
        return rows

    def move(self, now_s: float) -> None:
        """Moves everybody by one step."""
        for person, walker in enumerate(self._walkers):
            if walker.area == NOWHERE:
                self._appear(person, now_s)
            else:
                self._decide(person, now_s)
        for area in range(len(self._plans)):
            members = [walker for walker in self._walkers if walker.area == area]
            if members:
                _step(self._plans[area].area, members, [self._wish(walker, now_s) for walker in members])
        for walker in self._walkers:
            speed = float(np.hypot(*walker.velocity))
            walker.phase += 2 * np.pi * speed / stride_m(speed, walker.height_m) * STEP_S
            walker.moved_s += STEP_S

    def _appear(self, person: int, now_s: float) -> None:
        walker = self._walkers[person]
        if now_s < walker.waits_until_s:
            return
        plan = self._plans[walker.next_area]
        place = plan.targets[walker.target] + walker.rng.uniform(-0.25, 0.25, 2)
        near = any(
            other.area == walker.next_area and np.hypot(*(other.place - place)) < 0.75 for other in self._walkers
        )
        if near:
            return
        walker.area, walker.place, walker.velocity = walker.next_area, place, np.zeros(2)
        walker.visits, walker.way = 0, None
        leader = self._walkers[walker.leader]
        together = leader is not walker and leader.area == walker.area
        walker.target = leader.target if together else int(walker.rng.integers(0, self._stops(walker.area)))
        walker.waits_until_s = now_s

    def _decide(self, person: int, now_s: float) -> None:
        """Chooses where to go next, once the last stop is over."""
        walker, leader = self._walkers[person], self._walkers[self._walkers[person].leader]
        plan = self._plans[walker.area]
        if leader is not walker and leader.area == walker.area and walker.target != leader.target:
            walker.target, walker.way = leader.target, None
            walker.waits_until_s = now_s + float(walker.rng.uniform(0, 0.6))
        if now_s < walker.waits_until_s:
            return
        gap = float(np.hypot(*(plan.targets[walker.target] - walker.place)))
        stopping = walker.target < self._stops(walker.area)
        company = sum(
            other is not walker
            and other.area == walker.area
            and np.hypot(*(other.place - plan.targets[walker.target])) < 1.2
            for other in self._walkers
        )
        if gap < 0.5 + (0.25 * company if stopping else 0.3):
            self._arrive(person, now_s, stopping)
        elif now_s > 1 and walker.way is not None and self._is_stuck(walker):
            walker.target, walker.way = int(walker.rng.integers(0, len(plan.targets))), None

    def _is_stuck(self, walker: _Walker) -> bool:
        walker.held_up_s = 0.0 if np.hypot(*walker.velocity) > 0.25 else walker.held_up_s + STEP_S
        if walker.held_up_s < _STUCK_S:
            return False
        walker.held_up_s = 0.0
        return True

    def _arrive(self, person: int, now_s: float, stopping: bool) -> None:
        walker, leader = self._walkers[person], self._walkers[self._walkers[person].leader]
        rng = walker.rng
        if not stopping:
            self._leave(walker, leader, now_s)
            return
        if leader is not walker and leader.area == walker.area:
            walker.waits_until_s = now_s + 0.5  # until the leader goes on
            return
        walker.visits += 1
        walker.waits_until_s = now_s + (float(rng.uniform(1.5, 6)) if rng.random() < 0.45 else 0.0)
        leaves = rng.random() < (0.55 if walker.visits == 1 else 0.85)
        count = self._stops(walker.area)
        walker.target = self._portal(walker, walker.area) if leaves else int(rng.integers(0, count))
        walker.way = None

    def _leave(self, walker: _Walker, leader: _Walker, now_s: float) -> None:
        others = [area for area in range(len(self._plans)) if area != walker.area]
        if leader is not walker and leader.area == NOWHERE:
            walker.next_area, walker.target = leader.next_area, leader.target
            walker.waits_until_s = max(leader.waits_until_s, now_s) + 0.6
        else:
            moves = others and walker.rng.random() < 0.8
            walker.next_area = others[int(walker.rng.integers(0, len(others)))] if moves else walker.area
            walker.target = self._portal(walker, walker.next_area)
            walker.waits_until_s = now_s + float(walker.rng.uniform(3, 7))
        walker.area, walker.way, walker.velocity = NOWHERE, None, np.zeros(2)

    def _wish(self, walker: _Walker, now_s: float) -> Points:
        """The velocity that a person would have alone."""
        plan = self._plans[walker.area]
        if now_s < walker.waits_until_s:
            return np.zeros(2)
        if walker.way is None:
            walker.way = plan.way(walker.place, walker.target)
        while len(walker.way) > 1 and np.hypot(*(walker.way[0] - walker.place)) < 0.35:
            walker.way = walker.way[1:]
        if not len(walker.way):
            return np.zeros(2)
        ahead = walker.way[0] - walker.place
        distance = float(np.hypot(*ahead))
        wish: Points = ahead / max(distance, 1e-6) * min(self._pace(walker, plan), distance / 0.4)
        return wish

    def _pace(self, walker: _Walker, plan: Floorplan) -> float:
        leader = self._walkers[walker.leader]
        if leader is walker or leader.area != walker.area or leader.target != walker.target:
            return walker.pace_ms
        behind = plan.distance(walker.place, walker.target) - plan.distance(leader.place, walker.target)
        return walker.pace_ms * float(np.clip(1 + 0.35 * behind, 0.6, 1.3))


def _step(area: Area, members: list[_Walker], wishes: list[Points]) -> None:
    """Moves the people of one area: each by their wish, away from one another, never into furniture."""
    places = np.stack([walker.place for walker in members])
    velocity = np.stack([walker.velocity for walker in members])
    wished = np.stack(wishes) + _avoid(places, np.stack(wishes))
    velocity = velocity + (wished - velocity) * (STEP_S / 0.3)
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    velocity *= np.minimum(1, 1.9 / np.maximum(speed, 1e-9))[:, None]
    moved = _keep_apart(places + velocity * STEP_S)
    moved = _keep_free(area, places, moved)
    for walker, place, new, wish in zip(members, places, moved, wishes, strict=True):
        walker.velocity = (new - place) / STEP_S
        walker.place = new
        _turn(walker, wish, members)


def _avoid(places: Points, wishes: Points) -> Points:
    """What others add to each wish: away from those who are near, and to the right of those ahead."""
    off = places[:, None] - places[None]
    distance = np.hypot(off[..., 0], off[..., 1]) + 1e3 * np.eye(len(places))
    unit = off / distance[..., None]
    strength = 1.1 * np.exp((0.55 - distance) / 0.3) * (distance < 2.5)
    ahead = -(unit * wishes[:, None]).sum(axis=2)
    right = np.stack([wishes[:, 1], -wishes[:, 0]], axis=1)
    aside = (np.clip(ahead, 0, None) * np.exp((0.6 - distance) / 0.7) * (distance < 2.5)).sum(axis=1)
    away: Points = (unit * strength[..., None]).sum(axis=1) + 0.7 * aside[:, None] * right
    return away


def _keep_apart(places: Points) -> Points:
    for _ in range(3):
        off = places[:, None] - places[None]
        distance = np.hypot(off[..., 0], off[..., 1]) + 1e3 * np.eye(len(places))
        push = np.maximum(PERSONAL_M - distance, 0) / 2
        places = places + (off / distance[..., None] * push[..., None]).sum(axis=1)
    return places


def _keep_free(area: Area, before: Points, after: Points) -> Points:
    """Takes back moves into furniture: whole, or only across or along."""
    kept = after.copy()
    blocked = ~is_free(area, kept)
    for axes in ((0,), (1,), (0, 1)):
        for axis in axes:
            kept[blocked] = after[blocked]
            kept[blocked, axis] = before[blocked, axis]
        if len(axes) == 2:
            kept[blocked] = before[blocked]
        blocked &= ~is_free(area, kept)
    return kept


def _turn(walker: _Walker, wish: Points, members: list[_Walker]) -> None:
    """Turns a person where they walk, or towards those they stand with."""
    speed = float(np.hypot(*walker.velocity))
    if speed > 0.3:
        aim = float(np.arctan2(walker.velocity[1], walker.velocity[0]))
    else:
        near = [
            other.place for other in members if other is not walker and np.hypot(*(other.place - walker.place)) < 1.5
        ]
        if not near or np.hypot(*wish) > 0.3:
            return
        ahead = np.mean(near, axis=0) - walker.place
        aim = float(np.arctan2(ahead[1], ahead[0]))
    off = (aim - walker.heading + np.pi) % (2 * np.pi) - np.pi
    walker.heading += float(np.clip(off, -_TURN_RAD_S * STEP_S, _TURN_RAD_S * STEP_S)) * 0.7
