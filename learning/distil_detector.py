"""Learning to detect from a stronger detector, cell by cell, and from labels where there are some.

Teacher and pupil see the same mosaic through the same grids. At each cell the pupil learns the teacher's box and its
score of every class; a labelled person that the teacher missed is written into the target. Where the labels are exact,
as they are of rendered people, the teacher is set right: its boxes become the labelled ones, and what is nobody's is
nothing. No assignment of boxes to cells has to be invented, and any picture teaches, labelled or not.

Sources: learning the teacher's soft answers after Hinton et al., "Distilling the Knowledge in a Neural Network", 2015;
the weight of a score's error after Li et al., "Generalized Focal Loss", 2020, equation 5; the loss of boxes after
Rezatofighi et al., "Generalized Intersection over Union", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reid_pipeline.learning.detector_network import BOX_VALUES, DetectorNetwork, cell_grid, decode
from reid_pipeline.learning.pictures import Labels, MosaicMaker
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.pipeline.box_overlap import box_overlap
from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.detector import describe_detector
from reid_pipeline.pipeline.detector_heads import YOLOX_STRIDES
from reid_pipeline.pipeline.rectangular import reshape_yolo
from reid_pipeline.pipeline.runtime_openvino import OpenVinoRuntime, read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model

_MISSED: Final = 0.3  # a labelled person whose best cell scores less is written into the target
_SAME: Final = 0.5  # overlap at which the teacher's box is that of the labelled person
_LABEL_SCORE: Final = 0.7  # what a person that the teacher missed is worth
_CLASS_WEIGHT: Final = 0.3  # of the classes that are learnt only for the sake of the features
_BOX_WEIGHT: Final = 2.0
_NOISE: Final = 0.05  # boxes of cells below it are arbitrary

Floats = NDArray[np.float32]


class DenseTeacher:
    """An Ultralytics detector asked for the answer of every cell.

    Args:
        model: The detector, with strides 8, 16 and 32.
        size: Side of its square input in pixels.

    Raises:
        ModelError: It is none of these.
    """

    def __init__(self, model: Model, size: int) -> None:
        graph = read_graph(model.graph)
        card, output = describe_detector(model)
        if graph is None or output.head != "ultralytics" or not reshape_yolo(graph, size, size):
            raise ModelError(f"{model.graph}: not a teacher: expected an Ultralytics graph that takes {size}x{size}")
        self._person = output.person_class
        self._runtime = OpenVinoRuntime(graph, card)

    def teach(self, images: Sequence[Image]) -> list[Floats]:
        """For each image ``(cells, 4 + classes)``: centre, width, height in pixels, then the scores, person first."""
        pending = [self._runtime.start(image[None]) for image in images]
        return [self._person_first(answer.result()[0].T) for answer in pending]

    def _person_first(self, rows: Floats) -> Floats:
        if self._person:
            rows[:, [BOX_VALUES, BOX_VALUES + self._person]] = rows[:, [BOX_VALUES + self._person, BOX_VALUES]]
        return rows


@dataclass(frozen=True, slots=True)
class DetectorBatch:
    """Images ``(N, S, S, 3) uint8`` BGR and the target ``(N, cells, 4 + classes) float32`` of each cell."""

    images: NDArray[np.uint8]
    targets: Floats


class DetectorDistillation:
    """The task: see the module.

    Args:
        network: The pupil.
        mosaics: Makes the pictures.
        teacher: Answers them.
        size: Side of the pictures in pixels.
        batch_size: Pictures a step.
        seed: Of the mosaics.
    """

    def __init__(
        self,
        network: DetectorNetwork,
        mosaics: MosaicMaker,
        teacher: DenseTeacher,
        *,
        size: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.network = network
        self._mosaics = mosaics
        self._teacher = teacher
        self._batch_size = batch_size
        self._seed = seed
        self._grid = cell_grid(size, size)

    def batch(self, step: int) -> DetectorBatch:
        """See `trainer.Task`."""
        rng = np.random.default_rng([self._seed, step])
        made = [self._mosaics.make(rng) for _ in range(self._batch_size)]
        answers = self._teacher.teach([image for image, _ in made])
        grid = self._grid.numpy()
        for answer, (_, labels) in zip(answers, made, strict=True):
            for each in labels:
                if each.exact:
                    set_right(answer, each)
                add_missed(answer, each.boxes, grid)
        return DetectorBatch(np.stack([image for image, _ in made]), np.stack(answers))

    def losses(self, batch: DetectorBatch, device: torch.device) -> dict[str, Tensor]:
        """See `trainer.Task`: ``score`` of the person, ``classes`` beside it, ``box``."""
        images = normalise(torch.from_numpy(batch.images).to(device))
        target = torch.from_numpy(batch.targets).to(device)
        return dense_losses(self.network(images).float(), target, self._grid.to(device))

    def after_step(self) -> None:
        """See `trainer.Task`: nothing is kept."""


def dense_losses(rows: Tensor, target: Tensor, grid: Tensor) -> dict[str, Tensor]:
    """The loss of the pupil's raw rows ``(N, cells, 4 + classes)`` against the target of the same shape.

    Args:
        rows: As `DetectorNetwork.forward` gives them.
        target: Boxes (centre x, y, width, height in pixels) and scores 0-1, the person's first.
        grid: Of `cell_grid`.
    """
    logits, wanted = rows[..., BOX_VALUES:], target[..., BOX_VALUES:]
    error = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    error = error * (logits.sigmoid() - wanted).abs().pow(2.0).detach()
    person = wanted[..., 0]
    weight = person * (person > _NOISE)
    mass = weight.sum().clamp(min=1.0)
    box = (weight * (1.0 - generalised_iou(decode(rows, grid), target[..., :BOX_VALUES]))).sum() / mass
    return {
        "score": error[..., 0].sum() / mass,
        "classes": _CLASS_WEIGHT * error[..., 1:].sum() / wanted[..., 1:].sum().clamp(min=1.0),
        "box": _BOX_WEIGHT * box,
    }


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised overlap, -1 to 1, of boxes ``(..., 4)`` centre x, centre y, width, height."""
    corners = [(each[..., :2] - each[..., 2:] / 2, each[..., :2] + each[..., 2:] / 2) for each in (first, second)]
    (low_a, high_a), (low_b, high_b) = corners
    common = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(-1)
    hull = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(-1).clamp(min=1e-6)
    union = (first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - common).clamp(min=1e-6)
    return common / union - (hull - union) / hull


def set_right(target: Floats, labels: Labels) -> None:
    """Corrects what the teacher said of a part of the picture of which everything is known, in place.

    A box that lies on somebody becomes that one's box, and the surest cell of each is as sure as a label at least. One
    that lies on nobody is taken back.

    Args:
        target: ``(cells, 4 + classes)`` as `DenseTeacher.teach` gives it.
        labels: Of the part.
    """
    left, top, right, bottom = labels.tile
    x, y = target[:, 0], target[:, 1]
    said = np.flatnonzero((target[:, BOX_VALUES] >= _NOISE) & (left <= x) & (x < right) & (top <= y) & (y < bottom))
    if not len(labels.boxes):
        target[said, BOX_VALUES] = 0.0
        return
    centre, half = target[said, :2], target[said, 2:BOX_VALUES] / 2
    overlap = box_overlap(np.concatenate([centre - half, centre + half], axis=1), labels.boxes)
    whose = overlap.argmax(axis=1)
    on_somebody = overlap.max(axis=1) >= _SAME
    target[said[~on_somebody], BOX_VALUES] = 0.0
    for person, box in enumerate(labels.boxes):
        cells = said[on_somebody & (whose == person)]
        target[cells, :2], target[cells, 2:BOX_VALUES] = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        scores = target[cells, BOX_VALUES]
        surest = float(scores.max(initial=0.0))
        if _MISSED <= surest < _LABEL_SCORE:
            target[cells, BOX_VALUES] = scores * (_LABEL_SCORE / surest)


def add_missed(target: Floats, boxes: Boxes, grid: Floats) -> None:
    """Writes labelled people whom the teacher missed into its answer, in place.

    Each is given the cells around its centre on the grid that suits its size: a stride of about a sixth of its longer
    side.

    Args:
        target: ``(cells, 4 + classes)`` as `DenseTeacher.teach` gives it.
        boxes: The labelled people, ``(N, 4)`` x1 y1 x2 y2.
        grid: Of `cell_grid`.
    """
    likely = np.flatnonzero(target[:, BOX_VALUES] >= _MISSED)
    centre, half = target[likely, :2], target[likely, 2:BOX_VALUES] / 2
    found = box_overlap(boxes, np.concatenate([centre - half, centre + half], axis=1)).max(axis=1, initial=0.0) >= _SAME
    for box in boxes[~found]:
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        stride = min(YOLOX_STRIDES, key=lambda each: abs(np.log(each * 6.0 / max(float(size.max()), 1.0))))
        offset = np.abs((grid[:, :2] + 0.5) * grid[:, 2:] - middle)
        cells = np.flatnonzero((grid[:, 2] == stride) & (offset <= 0.75 * stride).all(axis=1))
        target[cells, :2], target[cells, 2:BOX_VALUES] = middle, size
        target[cells, BOX_VALUES] = np.maximum(target[cells, BOX_VALUES], _LABEL_SCORE)
