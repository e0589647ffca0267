"""The models that can be pulled by name: ``model_catalogue.yaml``, checked; and the pulling of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from reid_pipeline.storage.download import RemoteFile, fetch_file
from reid_pipeline.storage.model_card import InputCard, Model, ModelCard, OutputCard, write_card
from reid_pipeline.storage.model_registry import ModelRegistry

CATALOGUE: Final = "model_catalogue.yaml"


class CatalogueFile(BaseModel):
    """One file of a model, with the one hash that its publisher gives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+\.(xml|bin|onnx)$")]
    url: Annotated[str, Field(pattern=r"^https://")]
    size: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    sha384: Annotated[str, Field(pattern=r"^[0-9a-f]{96}$")] | None = None

    @model_validator(mode="after")
    def _has_one_hash(self) -> Self:
        if (self.sha256 is None) == (self.sha384 is None):
            raise ValueError("expected either sha256 or sha384")
        return self

    def remote(self) -> RemoteFile:
        """What to download."""
        algorithm: Literal["sha256", "sha384"] = "sha256" if self.sha256 else "sha384"
        return RemoteFile(self.name, self.url, self.size, algorithm, self.sha256 or self.sha384 or "")


class CatalogueModel(BaseModel):
    """A model that can be pulled, as its card will say; the graph is the first file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["reid", "detect"]
    licence: str
    trained_on: tuple[str, ...]
    input: InputCard
    output: OutputCard
    files: Annotated[tuple[CatalogueFile, ...], Field(min_length=1)]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def card(self, name: str) -> ModelCard:
        """The card; the hashes are filled in when the files are there."""
        return ModelCard(
            name=name,
            task=self.task,
            graph=self.files[0].name,
            sha256={file.name: "" for file in self.files},
            input=self.input,
            output=self.output,
            licence=self.licence,
            trained_on=self.trained_on,
        )


@cache
def read_catalogue() -> Mapping[str, CatalogueModel]:
    """The models of the catalogue by name."""
    text = (files("reid_pipeline.storage") / CATALOGUE).read_text(encoding="utf-8")
    return {name: CatalogueModel.model_validate(entry) for name, entry in yaml.safe_load(text)["models"].items()}


def pull_model(
    name: str, wanted: CatalogueModel, registry: ModelRegistry, progress: Callable[[int, int], None]
) -> Model:
    """Downloads a model into the registry. What an interrupted pull had fetched is used by the next one.

    Args:
        name: Name of the model.
        wanted: Its entry of the catalogue.
        registry: Gets the model.
        progress: Called with the bytes that are there, and with how many it will be.

    Raises:
        ModelError: The name is taken by another model.
        DownloadFailed: A file cannot be had, or is not what the catalogue says.
    """
    registry.check_free(name)
    work = registry.home / f".pull-{name}"
    work.mkdir(exist_ok=True)
    done = 0
    for file in wanted.files:
        fetch_file(file.remote(), work, _shifted(progress, done, wanted.size))
        done += file.size
    model = write_card(wanted.card(name), work)
    folder = registry.install(work, name)
    return Model(model.card, folder / model.graph.name, model.files)


def _shifted(progress: Callable[[int, int], None], done: int, total: int) -> Callable[[int], None]:
    return lambda received: progress(done + received, total)
