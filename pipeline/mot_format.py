"""Reads the text files that tracks and their ground truth are kept in.

| file | a line |
|---|---|
| MOTChallenge text | ``frame,id,left,top,width,height,conf,...`` |
| ``mtmc.txt`` | ``camera,frame,identity,left,top,width,height,conf,...`` |
| foot points of one camera | ``frame,id,foot_x,foot_y`` |
| foot points of a site | ``camera,frame,identity,foot_x,foot_y`` |

Frames count from 1. Empty lines and lines that start with ``#`` are skipped; so are columns after ``conf``: classes are
not told apart. Every line counts, unless those with ``conf`` 0 are to be dropped: MOTChallenge marks ground truth to
ignore so, and TrackEval leaves it out for MOT15, where predictions on it count as any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.errors import InputError

_BOX_COLUMNS = ("left", "top", "width", "height", "conf")
_POINT_COLUMNS = ("foot_x", "foot_y")


@dataclass(frozen=True, slots=True, eq=False)
class TrackKeys:
    """Who is where and when, one row each: no identity is twice in one frame of one camera.

    Attributes:
        cameras: ``(N,)`` names; empty strings in files of one camera.
        frames: ``(N,) int64``, from 1.
        ids: ``(N,) int64``.
    """

    cameras: NDArray[np.str_]
    frames: NDArray[np.int64]
    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.cameras.shape == self.frames.shape == self.ids.shape == (len(self.frames),):
            raise ValueError(
                f"cameras, frames and ids: expected three arrays of one length, "
                f"got {self.cameras.shape}, {self.frames.shape} and {self.ids.shape}"
            )

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: NDArray[np.bool_]) -> TrackKeys:
        return TrackKeys(self.cameras[rows], self.frames[rows], self.ids[rows])


@dataclass(frozen=True, slots=True, eq=False)
class PointTracks:
    """Tracks of foot points: ``points (N, 2) float64`` x, y in pixels, parallel to ``keys``."""

    keys: TrackKeys
    points: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.points.shape != (len(self.keys), 2):
            raise ValueError(f"points: expected ({len(self.keys)}, 2), got {self.points.shape}")

    def up_to(self, max_frame: int) -> PointTracks:
        """Leaves out the frames after ``max_frame``."""
        rows = self.keys.frames <= max_frame
        return PointTracks(self.keys[rows], self.points[rows])


@dataclass(frozen=True, slots=True, eq=False)
class BoxTracks:
    """Tracks of boxes.

    Attributes:
        keys: Camera, frame and identity of each box.
        boxes: ``(N, 4) float64`` x1, y1, x2, y2 in pixels.
        confidences: ``(N,) float64``.
    """

    keys: TrackKeys
    boxes: NDArray[np.float64]
    confidences: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.keys)
        if self.boxes.shape != (count, 4) or self.confidences.shape != (count,):
            raise ValueError(
                f"boxes and confidences: expected ({count}, 4) and ({count},), "
                f"got {self.boxes.shape} and {self.confidences.shape}"
            )

    def up_to(self, max_frame: int) -> BoxTracks:
        """Leaves out the frames after ``max_frame``."""
        rows = self.keys.frames <= max_frame
        return BoxTracks(self.keys[rows], self.boxes[rows], self.confidences[rows])

    def foot_points(self) -> PointTracks:
        """Takes the middle of each box's lower edge."""
        x1, _, x2, y2 = self.boxes.T
        return PointTracks(self.keys, np.stack([(x1 + x2) / 2, y2], axis=1))


def read_mot(path: Path, *, drop_ignored: bool = False) -> BoxTracks:
    """Reads MOTChallenge text; the cameras are empty strings.

    Args:
        path: A file of lines ``frame,id,left,top,width,height,conf,...``. An empty file has no rows.
        drop_ignored: Leaves out the lines with ``conf`` 0.

    Raises:
        InputError: It cannot be read, a line does not fit, or an id is twice in a frame.
    """
    return _boxes(path, ("frame", "id"), drop_ignored=drop_ignored)


def read_mtmc(path: Path, *, drop_ignored: bool = False) -> BoxTracks:
    """Reads ``mtmc.txt``: lines ``camera,frame,identity,left,top,width,height,conf,...``; the rest as `read_mot`."""
    return _boxes(path, ("camera", "frame", "identity"), drop_ignored=drop_ignored)


def read_mot_points(path: Path) -> PointTracks:
    """Reads the ground truth of one camera as foot points.

    Args:
        path: A file of lines ``frame,id,foot_x,foot_y``. MOTChallenge lines may be among them: the foot point is the
            middle of the box's lower edge, and ``conf`` 0 leaves the line out.

    Raises:
        InputError: It cannot be read, a line does not fit, or an id is twice in a frame.
    """
    return _points(path, ("frame", "id"))


def read_mtmc_points(path: Path) -> PointTracks:
    """Reads the ground truth of a site as foot points.

    Lines are ``camera,frame,identity,foot_x,foot_y`` or those of ``mtmc.txt``; the rest as `read_mot_points`.
    """
    return _points(path, ("camera", "frame", "identity"))


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file and how to say what is wrong with it."""

    path: Path
    number: int
    fields: tuple[str, ...]

    def fault(self, what: str) -> InputError:
        return InputError(f"{self.path}, line {self.number}: {what}")

    def real(self, column: int, name: str) -> float:
        try:
            value = float(self.fields[column])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise self.fault(f"{name} is {self.fields[column]!r}; expected a number")
        return value

    def size(self, column: int, name: str) -> float:
        value = self.real(column, name)
        if value < 0:
            raise self.fault(f"{name} is {self.fields[column]!r}; expected 0 or more pixels")
        return value

    def whole(self, column: int, name: str) -> int:
        # Some trackers write their numbers as 3.0.
        value = self.real(column, name)
        if not value.is_integer():
            raise self.fault(f"{name} is {self.fields[column]!r}; expected a whole number")
        return int(value)

    def key(self, names: tuple[str, ...]) -> tuple[str, int, int]:
        camera = self.fields[0] if len(names) == 3 else ""
        if len(names) == 3 and not camera:
            raise self.fault("camera is ''; expected a name")
        frame = self.whole(len(names) - 2, names[-2])
        if frame < 1:
            raise self.fault(f"frame is {frame}; expected 1 or more")
        return camera, frame, self.whole(len(names) - 1, names[-1])

    def box(self, first: int) -> tuple[float, float, float, float, float]:
        left, top = self.real(first, "left"), self.real(first + 1, "top")
        width, height = self.size(first + 2, "width"), self.size(first + 3, "height")
        return left, top, left + width, top + height, self.real(first + 4, "conf")


class _Keys:
    """Collects the keys of a file and refuses one that comes twice."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int, int], int] = {}

    def add(self, line: _Line, names: tuple[str, ...]) -> None:
        key = line.key(names)
        before = self._lines.setdefault(key, line.number)
        if before != line.number:
            where = f"frame {key[1]}" + (f" of camera {key[0]!r}" if key[0] else "")
            raise line.fault(f"{names[-1]} {key[2]} is in {where} already (line {before}); expected once a frame")

    def arrays(self) -> TrackKeys:
        cameras, frames, ids = zip(*self._lines, strict=True) if self._lines else ((), (), ())
        return TrackKeys(np.array(cameras, np.str_), np.array(frames, np.int64), np.array(ids, np.int64))


def _boxes(path: Path, names: tuple[str, ...], *, drop_ignored: bool) -> BoxTracks:
    keys, rows = _Keys(), []
    for line in _lines(path):
        if len(line.fields) < len(names) + len(_BOX_COLUMNS):
            raise line.fault(_misfit(line, names, _BOX_COLUMNS) + _hint(line, names))
        box = line.box(len(names))
        if not (drop_ignored and box[-1] == 0):
            keys.add(line, names)
            rows.append(box)
    table = np.array(rows, np.float64).reshape(-1, 5)
    return BoxTracks(keys.arrays(), table[:, :4], table[:, 4])


def _points(path: Path, names: tuple[str, ...]) -> PointTracks:
    keys, points, first = _Keys(), [], len(names)
    for line in _lines(path):
        if len(line.fields) == first + len(_POINT_COLUMNS):
            point = line.real(first, "foot_x"), line.real(first + 1, "foot_y")
        elif len(line.fields) >= first + len(_BOX_COLUMNS):
            x1, _, x2, y2, confidence = line.box(first)
            if confidence == 0:
                continue
            point = (x1 + x2) / 2, y2
        else:
            raise line.fault(f"{_misfit(line, names, _POINT_COLUMNS)} or {','.join(names + _BOX_COLUMNS)}")
        keys.add(line, names)
        points.append(point)
    return PointTracks(keys.arrays(), np.array(points, np.float64).reshape(-1, 2))


def _misfit(line: _Line, names: tuple[str, ...], columns: tuple[str, ...]) -> str:
    return f"{','.join(line.fields)!r} has {len(line.fields)} columns; expected {','.join(names + columns)}"


def _hint(line: _Line, names: tuple[str, ...]) -> str:
    is_point = len(line.fields) == len(names) + len(_POINT_COLUMNS)
    return "; foot points are scored with the match foot:PIXELS" if is_point else ""


def _lines(path: Path) -> Iterator[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a text file of tracks") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text (byte {error.start}); expected a text file of tracks") from error
    for number, content in enumerate(text.splitlines(), start=1):
        if content.strip() and not content.lstrip().startswith("#"):
            yield _Line(path, number, tuple(field.strip() for field in content.split(",")))
