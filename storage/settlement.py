"""What the log says about identities once some of its decisions are undone.

Only decisions that are not undone count. A tracklet belongs where the last ASSIGN or SPLIT about it put it. Identities
are one where a MERGE joins them, whatever lies between; and so are the two sides of a SPLIT that was undone, for its
number was given away and has to lead somewhere. Of those that are one the oldest survives: the smallest number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, Select, exists, func, or_, select, update

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.records import EventType
from reid_pipeline.storage.schema import Identity, IdentityLogEntry, Tracklet, UndoneDecision
from reid_pipeline.storage.typed_numbers import has_number

# In a condition on `IdentityLogEntry`.
IS_UNDONE = exists().where(UndoneDecision.log_id == IdentityLogEntry.id)


def survivor_of(connection: Connection, identity: int | None) -> int:
    """Who an identity is after all merges.

    Raises:
        UnknownRecord: It was never opened.
    """
    query = select(func.coalesce(Identity.merged_into, Identity.id))
    survivor: int | None = connection.scalar(query.where(has_number(Identity.id, identity or 0)))
    if survivor is None:
        raise UnknownRecord(f"identity {identity} is not in the database; it was never opened")
    return survivor


def tracklets_of(connection: Connection, identity: int | None) -> frozenset[int]:
    """Rows of the tracklets of a survivor."""
    return frozenset(connection.scalars(select(Tracklet.id).where(Tracklet.identity == identity)))


def assignments(identity: int) -> Select[int, int, float | None]:
    """Tracklet, identity and probability of the decisions that count about a survivor's tracklets, oldest first."""
    entry = IdentityLogEntry
    return (
        select(Tracklet.id, entry.identity, entry.probability)
        .join(entry, entry.tracklet_id == Tracklet.id)
        .where(
            Tracklet.identity == identity, entry.type.in_((EventType.ASSIGN.value, EventType.SPLIT.value)), ~IS_UNDONE
        )
        .order_by(entry.id)
    )


def settle(connection: Connection, identities: Iterable[int | None]) -> None:
    """Brings identities, all that they are one with, and their tracklets in line with the log."""
    survivors = {survivor_of(connection, identity) for identity in identities}
    members = {member for survivor in survivors for member in _members_of(connection, survivor)}
    roots = _roots(connection, members)
    named = {row: name for each in survivors for row, name, _ in connection.execute(assignments(each))}
    for member, root in roots.items():
        changed = update(Identity).where(Identity.id == member).values(merged_into=None if root == member else root)
        connection.execute(changed)
    # Where the split was undone, a tracklet may go back to one who is not of its former identity any more.
    homes = {name: roots[name] if name in roots else survivor_of(connection, name) for name in set(named.values())}
    for row, name in named.items():
        connection.execute(update(Tracklet).where(Tracklet.id == row).values(identity=homes[name]))
    for root in {*roots.values(), *homes.values()}:
        vacant = ~exists().where(Tracklet.identity == root)
        connection.execute(update(Identity).where(Identity.id == root).values(vacant=vacant))


def _members_of(connection: Connection, survivor: int) -> frozenset[int]:
    query = select(Identity.id).where(or_(Identity.id == survivor, Identity.merged_into == survivor))
    return frozenset(connection.scalars(query))


def _roots(connection: Connection, members: Iterable[int]) -> Mapping[int, int]:
    """Identity to survivor."""
    roots = {member: member for member in members}
    entry = IdentityLogEntry
    for member in tuple(roots):
        query = select(func.coalesce(entry.other, entry.identity)).where(
            entry.identity == member,
            or_(
                (entry.type == EventType.MERGE.value) & ~IS_UNDONE,
                (entry.type == EventType.SPLIT.value) & IS_UNDONE,
            ),
        )
        for other in connection.scalars(query):
            joined = {roots[member], roots[other]}
            roots.update({each: min(joined) for each, root in roots.items() if root in joined})
    return roots
