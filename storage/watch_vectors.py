"""The examples of watch lists as they are stored: sealed on an encrypted site, by a key that goes with their entry.

Each entry has one key. A picture that somebody brought is of no camera and no day: in ``data_keys`` the key stands with
the site's first camera, which never changes, and the number of the entry is in the place of the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, delete, func, insert, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.encryption import Kind, Place, Vault
from reid_pipeline.storage.errors import WatchRefused
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, DataKey, Model, Tracklet
from reid_pipeline.storage.schema_governance import WatchExample


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """How somebody looks to a model: ``(D,) float32`` of norm 1; `tracklet` where it is of one, and goes with it."""

    model_hash: str
    vector: NDArray[np.float32]
    tracklet: tuple[str, int] | None = None


def store_examples(connection: Connection, vault: Vault, entry: int, examples: Sequence[Example]) -> None:
    """Stores the examples of an entry, in the transaction that adds it.

    Raises:
        UnknownRecord: There is no such model or tracklet.
        WatchRefused: No camera was read yet.
    """
    if not examples:
        return
    rows, sealer, place = RowIds(), vault.sealer(connection), _place(connection, entry)
    values = [
        {
            "entry_id": entry,
            "model_id": rows.model(connection, each.model_hash),
            "tracklet_id": None if each.tracklet is None else rows.tracklet(connection, *each.tracklet),
            "vector": sealer.seal(place, _name(entry, each.model_hash, each.tracklet), _bytes_of(each.vector)),
        }
        for each in examples
    ]
    connection.execute(insert(WatchExample), values)


def read_examples(session: Session, vault: Vault, entry: int) -> dict[str, NDArray[np.float32]]:
    """The examples ``(N, D)`` of an entry by the hash of their model, in the order in which they were given.

    Raises:
        SealBroken: One was changed, or its key is gone.
    """
    rows = session.execute(
        select(Model.hash, WatchExample.vector, Camera.name, Tracklet.number)
        .join(Model, Model.id == WatchExample.model_id)
        .outerjoin(Tracklet, Tracklet.id == WatchExample.tracklet_id)
        .outerjoin(Camera, Camera.id == Tracklet.camera_id)
        .where(WatchExample.entry_id == entry)
        .order_by(WatchExample.id)
    ).all()
    if not rows:
        return {}
    place = _place(session.connection(), entry)
    found: dict[str, list[NDArray[np.float32]]] = {}
    for model_hash, stored, camera, number in rows:
        name = _name(entry, model_hash, None if camera is None else (camera, number))
        content = vault.open(place, name, stored, session)
        found.setdefault(model_hash, []).append(np.frombuffer(content, "<f4").astype(np.float32))
    return {model_hash: np.stack(vectors) for model_hash, vectors in found.items()}


def count_examples(connection: Connection) -> dict[int, dict[str, int]]:
    """How many each entry has of each model, by its hash."""
    query = select(WatchExample.entry_id, Model.hash, func.count()).join(Model, Model.id == WatchExample.model_id)
    found: dict[int, dict[str, int]] = {}
    for entry, model_hash, count in connection.execute(query.group_by(WatchExample.entry_id, Model.hash)):
        found.setdefault(entry, {})[model_hash] = count
    return found


def remove_examples(connection: Connection, entries: Sequence[int] | Select[int]) -> int:
    """Removes the examples of entries and the keys that they are sealed by; returns how many examples.

    They are out of the files of the database after `Database.forget_writes`.
    """
    first = select(Camera.id).order_by(Camera.id).limit(1).scalar_subquery()
    keys = delete(DataKey).where(DataKey.camera_id == first, DataKey.day.in_(entries), DataKey.kind == Kind.WATCH.value)
    connection.execute(keys)
    return connection.execute(delete(WatchExample).where(WatchExample.entry_id.in_(entries))).rowcount


def _bytes_of(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()


def _place(connection: Connection, entry: int) -> Place:
    camera = connection.scalar(select(Camera.name).order_by(Camera.id).limit(1))
    if camera is None:
        raise WatchRefused("no camera was read yet: expected a site that saw somebody, or an identity")
    return Place(Kind.WATCH, camera, entry)


def _name(entry: int, model_hash: str, tracklet: tuple[str, int] | None) -> str:
    """What an example is: it opens in no other entry, as of no other model and no other tracklet."""
    return " ".join((str(entry), model_hash, *map(str, tracklet or ())))
