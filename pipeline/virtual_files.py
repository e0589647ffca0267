"""Writes a virtual site to a folder: videos, truth, geometry and the cameras.yaml to run it.

| file | what |
|---|---|
| ``<camera>.mp4`` | H.264 |
| ``gt/<camera>.txt`` | ``frame,id,left,top,width,height,1,1,visibility``: MOTChallenge text, the identity as id |
| ``gt/mtmc.txt`` | ``camera,frame,identity,left,top,width,height,1`` |
| ``site.json`` | rooms, cameras, which views overlap |
| ``cameras.yaml`` | for `run` |

Both truths hold the same boxes: those of `VirtualFrame`, from a visibility of `MIN_VISIBILITY` on. Nobody is listed to
be ignored: `eval` counts every line.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import av
import av.video.stream
import cv2
import numpy as np

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.virtual_camera import VirtualCamera
from reid_pipeline.pipeline.virtual_site import VirtualFrame, VirtualSite, overlaps, render_frame

Progress = Callable[[int, int], None]
"""Told how many frames are done, of how many."""

GEOMETRY_FILE: Final = "site.json"
SETTINGS_FILE: Final = "cameras.yaml"
TRUTH_FOLDER: Final = "gt"
DATA_FOLDER: Final = "data"

_FORMAT: Final = "reid-pipeline virtual site 1"
_CHUNK_FRAMES: Final = 16
_WORTH_A_POOL: Final = 48
"""Fewer frames are rendered sooner than processes start."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a folder got: numbers of ``frames`` over all cameras, of ``boxes`` in the truth, of people ``seen``."""

    frames: int
    boxes: int
    seen: int


def check_folder(folder: Path) -> None:
    """Checks that a folder is free for a site.

    Raises:
        InputError: It is no folder, or it holds something that `write_site` did not write, or results of a run.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder, choose another name")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not is_virtual_site(folder):
        raise InputError(f"{folder}: holds other files; expected an empty or new folder, or an earlier virtual site")
    if (folder / DATA_FOLDER).exists():
        raise InputError(
            f"{folder}: holds results of a run in {DATA_FOLDER}/; expected none, choose another folder or delete them"
        )


def write_site(
    site: VirtualSite, folder: Path, *, processes: int | None = None, progress: Progress | None = None
) -> Written:
    """Renders a site and writes it; files of an earlier one in the folder are replaced.

    Args:
        site: What to render.
        folder: Where to; it is made.
        processes: That render; as many as there are processors if not given.
        progress: Told the frames written.

    Raises:
        InputError: The folder is taken or cannot be written, see `check_folder`.
    """
    check_folder(folder)
    try:
        _clear(folder)
        (folder / TRUTH_FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / GEOMETRY_FILE).write_text(json.dumps(describe_site(site), indent=1) + "\n", encoding="utf-8")
        (folder / SETTINGS_FILE).write_text(_settings_text(site), encoding="utf-8")
        return _write_cameras(site, folder, _render(site, processes), progress)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written, {error.strerror}; expected a folder you may write to"
        ) from error


def describe_site(site: VirtualSite) -> dict[str, object]:
    """The geometry of a site as JSON: metres, z up; a point p projects to K (R p + t)."""
    return {
        "format": _FORMAT,
        "seed": site.seed,
        "fps": site.fps,
        "frames": site.frames,
        "people": len(site.looks),
        "areas": [
            {"room": area.room, "outdoors": area.outdoors, "walkable": area.walkable, "obstacles": area.obstacles}
            for area in site.areas
        ],
        "cameras": {camera.name: _describe_camera(camera) for camera in site.cameras},
        "overlaps": [list(pair) for pair in overlaps(site)],
    }


def _describe_camera(camera: VirtualCamera) -> dict[str, object]:
    rotation, translation = camera.rotation(), camera.translation()
    projection = camera.intrinsics() @ np.column_stack([rotation, translation])
    return {
        "area": camera.area,
        "width": camera.width,
        "height": camera.height,
        "focal_px": camera.focal_px,
        "position": camera.position,
        "look_at": camera.look_at,
        "K": camera.intrinsics().tolist(),
        "R": rotation.tolist(),
        "t": translation.tolist(),
        "P": projection.tolist(),
        "faults": asdict(camera.faults),
    }


def _settings_text(site: VirtualSite) -> str:
    lines = [
        "# A virtual site; its truth is in gt/. Paths are relative to this file. To follow its people:",
        "#   reid-pipeline run cameras.yaml",
        f"site: {{name: virtual-{site.seed}, timezone: UTC, data_dir: ./{DATA_FOLDER}}}",
        "cameras:",
        *(f"  {camera.name}: {{inputs: [{{path: {camera.name}.mp4}}]}}" for camera in site.cameras),
        "detector: {model: bundled}",
        "encoder: {model: bundled}",
        "outputs: {video: true}",
    ]
    return "\n".join(lines) + "\n"


def is_virtual_site(folder: Path) -> bool:
    """Whether `write_site` wrote this folder."""
    try:
        described = json.loads((folder / GEOMETRY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("format") == _FORMAT


def _clear(folder: Path) -> None:
    """Removes what an earlier call wrote."""
    for path in [*folder.glob("*.mp4"), *(folder / TRUTH_FOLDER).glob("*.txt")]:
        path.unlink()


def _write_cameras(
    site: VirtualSite, folder: Path, frames: Iterator[VirtualFrame], progress: Progress | None
) -> Written:
    total, done, boxes, seen = len(site.cameras) * site.frames, 0, 0, set[int]()
    with (folder / TRUTH_FOLDER / "mtmc.txt").open("w", encoding="utf-8") as all_truth:
        for camera in site.cameras:
            rows = []
            with _Video(folder / f"{camera.name}.mp4", camera, site.fps) as video:
                for number in range(1, site.frames + 1):
                    frame = next(frames)
                    video.write(frame)
                    rows += list(_rows(frame, number))
                    seen.update(frame.identities.tolist())
                    done += 1
                    if progress:
                        progress(done, total)
            boxes += len(rows)
            truth = "".join(f"{row},1,1,{visible:.3f}\n" for row, visible in rows)
            (folder / TRUTH_FOLDER / f"{camera.name}.txt").write_text(truth, encoding="utf-8")
            all_truth.writelines(f"{camera.name},{row},1\n" for row, _ in rows)
    return Written(total, boxes, len(seen))


def _rows(frame: VirtualFrame, number: int) -> Iterator[tuple[str, float]]:
    """``frame,id,left,top,width,height`` and the visibility of each box."""
    for box, identity, visible in zip(
        frame.boxes.astype(int).tolist(), frame.identities.tolist(), frame.visibility.tolist(), strict=True
    ):
        x1, y1, x2, y2 = box
        yield f"{number},{identity},{x1},{y1},{x2 - x1},{y2 - y1}", visible


def _render(site: VirtualSite, processes: int | None) -> Iterator[VirtualFrame]:
    """All frames, one camera after another."""
    count = os.cpu_count() or 1 if processes is None else processes
    if count < 2 or len(site.cameras) * site.frames < _WORTH_A_POOL:
        for camera in range(len(site.cameras)):
            yield from _render_chunk(site, camera, 0, site.frames)
        return
    chunks = deque(
        (camera, start, min(start + _CHUNK_FRAMES, site.frames))
        for camera in range(len(site.cameras))
        for start in range(0, site.frames, _CHUNK_FRAMES)
    )
    # A fresh interpreter each: a fork would copy the locks of this process's threads.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start_process, (site,))
    with pool:
        under_way: deque[Future[list[VirtualFrame]]] = deque()
        while chunks or under_way:
            while chunks and len(under_way) < 2 * count:
                under_way.append(pool.submit(_render_in_process, *chunks.popleft()))
            yield from under_way.popleft().result()


_site_of_process: list[VirtualSite] = []


def _start_process(site: VirtualSite) -> None:
    cv2.setNumThreads(1)
    _site_of_process[:] = [site]


def _render_in_process(camera: int, start: int, stop: int) -> list[VirtualFrame]:
    return _render_chunk(_site_of_process[0], camera, start, stop)


def _render_chunk(site: VirtualSite, camera: int, start: int, stop: int) -> list[VirtualFrame]:
    return [render_frame(site, camera, frame) for frame in range(start, stop)]


class _Video:
    """An H.264 file of one camera."""

    def __init__(self, path: Path, camera: VirtualCamera, fps: float) -> None:
        self._container = av.open(str(path), "w")
        rate = Fraction(fps).limit_denominator(1000)
        # Without looking ahead: with it, libx264's output for the same frames has been seen to differ.
        options = {"preset": "veryfast", "crf": "23", "x264-params": "rc-lookahead=0:sync-lookahead=0"}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
        self._stream: av.video.stream.VideoStream = stream

    def write(self, frame: VirtualFrame) -> None:
        """Adds a frame."""
        picture = av.VideoFrame.from_ndarray(frame.image, format="bgr24").reformat(format="yuv420p")
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
