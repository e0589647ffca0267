"""What is searched for: a picture, an identity or a tracklet, turned into a look for each model of the site."""

from __future__ import annotations

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.head_blur import blur_head
from reid_pipeline.pipeline.journey import find_journey
from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.search import Query
from reid_pipeline.pipeline.search_models import SearchModels, models_in_use
from reid_pipeline.pipeline.search_picture import PersonInPicture
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.pipeline.tracklet_looks import TrackletLooks, read_all_looks
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.tracklet_views import ViewFilter


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


def query_of_picture(site: SiteData, person: PersonInPicture, models: SearchModels) -> Query:
    """Encodes a person with each model of which the site has embeddings; one that is gone is warned of and left out.

    Raises:
        InputError: The site has no embeddings.
        ModelError: None of its models is left.
    """
    looks = {}
    pixels = blur_head(person.pixels) if site.blurs_heads else person.pixels
    for record in models_in_use(site):
        encoder = models.encoder(record)
        if encoder is not None:
            looks[record.hash] = encoder.encode([pixels])[0]
    if not looks:
        raise ModelError(
            "none of the encoders of this site is left: restore one, or search by --identity or --sighting"
        )
    return Query(looks)


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
    counts = {model_hash: len(own.looks) for model_hash, own in known.items()}
    return Query(looks, cameras.pop() if len(cameras) == 1 else None, tracklets, counts)
