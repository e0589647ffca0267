"""What is searched for: a picture, an identity or a tracklet, turned into a look for each model of the site."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from reid_pipeline.configs.settings import DetectorSettings, EncoderSettings
from reid_pipeline.pipeline.calibration import Calibration, load_calibration
from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.encoder import stated_difference
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.image_folder import read_image
from reid_pipeline.pipeline.journey import find_journey
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.protocols import Detector, TrackletKey
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions
from reid_pipeline.pipeline.search import Query
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.pipeline.tracklet_looks import TrackletLooks, read_all_looks
from reid_pipeline.pipeline.views import USUAL_ASPECT, cut
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model, load_model
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.records import ModelRecord
from reid_pipeline.storage.tracklet_views import ViewFilter

logger = logging.getLogger(__name__)

PixelBox = tuple[int, int, int, int]

_CROP_COVER: Final = 0.25  # of a crop; where two detectors found anything in 150 of Market-1501, it was more in 95 %


@dataclass(frozen=True, slots=True, eq=False)
class PersonInPicture:
    """The person of a picture that is searched for.

    Attributes:
        pixels: The part of the picture that shows the person.
        persons: How many the detector found.
        box: Where the largest of them is, x1 y1 x2 y2; None where the whole picture is taken.
    """

    pixels: Image
    persons: int
    box: PixelBox | None


def query_of_identity(site: SiteData, identity: int) -> Query:
    """Searches for others who may be an identity, or whom it was merged into.

    Raises:
        InputError: There is no such identity, or nothing of it to compare.
    """
    survivor = find_journey(site.repository, identity).identity
    return _query_of_stored(site, ViewFilter(identity=survivor), f"identity {identity}")


def query_of_tracklet(site: SiteData, key: TrackletKey) -> Query:
    """Searches for others who may be who a tracklet shows.

    Raises:
        InputError: There is no such tracklet, or nothing of it to compare.
    """
    return _query_of_stored(site, ViewFilter(tracklet=key), f"sighting {key[0]}:{key[1]}")


def query_of_picture(site: SiteData, person: PersonInPicture) -> Query:
    """Encodes a person with each model of which the site has embeddings; one that is gone is warned of and left out.

    Raises:
        InputError: The site has no embeddings.
        ModelError: None of its models is left.
    """
    looks = {}
    for record in models_in_use(site):
        model = find_by_hash(site, record.hash)
        if model is None:
            logger.warning("%s (%s) is gone: what it saw is not searched", record.name, record.hash[:12])
            continue
        settings = EncoderSettings.model_validate(_section(site, "encoder", ("runtime", "trust")))
        encoder = build_encoder(model.graph, options=RuntimeOptions(settings.runtime, settings.trust))
        looks[record.hash] = encoder.encode([person.pixels])[0]
    if not looks:
        raise ModelError(
            "none of the encoders of this site is left: restore one, or search by --identity or --sighting"
        )
    return Query(looks)


def read_person(site: SiteData, path: Path) -> PersonInPicture:
    """Reads a picture and finds the largest person in it.

    Raises:
        InputError: It cannot be read.
        ModelError: The detector of the site cannot be used.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a picture of a person, .jpg or .png")
    image = read_image(path)
    settings = DetectorSettings.model_validate(_section(site, "detector", tuple(DetectorSettings.model_fields)))
    options = RuntimeOptions(settings.runtime, settings.trust)
    detector = build_detector(settings.model, settings.min_confidence, options=options, data_dir=site.database.data_dir)
    return find_person(image, detector)


def find_person(image: Image, detector: Detector) -> PersonInPicture:
    """The largest person that a detector finds in an image; all of it where it finds none, or the image is a crop."""
    found = detector.submit(detector.prepare(image), (image.shape[0], image.shape[1]), lambda: None).result()
    if not len(found):
        return PersonInPicture(image, 0, None)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    if _is_crop(image, float(areas.max())):
        return PersonInPicture(image, len(found), None)
    largest = found.boxes[int(np.argmax(areas))]
    x1, y1, x2, y2 = (round(value) for value in largest.tolist())
    return PersonInPicture(cut(image, largest), len(found), (x1, y1, x2, y2))


def _is_crop(image: Image, largest_px: float) -> bool:
    """Whether an image shows one person from edge to edge. In such a one a detector often finds but a part of it."""
    height, width = image.shape[:2]
    upright: bool = USUAL_ASPECT[0] < height / width < USUAL_ASPECT[1]
    return upright and largest_px >= _CROP_COVER * height * width


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


def calibration_of(site: SiteData, model_hash: str) -> Calibration:
    """What the similarities by a model mean on a site, as far as the site or the model's card tells."""
    found = load_calibration(site.repository, model_hash)
    if found.learnt:
        return found
    model = find_by_hash(site, model_hash)
    return load_calibration(site.repository, model_hash, None if model is None else stated_difference(model))


def _query_of_stored(site: SiteData, wanted: ViewFilter, name: str) -> Query:
    known: dict[str, TrackletLooks] = {}
    for model in models_in_use(site):
        own = read_all_looks(site.repository, model.hash, wanted)
        if own is not None:
            known[model.hash] = own
    if not known:
        raise InputError(
            f"{name}: nothing is stored to compare it by: expected one that `identity list` or `journey` shows"
        )
    tracklets = tuple(dict.fromkeys(each for own in known.values() for each in own.tracklets))
    cameras = {each.camera for each in tracklets}
    looks = {model_hash: own.looks.mean(axis=0) for model_hash, own in known.items()}
    return Query(looks, cameras.pop() if len(cameras) == 1 else None, tracklets)


def _section(site: SiteData, name: str, keys: Sequence[str]) -> dict[str, object]:
    """The settings of a section that differ from the default."""
    return {key: site.settings[f"{name}.{key}"] for key in keys if f"{name}.{key}" in site.settings}
