"""A small site whose truth is known: two cameras, three people in coloured bands, and models that find and tell them.

The models are real graphs of a few nodes, so that a run does all that it does with large ones. The detector finds
windows of a person's size that are colourful; the background is grey. The encoder averages the colour of six bands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT, FPS, FRAMES = 320, 240, 8, 96
PERSON_WIDTH, PERSON_HEIGHT = 40, 100
CROP_WIDTH, CROP_HEIGHT = 32, 96  # of the encoder's input
CELL = 4  # the detector's boxes lie on a grid of so many pixels

# BGR; no two people have the same colour at the same height. Their embeddings have an inner product of about 0.5, which
# is what trained encoders give for two people.
_RED, _GREEN, _BLUE = (50, 50, 230), (50, 230, 50), (230, 50, 50)
BANDS = {
    1: (_RED, _GREEN, _BLUE, _RED, _GREEN, _BLUE),
    2: (_GREEN, _BLUE, _RED, _GREEN, _BLUE, _RED),
    3: (_BLUE, _RED, _GREEN, _BLUE, _RED, _GREEN),
}
HIGH, LOW = 20, 130  # tops of the two lanes that people walk in; their boxes never touch


@dataclass(frozen=True)
class Walk:
    """One person crosses one camera's picture, from frame `first` to frame `last`."""

    person: int
    first: int
    last: int
    start_x: int
    end_x: int
    top: int

    def left(self, frame: int) -> int | None:
        """Left edge in a frame, None where the person is not there."""
        if not self.first <= frame <= self.last:
            return None
        return round(self.start_x + (self.end_x - self.start_x) * (frame - self.first) / (self.last - self.first))


# The first two people are seen by both cameras.
WALKS = {
    "hall": (Walk(1, 1, 60, 10, 270, HIGH), Walk(2, 20, 96, 270, 10, LOW)),
    "door": (Walk(2, 1, 45, 20, 250, HIGH), Walk(3, 10, 70, 260, 30, LOW), Walk(1, 50, 96, 30, 260, HIGH)),
}


@dataclass(frozen=True)
class Scene:
    """Where the scene's files are."""

    folder: Path

    @property
    def detector(self) -> Path:
        return self.folder / "detector"

    @property
    def encoder(self) -> Path:
        return self.folder / "encoder"

    @property
    def mtmc_truth(self) -> Path:
        return self.folder / "gt" / "mtmc.txt"

    def video(self, camera: str) -> Path:
        return self.folder / f"{camera}.mp4"

    def truth(self, camera: str) -> Path:
        return self.folder / "gt" / f"{camera}.txt"

    @cached_property
    def settings(self) -> dict:
        """Settings for both cameras, to be written by `write_settings`."""
        return {
            "cameras": {camera: {"inputs": [{"path": str(self.video(camera))}]} for camera in WALKS},
            "detector": {"model": str(self.detector)},
            "encoder": {"model": str(self.encoder)},
        }


def write_settings(folder: Path, settings: dict) -> Path:
    """Writes a cameras.yaml; the data folder is ``data`` beside it unless the settings say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cameras.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def build_scene(folder: Path) -> Scene:
    """Writes videos, truth and models."""
    scene = Scene(folder)
    (folder / "gt").mkdir(parents=True)
    lines = []
    for camera, walks in WALKS.items():
        write_video(scene.video(camera), render(walks))
        rows = list(boxes(walks))
        scene.truth(camera).write_text("".join(f"{row},-1,-1,-1\n" for row in rows), encoding="utf-8")
        lines += [f"{camera},{row}\n" for row in rows]
    scene.mtmc_truth.write_text("".join(lines), encoding="utf-8")
    pixels = {"colour": "RGB", "pixel_scale": 1 / 255}
    frame = {"height": HEIGHT, "width": WIDTH, "resize": "letterbox", **pixels}
    crop = {"height": CROP_HEIGHT, "width": CROP_WIDTH, "resize": "stretch", **pixels}
    _write_model(scene.detector, _detector(), "detect", {"input": frame, "output": {"head": "ultralytics"}})
    _write_model(scene.encoder, _encoder(), "reid", {"input": crop, "output": {"head": "embedding", "dim": 18}})
    return scene


def boxes(walks: Iterable[Walk], frames: int = FRAMES) -> Iterator[str]:
    """The truth: ``frame,person,left,top,width,height,1``."""
    for frame in range(1, frames + 1):
        for walk in walks:
            if (left := walk.left(frame)) is not None:
                yield f"{frame},{walk.person},{left},{walk.top},{PERSON_WIDTH},{PERSON_HEIGHT},1"


def render(walks: Iterable[Walk], frames: int = FRAMES) -> Iterator[np.ndarray]:
    """The pictures of one camera, ``(HEIGHT, WIDTH, 3) uint8`` BGR."""
    grey = np.random.default_rng(5).integers(70, 150, (HEIGHT // 8, WIDTH // 8, 1)).astype(np.uint8)
    background = np.repeat(np.repeat(np.repeat(grey, 8, axis=0), 8, axis=1), 3, axis=2)
    for frame in range(1, frames + 1):
        picture = background.copy()
        for walk in walks:
            if (left := walk.left(frame)) is not None:
                picture[walk.top : walk.top + PERSON_HEIGHT, left : left + PERSON_WIDTH] = _person(walk.person)
        yield picture


def _person(person: int) -> np.ndarray:
    rows = np.arange(PERSON_HEIGHT) * len(BANDS[person]) // PERSON_HEIGHT
    return np.array(BANDS[person], np.uint8)[rows][:, None]


def write_video(path: Path, pictures: Iterable[np.ndarray], *, faststart: bool = False) -> Path:
    """Encodes pictures at `FPS`; with ``faststart`` the index comes first, so that the file can be cut."""
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 12
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def _detector() -> onnx.ModelProto:
    """Scores each window of a person's size by its mean saturation, and keeps those that no neighbour exceeds."""
    rows, columns = (HEIGHT - PERSON_HEIGHT) // CELL + 1, (WIDTH - PERSON_WIDTH) // CELL + 1
    top, left = np.meshgrid(np.arange(rows) * CELL, np.arange(columns) * CELL, indexing="ij")
    centres = np.stack([left.ravel() + PERSON_WIDTH / 2, top.ravel() + PERSON_HEIGHT / 2])
    sides = np.broadcast_to([[PERSON_WIDTH], [PERSON_HEIGHT]], centres.shape)
    constants = {
        "grid": np.concatenate([centres, sides]).astype(np.float32)[None],
        "full": np.float32(0.7),  # saturation of a person
        "low": np.float32(0),
        "high": np.float32(1),
        "flat": np.array([1, 1, rows * columns], np.int64),
    }
    window = [PERSON_HEIGHT // CELL, PERSON_WIDTH // CELL]
    nodes = [
        helper.make_node("ReduceMax", ["pixels"], ["brightest"], axes=[1]),
        helper.make_node("ReduceMin", ["pixels"], ["darkest"], axes=[1]),
        helper.make_node("Sub", ["brightest", "darkest"], ["saturation"]),
        helper.make_node("AveragePool", ["saturation"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("AveragePool", ["cells"], ["windows"], kernel_shape=window, strides=[1, 1]),
        helper.make_node("MaxPool", ["windows"], ["best"], kernel_shape=[9, 9], pads=[4] * 4, strides=[1, 1]),
        helper.make_node("GreaterOrEqual", ["windows", "best"], ["is_peak"]),
        helper.make_node("Cast", ["is_peak"], ["peak"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["windows", "full"], ["relative"]),
        helper.make_node("Clip", ["relative", "low", "high"], ["score"]),
        helper.make_node("Mul", ["score", "peak"], ["peaks"]),
        helper.make_node("Reshape", ["peaks", "flat"], ["row"]),
        helper.make_node("Concat", ["grid", "row"], ["output"], axis=1),
    ]
    return _graph(nodes, constants, (HEIGHT, WIDTH), (1, 5, rows * columns))


def _encoder() -> onnx.ModelProto:
    """Averages the colour of six bands."""
    band = [CROP_HEIGHT // 6, CROP_WIDTH]
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["bands"], kernel_shape=band, strides=band),
        helper.make_node("Flatten", ["bands"], ["output"]),
    ]
    return _graph(nodes, {}, (CROP_HEIGHT, CROP_WIDTH), (1, 18))


def _graph(nodes: list, constants: dict, size: tuple[int, int], output: tuple[int, ...]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "scene",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, (1, 3, *size))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _write_model(folder: Path, model: onnx.ModelProto, task: str, described: dict) -> None:
    """Writes the graph and its card; `described` is the card's ``input`` and ``output``."""
    folder.mkdir()
    data = model.SerializeToString()
    (folder / "graph.onnx").write_bytes(data)
    card = {
        "name": f"scene-{task}",
        "task": task,
        "graph": "graph.onnx",
        "sha256": {"graph.onnx": hashlib.sha256(data).hexdigest()},
        "licence": "AGPL-3.0",
        **described,
    }
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
