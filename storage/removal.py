"""Removing what a source gave, so that it can be read again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.schema import Crop, Identity, Tracklet


def remove_results(session: Session, source_id: int) -> Sequence[str]:
    """Removes all tracklets of a source with their boxes, crops and embeddings.

    The log of identities stays, without the tracklets; identities that have none left are marked as vacant.

    Returns:
        Paths of the crops, to be deleted once the transaction is committed.
    """
    from_source = Tracklet.source_id == source_id
    paths = session.scalars(select(Crop.path).join(Tracklet, Tracklet.id == Crop.tracklet_id).where(from_source)).all()
    seen = session.scalars(
        select(Tracklet.identity).where(from_source, Tracklet.identity.is_not(None)).distinct()
    ).all()
    session.execute(delete(Tracklet).where(from_source))  # segments, crops and embeddings go with their tracklet
    has_tracklet = exists().where(Tracklet.identity == Identity.id)
    for identity in seen:  # one by one: a list could be longer than a statement may be
        session.execute(update(Identity).where(Identity.id == identity, ~has_tracklet).values(vacant=True))
    return paths
