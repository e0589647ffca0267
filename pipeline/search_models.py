"""The models that searches of a site need, opened when first used and kept, and what their similarities mean."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from reid_pipeline.configs.settings import DetectorSettings, EncoderSettings
from reid_pipeline.pipeline.calibration import Calibration, load_calibration
from reid_pipeline.pipeline.encoder import stated_difference
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.protocols import Detector, Encoder
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model, load_model
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.records import ModelRecord

logger = logging.getLogger(__name__)


class SearchModels:
    """Keeps the detector and the encoders of one site. One thread at a time may use it.

    Args:
        site: The site; whose access it has does not matter here.
    """

    def __init__(self, site: SiteData) -> None:
        self._site = site
        self._detector: Detector | None = None
        self._models: dict[str, Model | None] = {}
        self._encoders: dict[str, Encoder | None] = {}

    def detector(self) -> Detector:
        """The detector of the site.

        Raises:
            ModelError: It cannot be used.
        """
        if self._detector is None:
            settings = DetectorSettings.model_validate(
                _section(self._site, "detector", tuple(DetectorSettings.model_fields))
            )
            self._detector = build_detector(
                settings.model,
                settings.min_confidence,
                options=RuntimeOptions(settings.runtime, settings.trust),
                data_dir=self._site.database.data_dir,
            )
        return self._detector

    def encoder(self, model: ModelRecord) -> Encoder | None:
        """An encoder by which embeddings are stored; None, with a warning at first, where it is gone."""
        if model.hash not in self._encoders:
            self._encoders[model.hash] = self._open(model)
        return self._encoders[model.hash]

    def calibration(self, model_hash: str) -> Calibration:
        """What the similarities by a model mean here, as far as the site or the model's card tells."""
        found = load_calibration(self._site.repository, model_hash)
        if found.learnt:
            return found
        model = self._model(model_hash)
        return load_calibration(self._site.repository, model_hash, None if model is None else stated_difference(model))

    def _open(self, record: ModelRecord) -> Encoder | None:
        model = self._model(record.hash)
        if model is None:
            logger.warning("%s (%s) is gone: what it saw is not searched", record.name, record.hash[:12])
            return None
        settings = EncoderSettings.model_validate(_section(self._site, "encoder", ("runtime", "trust")))
        return build_encoder(model.graph, options=RuntimeOptions(settings.runtime, settings.trust))

    def _model(self, model_hash: str) -> Model | None:
        if model_hash not in self._models:
            self._models[model_hash] = find_by_hash(self._site, model_hash)
        return self._models[model_hash]


def models_in_use(site: SiteData) -> Sequence[ModelRecord]:
    """The models of which the site has embeddings.

    Raises:
        InputError: There is none.
    """
    models = site.repository.embedding_models()
    if not models:
        raise InputError(f"{site.database.data_dir}: no run has left embeddings here; expected the data_dir of a run")
    return models


def find_by_hash(site: SiteData, model_hash: str) -> Model | None:
    """The model of a hash: one of the registry, or the one that the site is configured with; None where it is gone."""
    entry = ModelRegistry(site.database.data_dir).find_hash(model_hash)
    if entry is not None:
        return load_model(entry.folder)
    settings = EncoderSettings.model_validate(_section(site, "encoder", ("model",)))
    try:
        model = load_model(find_model(settings.model, "encoder", site.database.data_dir))
    except ModelError:
        return None
    return model if model.identity == model_hash else None


def _section(site: SiteData, name: str, keys: Sequence[str]) -> dict[str, object]:
    """The settings of a section that differ from the default."""
    return {key: site.settings[f"{name}.{key}"] for key in keys if f"{name}.{key}" in site.settings}
