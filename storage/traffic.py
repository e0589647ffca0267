"""When tracklets were where, as arrays, for what is counted over many: flows between cameras, hours, dwell times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.index_hints import off_index
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.schema import Camera, Tracklet

MOST: Final = 50_000
"""Tracklets that are counted at once: enough for every figure, and read in a few tenths of a second."""

NOBODY: Final = -1
"""The identity of a tracklet that is not decided yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Tracklets as arrays of one length, the newest first.

    Attributes:
        cameras: Names of cameras.
        camera: ``(N,) int64``, positions in `cameras`.
        identity: ``(N,) int64``, after all merges; `NOBODY` where nobody has decided.
        first_us: ``(N,) int64``, when each began.
        last_us: ``(N,) int64``, when the last box so far was.
        whole: Whether these are all of the time that was asked for, and not just the newest.
    """

    cameras: tuple[str, ...]
    camera: NDArray[np.int64]
    identity: NDArray[np.int64]
    first_us: NDArray[np.int64]
    last_us: NDArray[np.int64]
    whole: bool

    def __len__(self) -> int:
        return len(self.first_us)


class Traffic:
    """Reads for one person.

    Args:
        database: Of the site.
        access: Of who looks: only what their cameras saw is counted.

    Raises:
        NotAllowed: They may see nothing.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require(Permission.SEE)
        self._database = database
        self._access = access

    def stays(
        self,
        since_us: int | None = None,
        until_us: int | None = None,
        cameras: Collection[str] = (),
        limit: int = MOST,
    ) -> Stays:
        """The tracklets that began in a time.

        Args:
            since_us: None: from ever.
            until_us: None: for ever.
            cameras: Only those of these; all that may be seen if none are named.
            limit: How many at most: the newest.
        """
        identity = func.coalesce(Tracklet.identity, NOBODY)
        query = select(Tracklet.camera_id, identity, Tracklet.first_us, Tracklet.last_us)
        if since_us is not None:
            query = query.where(Tracklet.first_us >= since_us)
        if until_us is not None:
            query = query.where(Tracklet.first_us < until_us)
        query = query.order_by(Tracklet.first_us.desc(), Tracklet.id.desc()).limit(limit + 1)
        with self._database.session_scope() as session:
            known = {name: row for row, name in session.execute(select(Camera.id, Camera.name))}
            seen = self._access.only([name for name in known if not cameras or name in cameras])
            if len(seen) < len(known):
                query = query.where(Tracklet.camera_id.in_([known[name] for name in seen]))
            rows = session.connection().execute(query).all()
        table = np.fromiter(chain.from_iterable(rows[:limit]), np.int64).reshape(-1, 4)
        positions = {known[name]: position for position, name in enumerate(seen)}
        camera = np.fromiter((positions[row] for row in table[:, 0].tolist()), np.int64)
        return Stays(seen, camera, table[:, 1], table[:, 2], table[:, 3], whole=len(rows) <= limit)

    def newest_us(self) -> int | None:
        """When the last tracklet began; None where there is none."""
        query = select(Tracklet.first_us).order_by(Tracklet.first_us.desc()).limit(1)
        if self._access.cameras is not None:
            seen = select(Camera.id).where(Camera.name.in_(self._access.cameras))
            query = query.where(off_index(Tracklet.camera_id).in_(seen))
        with self._database.session_scope() as session:
            return session.scalar(query)
