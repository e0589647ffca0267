"""Stored crops embedded anew before another encoder serves; the old one goes on until it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import CropError
from reid_pipeline.storage.records import ModelRecord
from reid_pipeline.storage.reembedding import Backlog, StoredCrop
from reid_pipeline.storage.repository import Repository

_AT_ONCE: Final = 128


def embed_stored(
    database: Database,
    encoder: GraphEncoder,
    report: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Embeds every stored crop that the encoder's model has not embedded yet; a run may go on beside it.

    Args:
        database: Of the site.
        encoder: What serves next; its model is registered where it is new.
        report: Told how many of how many are done.

    Returns:
        How many embeddings were added.
    """
    store = CropStore(database.data_dir, database.vault)
    record = ModelRecord(encoder.model_hash, encoder.model.name, "reid", encoder.model.licence)
    Repository(database, store).register_model(record)
    backlog = Backlog(database, encoder.model_hash)
    total, done = len(backlog), 0
    before: int | None = None
    while block := backlog.next(_AT_ONCE, before):
        before = block[-1].id
        known = [(crop.id, image) for crop, image in _read(store, block)]
        if known:
            ids, images = zip(*known, strict=True)
            backlog.add(ids, encoder.encode(images))
            done += len(ids)
        report(done, max(total, done))
    return done


def _read(store: CropStore, crops: Sequence[StoredCrop]) -> list[tuple[StoredCrop, Image]]:
    """The pictures that are still there and whole."""
    found = []
    for crop in crops:
        try:
            content = np.frombuffer(store.read(crop.path), np.uint8)
        except CropError:
            continue
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if image is not None:
            found.append((crop, np.asarray(image, np.uint8)))
    return found
