"""Two cameras over one floor, and people who stroll on it."""

import numpy as np

from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.pipeline.meetings import SAMPLE_S

HEIGHT_M = 1.75


class View:
    """A pinhole camera above a floor in metres."""

    def __init__(self, place, target, focal=700.0):
        forward = np.subtract(target, place) / np.linalg.norm(np.subtract(target, place))
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        self.place = np.array(place, float)
        self.axes = np.stack([right, np.cross(forward, right), forward])
        self.focal = focal

    def project(self, points):
        seen = (points - self.place) @ self.axes.T
        return self.focal * seen[:, :2] / seen[:, 2:] + [640, 360]

    def see(self, floor, times_s, rng, trembling=0.02):
        """The walk of somebody on the floor ``(M, 2)``; boxes tremble by a part of the body height."""
        feet = self.project(np.column_stack([floor, np.zeros(len(floor))]))
        heads = self.project(np.column_stack([floor, np.full(len(floor), HEIGHT_M)]))
        height = np.linalg.norm(heads - feet, axis=1)
        feet = feet + rng.normal(0, trembling, feet.shape) * height[:, None]
        return np.column_stack([times_s, feet, height])


EAST = View((9.0, 0.5, 3.0), (0.0, 0.0, 0.0))
NORTH = View((-1.0, 10.0, 4.0), (0.0, 0.0, 0.5), focal=900.0)


def given_floor(view, places, errors=0.0):
    """What somebody would write who finds these places in the view's picture and measures them with such errors."""
    places = np.asarray(places, float)
    points = view.project(np.column_stack([places, np.zeros(len(places))])) / [1280, 720]
    return GivenFloor.of(points.tolist(), (places + errors).tolist()).in_pixels((720, 1280))


def stroll(rng, seconds):
    """A random walk on a floor of 6 by 6 metres: from one chosen point to the next at a walker's pace."""
    points, speed = [rng.uniform(-3, 3, 2)], 1.2 * SAMPLE_S
    target = rng.uniform(-3, 3, 2)
    while len(points) < round(seconds / SAMPLE_S):
        way = target - points[-1]
        if np.linalg.norm(way) < speed:
            target = rng.uniform(-3, 3, 2)
        points.append(points[-1] + way / max(np.linalg.norm(way), 1e-9) * speed)
    return np.array(points)


def draw_site(seed, people=4, seconds=20.0, late_s=0.0):
    """Walks in both views, east first, everybody in the same order; the clock of the north is late."""
    rng = np.random.default_rng(seed)
    begins = rng.uniform(0, 20, people)
    east, north = [], []
    for begin in begins:
        floor = stroll(rng, seconds)
        times = begin + np.arange(len(floor)) * SAMPLE_S
        east.append(EAST.see(floor, times, rng))
        north.append(NORTH.see(floor, times + 0.07 + late_s, rng))
    return [*east, *north], np.repeat([0, 1], people)
