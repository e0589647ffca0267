"""Small folders of crops and pictures, and a teacher that always says the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from onnx import helper

from tests.pipeline.builders import save_onnx, write_card
from tests.scene import BANDS

STRIDES = (8, 16, 32)


def banded_person(person: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A person of the scene in its six colours, in the light of the day."""
    rows = np.arange(size[0]) * 6 // size[0]
    colours = np.array(BANDS[person])[rows][:, None] * rng.uniform(0.7, 1.0) + rng.normal(0, 8, (*size, 3))
    return colours.clip(0, 255).astype(np.uint8)


def write_market(folder: Path, *, size: tuple[int, int] = (48, 24)) -> Path:
    """Crops of three people in two cameras, in the layout of Market-1501."""
    rng = np.random.default_rng(0)
    for part, per_camera in (("bounding_box_train", 3), ("query", 1), ("bounding_box_test", 1)):
        (folder / part).mkdir(parents=True)
        for person in BANDS:
            for camera in (1, 2):
                for index in range(per_camera):
                    path = folder / part / f"{person:04d}_c{camera}s1_{index:06d}_00.png"
                    cv2.imwrite(str(path), banded_person(person, size, rng))
    return folder


def write_labelled(folder: Path, *, count: int = 4, size: tuple[int, int] = (64, 96)) -> Path:
    """Grey pictures with one person each, and their labels."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        picture = rng.integers(90, 130, (*size, 3)).astype(np.uint8)
        left = int(rng.integers(4, 60))
        picture[10:58, left : left + 20] = banded_person(1 + index % 3, (48, 20), rng)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), picture)
        label = f"0 {(left + 10) / size[1]} {34 / size[0]} {20 / size[1]} {48 / size[0]}\n"
        (folder / "labels" / f"{index}.txt").write_text(label)
    return folder


def cells(size: int) -> np.ndarray:
    """Column, row and stride of each cell of a square picture, one after the other."""
    listed = [(x, y, s) for s in STRIDES for y in range(size // s) for x in range(size // s)]
    return np.array(listed, np.float32)


def fixed_rows(size: int, classes: int) -> np.ndarray:
    """What `fixed_teacher` says of each cell ``(cells, 4 + classes)``: a box of four cells around it, and scores."""
    where = cells(size)
    centre = (where[:, :2] + 0.5) * where[:, 2:]
    scores = np.random.default_rng(0).uniform(0, 1, (len(where), classes))
    return np.concatenate([centre, np.repeat(where[:, 2:] * 4, 2, axis=1), scores], axis=1).astype(np.float32)


def fixed_teacher(folder: Path, size: int, *, classes: int = 3, person_class: int = 1) -> Path:
    """An Ultralytics head that gives `fixed_rows` for every image."""
    rows = fixed_rows(size, classes).T[None]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["found"]),
    ]
    constants = {"rows": rows, "zero": np.zeros(1, np.float32)}
    graph = save_onnx(folder / "graph.onnx", nodes, constants, [1, 3, size, size], list(rows.shape))
    return write_card(
        graph,
        task="detect",
        input={"height": size, "width": size, "resize": "letterbox", "colour": "RGB", "pixel_scale": 1 / 255},
        output={"head": "ultralytics", "person_class": person_class},
    )
