"""Made-up people who walk through the cameras of a site: what is seen of them, when, and who they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_pipeline.pipeline.replay import RecordedTracklet, RecordedView

DIM = 64
STAY_S = 8.0
SECOND_US = 1_000_000


@dataclass(frozen=True)
class Crowd:
    """Of N tracklets in the order of their starts: views (N, 3, D), cameras, people, and seconds of start and end."""

    views: np.ndarray
    cameras: np.ndarray
    people: np.ndarray
    starts_s: np.ndarray
    ends_s: np.ndarray

    @property
    def looks(self) -> np.ndarray:
        """The mean view of each tracklet, (N, D) of norm 1."""
        return unit(self.views.mean(axis=1)).astype(np.float32)

    @property
    def same(self) -> np.ndarray:
        """Which pairs are one person, (N, N)."""
        return self.people[:, None] == self.people[None]

    @property
    def apart(self) -> np.ndarray:
        """Which pairs are in one camera at one time, (N, N)."""
        meet = self.starts_s[None] <= self.ends_s[:, None]
        return meet & meet.T & (self.cameras[:, None] == self.cameras[None])

    def record(self) -> list[RecordedTracklet]:
        """The tracklets as a run has recorded them, numbered by their place here."""
        return [self._record(place) for place in range(len(self.people))]

    def _record(self, place: int) -> RecordedTracklet:
        first_us, last_us = (round(times[place] * SECOND_US) for times in (self.starts_s, self.ends_s))
        times = np.linspace(first_us, last_us, 3).round().astype(int).tolist()
        views = tuple(RecordedView(time, view, 0.8) for time, view in zip(times, self.views[place], strict=True))
        return RecordedTracklet(f"c{self.cameras[place]}", place + 1, first_us, last_us, views)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def draw_crowd(people: int = 30, sightings: int = 6, cameras: int = 4, noise: float = 0.1, seed: int = 0) -> Crowd:
    """People who each go from camera to camera; each camera has its own light, each way its own length."""
    rng = np.random.default_rng(seed)
    faces = unit(rng.normal(size=(people, DIM)))
    lights = 0.5 * unit(rng.normal(size=(cameras, DIM)))
    ways_s = rng.uniform(20, 120, (cameras, cameras))
    rows = []
    for person in range(people):
        now, camera = rng.uniform(0, 40 * people), int(rng.integers(cameras))
        for _ in range(sightings):
            common = faces[person] + lights[camera] + noise * rng.normal(size=DIM)
            views = unit(common + noise / 2 * rng.normal(size=(3, DIM))).astype(np.float32)
            rows.append((now, camera, person, views))
            onward = int(rng.integers(cameras))
            now += STAY_S + max(rng.normal(ways_s[camera, onward], 5.0), 1.0)
            camera = onward
    rows.sort(key=lambda row: row[0])
    starts, seen_by, who, views = zip(*rows, strict=True)
    starts_s = np.array(starts)
    return Crowd(np.stack(views), np.array(seen_by), np.array(who), starts_s, starts_s + STAY_S)
