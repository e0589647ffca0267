"""Recipes for contrastive pre-training: YAML files, those that are shipped as `configs/pretrain-<name>.yaml`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.learning.augment import ViewSettings
from reid_pipeline.learning.moco import Compared
from reid_pipeline.learning.pixels import input_card
from reid_pipeline.learning.recipe import Count, Share, StrictPart, read_recipe
from reid_pipeline.learning.sgd_plan import SgdPlan
from reid_pipeline.learning.trainer import Plan
from reid_pipeline.storage.model_card import InputCard, NetworkCard

Part = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Triple = tuple[float, float, float]

_PREFIX: Final = "pretrain-"
_QUEUE_SHARE: Final = 4  # the queue holds at most one in so many crops, or their keys would be in it more than once


class Pixels(StrictPart):
    """How RGB values, 0 to 255, are normalised."""

    mean: Triple
    std: tuple[Positive, Positive, Positive]


class Network(StrictPart):
    """See `encoder_network.build_encoder_network`.

    Attributes:
        empty_blocks: Whether the last norm of each residual block begins at 0, as in timm; torchvision's begin at 1.
    """

    backbone: str
    keep_resolution: bool = False
    dim: Count = 256
    empty_blocks: bool = True

    def card(self) -> NetworkCard:
        """What the card of the model says of it."""
        return NetworkCard(backbone=self.backbone, keep_resolution=self.keep_resolution)


class Views(StrictPart):
    """See `augment.ViewSettings`."""

    area: tuple[Part, Part] = (0.2, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    grey: Part = 0.2
    blur: Part = 0.5
    mirror: Part = 0.5
    erase: Part = 0.5
    erase_area: tuple[Part, Part] = (0.02, 0.6)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name in ("area", "ratio", "erase_area"):
            least, most = getattr(self, name)
            if not 0.0 < least <= most:
                raise ValueError(f"{name}: expected two rising numbers above 0")
        return self

    def settings(self) -> ViewSettings:
        """What the views are made by."""
        return ViewSettings(**self.model_dump())


class Contrast(StrictPart):
    """What is compared with what; see `moco.MocoSettings`.

    Attributes:
        queue: Most keys; the queue is the largest power of two of these and of a quarter of the crops.
        by_tracklet: Whether the second look is at another crop of the same tracklet.
    """

    compared: Compared = "embedding"
    queue: Count = 65_536
    dim: Count = 128
    momentum: Part = 0.999
    temperature: Positive = 0.1
    by_tracklet: bool = False
    spare_own: bool = False

    def queue_for(self, crops: int) -> int:
        """Number of keys for a number of crops."""
        return 1 << max(0, min(self.queue, crops // _QUEUE_SHARE).bit_length() - 1)


class Schedule(StrictPart):
    """How long and how boldly; see `trainer.Plan` and `sgd_plan.SgdPlan`.

    Attributes:
        batch_size: Of all processes.
        shards: Parts of a batch with batch norms of their own; see `moco_task`.
        kept_average: Decay of the running average of the query network that is kept in the end; 0 keeps the last one.
    """

    epochs: Count
    batch_size: Count
    shards: Count
    optimiser: Literal["muon", "sgd"] = "muon"
    learning_rate: Positive
    weight_decay: Share = 0.05
    warm_up: Annotated[int, Field(ge=0)] = 100
    kept_average: Part = 0.999

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.shards:
            raise ValueError(f"shards: {self.shards}: expected a divisor of batch_size, {self.batch_size}")
        return self

    def plan(self, steps: int, epoch_steps: int, seed: int) -> Plan:
        """The plan for a number of steps."""
        rates = (steps, self.learning_rate, self.weight_decay, self.warm_up, self.kept_average, seed)
        return SgdPlan(*rates, epoch_steps=epoch_steps) if self.optimiser == "sgd" else Plan(*rates)


class PretrainRecipe(StrictPart):
    """How an encoder is pre-trained.

    Attributes:
        height: Of the network's input.
        width: The same.
        pixels: How pixels become its input; as in the bundled models if left out.
        network: Which one, where none is given to begin with.
        contrast: What it learns from.
        views: How different two looks are.
        training: How long and how boldly.
    """

    height: Count
    width: Count
    pixels: Pixels | None = None
    network: Network
    contrast: Contrast = Contrast()
    views: Views = Views()
    training: Schedule

    def input_card(self) -> InputCard:
        """How pictures become the network's input."""
        card = input_card(self.height, self.width)
        if self.pixels is None:
            return card
        return card.model_copy(update={"colour": "RGB", "mean": self.pixels.mean, "std": self.pixels.std})


def find_pretrain_recipe(name_or_path: str) -> PretrainRecipe:
    """Reads a recipe: a path, or the name of one that is shipped with the program.

    Raises:
        ConfigError: There is none, it cannot be read, or it says something that it may not.
    """
    shipped = shipped_pretrain_recipes()
    path = Path(name_or_path) if Path(name_or_path).is_file() else shipped.get(name_or_path)
    if path is None:
        raise ConfigError(f"{name_or_path}: no such recipe: expected a YAML file, or one of {', '.join(shipped)}")
    return read_recipe(path, TypeAdapter(PretrainRecipe))


def shipped_pretrain_recipes() -> dict[str, Path]:
    """The files of the recipes that are shipped with the program, by name."""
    folder = Path(str(files("reid_pipeline.configs")))
    return {path.stem.removeprefix(_PREFIX): path for path in sorted(folder.glob(f"{_PREFIX}*.yaml"))}
