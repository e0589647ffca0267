"""Promotion of encoders: what an operator does to decide which one serves a site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reid_pipeline.configs.loading import load_settings
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database, open_database
from reid_pipeline.storage.database_link import has_site
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.promotions import Promotion, PromotionLog, Promotions
from reid_pipeline.storage.repository import Repository


@dataclass(frozen=True, slots=True)
class SiteModels:
    """The models of a site.

    Attributes:
        data_dir: Where it is.
        base: Hash of its configured encoder; None where that is not known.
        config: Its cameras.yaml, where that was given.
    """

    data_dir: Path
    base: str | None
    config: Path | None = None

    @property
    def log(self) -> PromotionLog:
        """Who was promoted."""
        return PromotionLog(self.data_dir)

    @property
    def registry(self) -> ModelRegistry:
        """All models that the site can use."""
        return ModelRegistry(self.data_dir)

    def promoted(self) -> list[Promotion]:
        """The promotions in force, oldest first."""
        return self.log.promoted(self.base) if self.base else []

    def promote(self, name: str, reason: str, actor: str | None = None) -> Promotion:
        """Lets a model serve from the next run on; its files are checked, and it is accounted for.

        Where the configured encoder is not known, it is taken to be the model's first ancestor.

        Args:
            name: Of the model, or its path.
            reason: Why, for the logs.
            actor: Who decides; by default the user of the operating system.

        Raises:
            ModelError: There is no such model, it is broken, or does not descend from the configured encoder.
            NotAllowed: They may not.
        """
        model = load_model(self.registry.find(name))
        lineage = self.log.lineage(model, self.registry)
        base = self.base or (lineage[-1] if lineage else None)
        if base is None:
            raise ModelError(
                f"{name}: has no parent: only models adapted from an encoder are promoted; to use it, set "
                "encoder.model to it"
            )
        with self._decisions(actor) as promotions:
            return promotions.promote(model, base, self.registry, reason)

    def roll_back(self, reason: str, actor: str | None = None) -> tuple[Promotion, str]:
        """Takes the last promotion back; returns it and the hash of what serves now. Arguments as of `promote`.

        Raises:
            ModelError: The configured encoder itself serves.
            NotAllowed: They may not.
        """
        base = self.base
        if base is None:
            raise ModelError(f"{self.log.path}: nothing to roll back: no model was promoted here")
        self.log.last(base)  # before a folder becomes a site for nothing
        with self._decisions(actor) as promotions:
            undone = promotions.roll_back(base, reason)
        return undone, self.log.serving(base)

    @contextmanager
    def _decisions(self, actor: str | None) -> Iterator[Promotions]:
        folder = None if self.config is not None else self.data_dir
        with open_site(self.config, folder, create=True, actor=actor) as site:
            yield Promotions(site.database, site.access)


def open_site_models(data_dir: Path | None, config: Path | None) -> SiteModels:
    """Finds out what a site's configured encoder is: from its cameras.yaml, else its last run, else its promotions.

    Args:
        data_dir: The folder of the site.
        config: Its cameras.yaml, which names that folder too.

    Raises:
        ModelError: The encoder that cameras.yaml names is not there, or both or neither were given.
    """
    if (data_dir is None) == (config is None):
        raise ModelError("expected either --data DIR or --config CAMERAS.YAML")
    if config is not None:
        settings = load_settings(config)
        folder = settings.site.data_dir
        base = load_model(find_model(settings.encoder.model, "encoder", folder)).identity
        return SiteModels(folder, base, config)
    folder = data_dir or Path()
    if not has_site(folder):
        return SiteModels(folder, _base_of_log(folder))
    with open_database(folder) as database:
        return models_of(database)


def models_of(database: Database) -> SiteModels:
    """The models of an open site; its configured encoder is that of its last run, else of its promotions."""
    folder = database.data_dir
    return SiteModels(folder, _base_of_last_run(database) or _base_of_log(folder))


def _base_of_last_run(database: Database) -> str | None:
    used = Repository(database, CropStore(database.data_dir)).last_models().get("reid")
    base = used.get("base") if isinstance(used, dict) else None
    return base if isinstance(base, str) else None


def _base_of_log(data_dir: Path) -> str | None:
    entries = PromotionLog(data_dir).read()
    return entries[-1].base if entries else None
