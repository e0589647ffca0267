"""`replay --data`: the tracklets of a recorded site with other association settings. Nothing of the site changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import comb
from pathlib import Path
from typing import Final

import numpy as np

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
from reid_pipeline.pipeline.camera_analysis import is_whole, stand
from reid_pipeline.pipeline.encoder import stated_difference
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.protocols import TrackletFeet, TrackletKey
from reid_pipeline.pipeline.replay import RecordedTracklet, RecordedView, Replayed, replay
from reid_pipeline.pipeline.tracks import write_mtmc
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.model_card import load_model
from reid_pipeline.storage.model_registry import ModelRegistry
from reid_pipeline.storage.records import GalleryRow, TrackletBoxes
from reid_pipeline.storage.repository import Repository

logger = logging.getLogger(__name__)

Identities = Mapping[TrackletKey, int]

_FOREVER_US: Final = 2**62


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two ways of giving identities to the same tracklets agree, counted over pairs of tracklets.

    Attributes:
        before: Pairs that shared an identity before.
        after: Pairs that share one now.
        both: Pairs that did and do.
    """

    before: int
    after: int
    both: int

    @property
    def precision(self) -> float:
        """Which part of the pairs that share an identity now did before; 1 where there are none."""
        return self.both / self.after if self.after else 1.0

    @property
    def recall(self) -> float:
        """Which part of the pairs that shared an identity before still do; 1 where there were none."""
        return self.both / self.before if self.before else 1.0

    @property
    def changed(self) -> int:
        """Pairs that were joined or parted."""
        return self.before + self.after - 2 * self.both


@dataclass(frozen=True, slots=True, eq=False)
class SiteReplay:
    """What came of it: who the tracklets were, and who they are now."""

    before: Identities
    replayed: Replayed
    agreement: Agreement

    def as_dict(self) -> dict[str, float]:
        """Names the figures as the command prints them."""
        return {
            "tracklets": len(self.before),
            "identities_before": len(set(self.before.values())),
            "identities": len(set(self.replayed.identities.values())),
            "pairs_changed": self.agreement.changed,
            "pair_precision": self.agreement.precision,
            "pair_recall": self.agreement.recall,
            "decisions_s": round(self.replayed.decisions_s, 1),
        }


def replay_site(
    data_dir: Path, settings: AssociationSettings, *, topology: bool = True, out: Path | None = None
) -> SiteReplay:
    """Sends all tracklets of a site that have embeddings of the encoder used last through an associator.

    Args:
        data_dir: The folder of the site.
        settings: The other settings.
        topology: As in `build_associator`.
        out: Where to write ``tracks/mtmc.txt`` with the new identities: of each camera the source read last, as `run`
            does. None: nowhere.

    Raises:
        InputError: No run has left embeddings here.
        DataDirError: There is no site here.
    """
    with open_database(data_dir, create=False) as database:
        repository = Repository(database, CropStore(data_dir))
        model_hash = _last_encoder(repository)
        rows = sorted(repository.gallery(model_hash, 0), key=_key) if model_hash else []
        if not rows or model_hash is None:
            raise InputError(f"{data_dir}: no run has left embeddings here; expected the data_dir of a run")
        feet = _read_feet(repository)
        tracklets = [_record(list(group), feet.get(key)) for key, group in groupby(rows, key=_key)]
        space = _space(model_hash, data_dir, len(rows[0].vector))
        replayed = replay(tracklets, build_associator(settings, space, topology=topology))
        if out is not None:
            cameras = {name: list(repository.tracklet_boxes(name)) for name in repository.camera_names()}
            write_mtmc(out / "tracks" / "mtmc.txt", _rename(cameras, replayed.identities))
    before = {_key(row): row.identity for row in rows}
    return SiteReplay(before, replayed, compare(before, replayed.identities))


def compare(before: Identities, after: Identities) -> Agreement:
    """Compares the identities of the tracklets in `before`; one that has none afterwards shares it with nobody."""
    groups = [(identity, after.get(key)) for key, identity in before.items()]
    together = [new for _, new in groups if new is not None]
    both = [group for group in groups if group[1] is not None]
    return Agreement(_pairs(before.values()), _pairs(together), _pairs(both))


def _pairs(labels: Iterable[object]) -> int:
    return sum(comb(count, 2) for count in Counter(labels).values())


def _last_encoder(repository: Repository) -> str | None:
    match repository.last_models().get("reid"):
        case {"hash": str(model_hash)}:
            return model_hash
        case _:
            return None


def _space(model_hash: str, data_dir: Path, dim: int) -> EmbeddingSpace:
    entry = ModelRegistry(data_dir).find_hash(model_hash)
    if entry is None:
        logger.warning("the encoder %s is in no registry: what its card says of similarities is not used", model_hash)
        return EmbeddingSpace(dim)
    return EmbeddingSpace(dim, stated_difference(load_model(entry.folder)))


def _key(row: GalleryRow) -> TrackletKey:
    return row.camera, row.number


def _record(rows: Sequence[GalleryRow], feet: TrackletFeet | None) -> RecordedTracklet:
    views = tuple(RecordedView(row.time_us, row.vector, row.quality) for row in rows)
    return RecordedTracklet(rows[0].camera, rows[0].number, rows[0].first_us, rows[0].last_us, views, feet)


def _read_feet(repository: Repository) -> dict[TrackletKey, TrackletFeet]:
    """Where everybody stood. How large a camera's picture was is not kept: it reaches as far as its boxes do."""
    found = {}
    for camera in repository.camera_names():
        tracklets = list(repository.tracklet_boxes_between(camera, 0, _FOREVER_US))
        if tracklets:
            right, bottom = np.max([each.boxes[:, 2:].max(axis=0) for each in tracklets], axis=0).tolist()
            for each in tracklets:
                whole = is_whole(each.boxes, (bottom, right))
                feet = TrackletFeet(each.number, each.times_us[whole], stand(each.boxes[whole]))
                found[camera, each.number] = feet
    return found


def _rename(cameras: Mapping[str, Sequence[TrackletBoxes]], identities: Identities) -> dict[str, list[TrackletBoxes]]:
    return {
        camera: [replace(each, identity=identities.get((camera, each.number))) for each in tracklets]
        for camera, tracklets in cameras.items()
    }
