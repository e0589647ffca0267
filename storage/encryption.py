"""Encryption at rest: what a camera gave on a day has a key of its own, so that it is gone for good once that is.

Contents are sealed with AES-256-GCM: four bytes that no picture and no vector begins with, a random nonce of 96 bits,
the ciphertext and its tag of 128 bits. What a content is goes into the tag, so that none can be put in another's place.
Each kind of content has a key for each camera and day, and each entry of a watch list has one (`Place`). They lie in
the table ``data_keys``, encrypted by the master key, which is not on the site (`master_key`). Without the row of its
key a content is noise, also in a copy of the disk: whoever removes contents calls `shred_keys`.
Source: NIST SP 800-38D; SP 800-88 on erasure by keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Select, delete, insert, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.errors import KeyShredded, MasterKeyError, SealBroken, UnknownRecord
from reid_pipeline.storage.schema import Camera, Clip, Crop, DataKey, Embedding, Model, Tracklet
from reid_pipeline.storage.schema_governance import WatchExample
from reid_pipeline.storage.schema_learning import CorpusItem, CorpusOrigin, CorpusShard, CorpusTracklet

SEALED: Final = b"R1\xff\xff"  # as a number of 32 bits none, so no vector begins so; nor does a JPEG or an MP4
DAY_US: Final = 86_400_000_000
OVERHEAD: Final = 32  # bytes that sealing adds
_NONCE: Final = 12


class Kind(StrEnum):
    """What is sealed; each kind has its own retention time."""

    CROPS = "crops"
    EMBEDDINGS = "embeddings"
    CORPUS = "corpus"
    CLIPS = "clips"
    WATCH = "watch examples"  # these go with their entry


class Place(NamedTuple):
    """What has a key of its own: a kind of content of a camera, by its name, and a day since 1970 UTC.

    Of `Kind.WATCH` it is an entry of a watch list, whose number is in the place of the day: see `watch_vectors`.
    """

    kind: Kind
    camera: str
    day: int

    @classmethod
    def at(cls, kind: Kind, camera: str, time_us: int) -> Place:
        """The place of what was taken at a time."""
        return cls(kind, camera, time_us // DAY_US)

    @property
    def words(self) -> str:
        """What it is, for people."""
        whose = f"entry {self.day}" if self.kind is Kind.WATCH else f"{self.camera}, day {self.day}"
        return f"{self.kind} of {whose}"


class Sealer:
    """Seals what one transaction stores; keys that are missing are made in it. Nothing is sealed without a master key.

    Args:
        connection: Of the transaction, which writes.
        master: Encrypts the keys.
    """

    def __init__(self, connection: Connection, master: AESGCM | None) -> None:
        self._connection = connection
        self._master = master
        self._keys: dict[Place, AESGCM] = {}

    def seal(self, place: Place, name: str, content: bytes) -> bytes:
        """The content, sealed for a place.

        Args:
            place: Whose key it gets.
            name: What it is: it opens under this name only.
            content: The bytes.

        Raises:
            UnknownRecord: The camera is not in the database.
        """
        if self._master is None:
            return content
        if place not in self._keys:
            # Another process may have shredded the key since the last transaction.
            wrapped = _find(self._connection, place) or self._make(place, self._master)
            self._keys[place] = _unwrap(self._master, place, wrapped)
        return SEALED + _encrypt(self._keys[place], content, name)

    def _make(self, place: Place, master: AESGCM) -> bytes:
        camera = self._connection.scalar(select(Camera.id).where(Camera.name == place.camera))
        if camera is None:
            raise UnknownRecord(f"camera {place.camera!r} is not in the database; open its source first")
        wrapped = _encrypt(master, AESGCM.generate_key(256), _bound(place))
        row = {"camera_id": camera, "day": place.day, "kind": place.kind.value, "wrapped": wrapped}
        self._connection.execute(insert(DataKey).values(row))
        return wrapped


class Vault:
    """Opens what is sealed on a site, and seals; may be used from several threads.

    Args:
        read: Begins a transaction that reads the site's database.
        master: The master key, 32 bytes; None: nothing is encrypted.
    """

    def __init__(self, read: Callable[[], AbstractContextManager[Session]], master: bytes | None = None) -> None:
        self._read = read
        self._master = None if master is None else AESGCM(master)
        self._keys: dict[Place, AESGCM] = {}

    @property
    def encrypts(self) -> bool:
        """Whether what is stored is encrypted."""
        return self._master is not None

    def sealer(self, connection: Connection) -> Sealer:
        """What seals the contents of one writing transaction."""
        return Sealer(connection, self._master)

    def open(self, place: Place, name: str, content: bytes, session: Session | None = None) -> bytes:
        """A content as it was before it was sealed; one that never was is given back as it is.

        Args:
            place: As it was sealed for.
            name: As it was sealed under.
            content: What was stored.
            session: The transaction that it was read in, where it is of the database.

        Raises:
            MasterKeyError: It is encrypted, and the site is not.
            KeyShredded: Its key is gone.
            SealBroken: It was changed, or is something else.
        """
        if not content.startswith(SEALED):
            return content
        key = self._keys.get(place)
        if key is not None:
            try:
                return _decrypt(key, content[len(SEALED) :], name)
            except InvalidTag:  # its key may have been shredded, and another one made
                pass
        key = self._keys[place] = self._load(place, session)
        try:
            return _decrypt(key, content[len(SEALED) :], name)
        except InvalidTag as error:
            raise SealBroken(f"{place.words}, {name}: was changed, or put in the place of another one") from error

    def _load(self, place: Place, session: Session | None) -> AESGCM:
        if self._master is None:
            raise MasterKeyError(f"{place.words}: are encrypted: expected site.master_key")
        with self._read() if session is None else nullcontext(session) as reading:
            wrapped = _find(reading.connection(), place)
        if wrapped is None:
            raise KeyShredded(f"{place.words}: cannot be read: their key is gone")
        return _unwrap(self._master, place, wrapped)


def shred_keys(session: Session) -> int:
    """Removes the keys of what is not there any more, so that no copy of it can be read; returns how many.

    They are out of the files of the database after `Database.forget_writes`.
    """
    keys = session.execute(select(DataKey.camera_id, DataKey.day, DataKey.kind)).all()
    unused = [key for key in keys if session.scalar(_contents(Kind(key.kind), key.camera_id, key.day)) is None]
    for camera, day, kind in unused:
        session.execute(delete(DataKey).where(DataKey.camera_id == camera, DataKey.day == day, DataKey.kind == kind))
    return len(unused)


def _contents(kind: Kind, camera: int, day: int) -> Select[int]:
    """One of the contents of a kind that a camera gave on a day; of `Kind.WATCH` those of an entry."""
    if kind is Kind.WATCH:
        return select(WatchExample.id).where(WatchExample.entry_id == day).limit(1)
    since_us, until_us = day * DAY_US, (day + 1) * DAY_US
    if kind is Kind.CLIPS:
        of_day = (Clip.camera_id == camera, Clip.first_us >= since_us, Clip.first_us < until_us)
        return select(Clip.id).where(*of_day).limit(1)
    if kind is Kind.CORPUS:
        items = select(CorpusItem.id).join(CorpusShard, CorpusShard.id == CorpusItem.shard_id)
        items = items.join(CorpusTracklet, CorpusTracklet.id == CorpusItem.tracklet_id)
        items = items.join(CorpusOrigin, CorpusOrigin.id == CorpusTracklet.origin_id)
        return items.where(CorpusShard.day == day, CorpusOrigin.camera_id == camera).limit(1)
    if kind is Kind.CROPS:
        crops = select(Crop.id).join(Tracklet, Tracklet.id == Crop.tracklet_id)
        return crops.where(Tracklet.camera_id == camera, Crop.time_us >= since_us, Crop.time_us < until_us).limit(1)
    vectors = select(Embedding.id).join(Tracklet, Tracklet.id == Embedding.tracklet_id)
    by_index = Embedding.model_id.in_(select(Model.id))
    of_day = (Tracklet.camera_id == camera, Embedding.time_us >= since_us, Embedding.time_us < until_us)
    return vectors.where(by_index, *of_day).limit(1)


def _find(connection: Connection, place: Place) -> bytes | None:
    query = select(DataKey.wrapped).join(Camera, Camera.id == DataKey.camera_id)
    return connection.scalar(
        query.where(Camera.name == place.camera, DataKey.day == place.day, DataKey.kind == place.kind.value)
    )


def _unwrap(master: AESGCM, place: Place, wrapped: bytes) -> AESGCM:
    try:
        return AESGCM(_decrypt(master, wrapped, _bound(place)))
    except InvalidTag as error:
        raise SealBroken(f"{place.words}: their key was changed") from error


def _bound(place: Place) -> str:
    """Binds a key to its place; the row of a camera may be another one in a copy, its name is not."""
    return f"{place.kind.value} {place.camera} {place.day}"


def _encrypt(key: AESGCM, content: bytes, name: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, content, name.encode())


def _decrypt(key: AESGCM, content: bytes, name: str) -> bytes:
    return key.decrypt(content[:_NONCE], content[_NONCE:], name.encode())
