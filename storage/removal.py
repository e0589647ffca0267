"""Removing tracklets with all that is theirs: what a source gave, so that it can be read again, or some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.cases import is_held
from reid_pipeline.storage.corpus_writing import remove_tracklets
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.errors import ErasureRefused
from reid_pipeline.storage.schema import Camera, Crop, Identity, Source, Tracklet
from reid_pipeline.storage.schema_governance import ErasedSource
from reid_pipeline.storage.schema_learning import CorpusTracklet

AT_ONCE: Final = 500  # rows of a transaction: some hundredths of a second


def check_removable(session: Session, source_id: int, location: str) -> None:
    """Checks that a source may be read anew.

    Raises:
        ErasureRefused: It shows somebody who was erased, or an open case holds some of it.
    """
    if session.scalar(select(exists().where(ErasedSource.source_id == source_id))):
        raise ErasureRefused(
            f"{location}: shows somebody who was erased: expected another recording; to read it anew would bring them "
            "back"
        )
    if session.scalar(select(exists().where(Tracklet.source_id == source_id, is_held()))):
        raise ErasureRefused(f"{location}: an open case holds some of what it gave: close the case first")


def remove_results(session: Session, source: Source, audit: AuditLog, actor: str) -> Sequence[str]:
    """Removes all tracklets of a source with their boxes, crops, embeddings and what they gave to the corpus.

    The log of identities stays, without the tracklets; identities that have none left are marked as vacant. The bytes
    in the corpus are overwritten by `CorpusStore.recover`, once the transaction is committed.

    Args:
        session: A write transaction.
        source: The row of the source.
        audit: Where it is accounted for, if there was anything.
        actor: Who wants it.

    Returns:
        Paths of the crops, to be deleted once the transaction is committed.
    """
    from_source = Tracklet.source_id == source.id
    paths = session.scalars(select(Crop.path).join(Tracklet, Tracklet.id == Crop.tracklet_id).where(from_source)).all()
    seen = session.scalars(
        select(Tracklet.identity).where(from_source, Tracklet.identity.is_not(None)).distinct()
    ).all()
    collected = CorpusTracklet.tracklet_id.in_(select(Tracklet.id).where(from_source))
    remove_tracklets(session.connection(), collected)
    # Segments, crops and embeddings go with their tracklet.
    tracklets = session.connection().execute(delete(Tracklet).where(from_source)).rowcount
    has_tracklet = exists().where(Tracklet.identity == Identity.id)
    for identity in seen:  # one by one: a list could be longer than a statement may be
        session.execute(update(Identity).where(Identity.id == identity, ~has_tracklet).values(vacant=True))
    if tracklets:
        camera = session.scalar(select(Camera.name).where(Camera.id == source.camera_id))
        subject = {"camera": camera, "source": source.id, "tracklets": tracklets, "crops": len(paths)}
        audit.note_in(session.connection(), actor, Action.AGAIN, "", subject)
    return paths


def remove_tracklet_rows(session: Session, crops: CropStore, rows: Sequence[int]) -> None:
    """Removes tracklets with their boxes, crops and embeddings; identities that have none left become vacant.

    At most `AT_ONCE` rows.
    """
    of_them = Tracklet.id.in_(rows)
    crops.delete(session.scalars(select(Crop.path).where(Crop.tracklet_id.in_(rows))))
    seen = session.scalars(select(Tracklet.identity).where(of_them, Tracklet.identity.is_not(None)).distinct()).all()
    session.execute(delete(Tracklet).where(of_them))  # segments, crops and embeddings go with their tracklet
    left = exists().where(Tracklet.identity == Identity.id)
    session.execute(update(Identity).where(Identity.id.in_(seen), ~left).values(vacant=True))
