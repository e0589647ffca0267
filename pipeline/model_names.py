"""Which model a setting names, and which encoder serves a site. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from reid_pipeline.configs.settings import Settings
from reid_pipeline.storage.errors import ModelError, PromotedModelMissing
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_catalogue import read_catalogue
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.promotions import serving_entry

Part = Literal["detector", "encoder"]

_BUNDLED: Final[dict[Part, str]] = {"detector": "bundled-detector", "encoder": "bundled"}


@dataclass(frozen=True, slots=True)
class ServingEncoder:
    """Which encoder works for a site.

    Attributes:
        path: Its folder or graph.
        base: Hash of the encoder that the site is configured with; None where that has no card.
        promoted: Name of the descendant that was promoted; None where the base itself serves.
    """

    path: Path
    base: str | None
    promoted: str | None


def find_model(model: str, part: Part, data_dir: Path | None = None) -> Path:
    """Finds the model that a setting names; what is found may still be broken.

    Args:
        model: The setting.
        part: Whose setting: it decides what ``bundled`` means.
        data_dir: The folder of the site, whose models are searched first.

    Raises:
        ModelError: There is no such model.
    """
    name = _BUNDLED[part] if model == "bundled" else model
    registry = ModelRegistry(data_dir)
    if name in read_catalogue() and not Path(name).exists() and registry.find_name(name) is None:
        raise ModelError(f"{part}.model: {model}: not on this machine yet: reid-pipeline model pull {name}")
    try:
        return registry.find(name)
    except ModelError as error:
        raise ModelError(f"{part}.model: {error}") from error


def serving_encoder(settings: Settings) -> ServingEncoder:
    """Which encoder works for a site: the configured one, or what was last promoted of those adapted from it.

    Raises:
        ModelError: There is no such model.
        PromotedModelMissing: The promoted one is gone or changed.
    """
    data_dir = settings.site.data_dir
    path = find_model(settings.encoder.model, "encoder", data_dir)
    base = load_model(path).identity
    promotion = serving_entry(data_dir, base) if base and not settings.encoder.pinned else None
    if promotion is None:
        return ServingEncoder(path, base, None)
    found = ModelRegistry(data_dir).find_hash(promotion.hash)
    if found is None:
        raise PromotedModelMissing(
            f"encoder.model: the promoted model {promotion.name} ({promotion.hash[:12]}) is gone or changed: "
            f"restore it, or: reid-pipeline model rollback --data {data_dir}"
        )
    return ServingEncoder(found.folder, base, promotion.name)
