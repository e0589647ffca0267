"""Recipes: what a bundled model is trained on, from which teacher, how long.

Those of the bundled models are YAML files in `configs/recipes`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.learning.trainer import Plan
from reid_pipeline.learning.virtual_views import ViewPlan

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0)]
Part = Annotated[float, Field(ge=0.0, le=1.0)]
Widths = tuple[Count, ...]
Kind = TypeVar("Kind")


class StrictPart(BaseModel):
    """Part of a recipe; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(StrictPart):
    """Length and boldness; see `trainer.Plan`."""

    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0.0)]
    weight_decay: Share = 0.05
    seed: int = 0

    def plan(self) -> Plan:
        """What the trainer needs of it."""
        return Plan(self.steps, self.learning_rate, self.weight_decay, seed=self.seed)


class Virtual(StrictPart):
    """Pictures of virtual sites with three cameras each."""

    places: Count
    frames: Count
    people: Count
    seed: int
    weight: Share = 1.0

    def plan(self) -> ViewPlan:
        """Which pictures these are."""
        return ViewPlan(self.places, self.frames, self.people, self.seed)


class Videos(StrictPart):
    """Frames spread evenly over each video."""

    paths: tuple[str, ...]
    frames: Count
    weight: Share = 1.0


class Labelled(StrictPart):
    """A folder of pictures and the folder of its labels."""

    images: str
    labels: str
    weight: Share = 1.0


class DetectorPictures(StrictPart):
    """What a detector learns from; weights say how often each is drawn from."""

    longest: Count
    labelled: tuple[Labelled, ...] = ()
    videos: Videos | None = None
    virtual: Virtual | None = None


class DetectorShape(StrictPart):
    """See `detector_network.DetectorNetwork`."""

    widths: Widths
    depths: Widths
    neck: Count
    classes: Count


class DetectorRecipe(StrictPart):
    """How a detector is made.

    Attributes:
        start: Name of a recipe whose model this one begins with, its work folder beside this one's; None for random
            weights.
        kept: Part of those weights that stays in the end, see `graph_weights.keep_weights`.
        train_size: Side of the pictures that it learns from.
        height: Of its own input; it takes others as well.
        width: The same.
        evaluate: Folders of pictures with the folders of their labels, scored in the end.
    """

    task: Literal["detect"]
    name: str
    licence: str
    trained_on: tuple[str, ...]
    train_size: Count
    height: Count
    width: Count
    network: DetectorShape
    teacher: str
    start: str | None = None
    kept: Part = 0.0
    pictures: DetectorPictures
    training: Training
    evaluate: tuple[Labelled, ...] = ()


class DetectedCrops(StrictPart):
    """Crops of the people whom a detector finds in videos."""

    paths: tuple[str, ...]
    frames: Count
    detector: str


class Crops(StrictPart):
    """What an encoder learns from.

    Attributes:
        swaps: New people put together from halves of two, as a share of each source's crops.
        recolours: New people with other hues, the same.
        blurred: Part of the crops, each time they are shown, whose heads are blurred as a site blurs them.
    """

    folders: tuple[str, ...] = ()
    labelled: tuple[Labelled, ...] = ()
    virtual: Virtual | None = None
    videos: DetectedCrops | None = None
    swaps: Share = 0.0
    recolours: Share = 0.0
    blurred: Share = 0.0


class EncoderShape(StrictPart):
    """See `encoder_network.build_encoder_network`; `dim` is by default the teacher's."""

    backbone: str
    keep_resolution: bool = False
    dim: Count | None = None


class EncoderRecipe(StrictPart):
    """How an encoder is made.

    Attributes:
        start: Name of a recipe whose model this one begins with, its work folder beside this one's; None for random
            weights.
        kept: Part of those weights that stays in the end, see `graph_weights.keep_weights`.
        evaluate: Folders with `query` and `bounding_box_test`, scored in the end.
    """

    task: Literal["reid"]
    name: str
    licence: str
    trained_on: tuple[str, ...]
    height: Count
    width: Count
    network: EncoderShape
    teacher: str
    start: str | None = None
    kept: Part = 0.0
    crops: Crops
    training: Training
    evaluate: tuple[str, ...] = ()


Recipe = Annotated[DetectorRecipe | EncoderRecipe, Field(discriminator="task")]


def find_recipe(name_or_path: str) -> Path:
    """The file of a recipe: a path, or the name of one that is shipped with the program.

    Raises:
        ConfigError: There is neither.
    """
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    shipped = {path.stem: path for path in shipped_recipes()}
    if name_or_path not in shipped:
        names = ", ".join(sorted(shipped))
        raise ConfigError(f"{name_or_path}: no such recipe: expected a YAML file, or one of {names}")
    return shipped[name_or_path]


def shipped_recipes() -> list[Path]:
    """The files of the recipes that are shipped with the program."""
    folder = Path(str(files("reid_pipeline.configs"))) / "recipes"
    return sorted(folder.glob("*.yaml"))


def load_recipe(path: Path) -> DetectorRecipe | EncoderRecipe:
    """Reads a recipe.

    Raises:
        ConfigError: It cannot be read, or says something that it may not.
    """
    recipe: TypeAdapter[DetectorRecipe | EncoderRecipe] = TypeAdapter(Recipe)
    return read_recipe(path, recipe)


def read_recipe(path: Path, kind: TypeAdapter[Kind]) -> Kind:
    """Reads a YAML file as one kind of recipe.

    Raises:
        ConfigError: It cannot be read, or says something that it may not.
    """
    try:
        return kind.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError(f"{path}: {key}: {str(first.get('input'))[:80]!r}: {first['msg']}") from error
