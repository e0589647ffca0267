"""Where people can walk in an area, and the shortest ways through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from reid_pipeline.pipeline.virtual_scene import Area, Place

Points = NDArray[np.float64]

CELL_M: Final = 0.2
CLEARANCE_M: Final = 0.27
"""Nobody's middle comes nearer to furniture than this."""
_WAY_CLEARANCE_M: Final = 0.34


@dataclass(frozen=True, slots=True, eq=False)
class Floorplan:
    """The ways to each target of an area: its stops, then its portals.

    Attributes:
        area: The area.
        origin: Of the grid, metres.
        free: ``(rows, columns)`` cells that a way may cross.
        distances: ``(targets, cells)`` metres to walk.
        next_cells: ``(targets, cells)`` where to go from a cell; negative where there is no way.
        targets: ``(targets, 2)`` metres.
    """

    area: Area
    origin: Place
    free: NDArray[np.bool_]
    distances: Points
    next_cells: NDArray[np.int32]
    targets: Points

    def way(self, start: Points, target: int) -> Points:
        """Corners ``(K, 2)`` of a short way from a place to a target, which is the last; empty where there is none."""
        cell = self._cell(start)
        cells = [cell]
        while (cell := int(self.next_cells[target, cell])) >= 0:
            cells.append(cell)
        if len(cells) == 1 and not np.isfinite(self.distances[target, cells[0]]):
            return np.empty((0, 2))
        rows, columns = np.divmod(np.array(cells), self.free.shape[1])
        points = np.stack([columns, rows], axis=1) * CELL_M + self.origin + CELL_M / 2
        points[-1] = self.targets[target]
        return self._pull(points)

    def distance(self, start: Points, target: int) -> float:
        """Metres to walk to a target."""
        return float(self.distances[target, self._cell(start)])

    def _cell(self, place: Points) -> int:
        """The free cell nearest to a place."""
        rows, columns = self.free.shape
        column, row = np.clip(((place - self.origin) / CELL_M).astype(int), 0, (columns - 1, rows - 1))
        if self.free[row, column]:
            return int(row * columns + column)
        ys, xs = np.nonzero(self.free)
        nearest = int(np.argmin((ys - row) ** 2 + (xs - column) ** 2))
        return int(ys[nearest] * columns + xs[nearest])

    def _pull(self, points: Points) -> Points:
        """Leaves out points between which the way is straight."""
        kept, at = [], 0
        while at < len(points) - 1:
            ahead = len(points) - 1
            while ahead > at + 1 and not self._straight(points[at], points[ahead]):
                ahead = at + max(1, (ahead - at) * 2 // 3)
            kept.append(points[ahead])
            at = ahead
        return np.array(kept or [points[-1]])

    def _straight(self, start: Points, end: Points) -> bool:
        count = int(np.ceil(np.hypot(*(end - start)) / (CELL_M / 2))) + 1
        line = start + np.linspace(0, 1, count)[:, None] * (end - start)
        columns, rows = ((line - self.origin) / CELL_M).astype(int).T
        return bool(self.free[rows, columns].all())


def plan_floor(area: Area) -> Floorplan:
    """Finds the ways of an area."""
    rectangles = np.array(area.walkable)
    origin = (float(rectangles[:, 0].min()), float(rectangles[:, 1].min()))
    columns, rows = np.ceil((rectangles[:, 2:].max(axis=0) - origin) / CELL_M).astype(int).tolist()
    ys, xs = np.mgrid[0:rows, 0:columns]
    places = np.stack([xs.ravel(), ys.ravel()], axis=1) * CELL_M + origin + CELL_M / 2
    free = is_free(area, places, _WAY_CLEARANCE_M).reshape(rows, columns)
    targets = np.array([*area.stops, *area.portals])
    cells = [_nearest_free(free, target, origin) for target in targets]
    distances, before = dijkstra(_graph(free), directed=False, indices=cells, return_predecessors=True)
    return Floorplan(area, origin, free, distances, before.astype(np.int32), targets)


def is_free(area: Area, places: Points, clearance_m: float = CLEARANCE_M) -> NDArray[np.bool_]:
    """Which places ``(N, 2)`` are on the floor and at least ``clearance_m`` from furniture."""
    x, y = places[:, 0], places[:, 1]
    free = np.zeros(len(places), np.bool_)
    for x1, y1, x2, y2 in area.walkable:
        free |= (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    for x1, y1, x2, y2 in area.obstacles:
        free &= (
            np.hypot(np.maximum(np.maximum(x1 - x, x - x2), 0), np.maximum(np.maximum(y1 - y, y - y2), 0)) > clearance_m
        )
    return free


def _nearest_free(free: NDArray[np.bool_], place: Points, origin: Place) -> int:
    ys, xs = np.nonzero(free)
    column, row = (place - origin) / CELL_M
    nearest = int(np.argmin((ys - row) ** 2 + (xs - column) ** 2))
    return int(ys[nearest] * free.shape[1] + xs[nearest])


def _graph(free: NDArray[np.bool_]) -> coo_array[np.float64]:
    """Free cells and their free neighbours, with the metres between."""
    rows, columns = free.shape
    numbers = np.arange(rows * columns).reshape(rows, columns)
    starts, ends, lengths = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = numbers[: rows - down, max(0, -right) : columns - max(0, right)]
        other = numbers[down:, max(0, right) : columns - max(0, -right)]
        both = free.ravel()[one] & free.ravel()[other]
        starts.append(one[both])
        ends.append(other[both])
        lengths.append(np.full(int(both.sum()), CELL_M * np.hypot(down, right)))
    places = (np.concatenate(starts), np.concatenate(ends))
    return coo_array((np.concatenate(lengths), places), shape=(free.size, free.size))
