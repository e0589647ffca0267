"""Who is logged in to the dashboard: a token in their browser, of which the database knows only the SHA-256."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Access
from reid_pipeline.storage.schema_governance import LoginSession, User
from reid_pipeline.storage.users import access_of_user, find_user

IDLE_US: Final = 30 * 60 * 1_000_000
LONGEST_US: Final = 12 * 3600 * 1_000_000
"""After this time everybody is logged out."""
_NOTED_EVERY_US: Final = 60 * 1_000_000  # a page asks many times a second; to write each time would be in a run's way


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody who is logged in; `must_choose` a password of their own before anything else."""

    access: Access
    must_choose: bool


class LoginSessions:
    """Logs people in and out of one site, and knows them again.

    Args:
        database: Of the site.
        now_us: The wall clock.
        idle_us: Whoever does nothing for so long is logged out.
    """

    def __init__(
        self,
        database: Database,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        *,
        idle_us: int = IDLE_US,
    ) -> None:
        self._database = database
        self._idle_us = idle_us
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)

    def begin(self, name: str, password: str) -> str | None:
        """The token of somebody who says their password; None where it is not theirs, in about the same time."""
        known, one_time_until_us = self._stored(name)
        good = _verifies(known, password) and (one_time_until_us is None or self._now_us() < one_time_until_us)
        if not good:
            self._audit.note(name[:64], Action.LOGIN, "", {"what": "refused"})
            return None
        return self._begin(name)

    def begin_known(self, name: str) -> str | None:
        """The token of somebody whom somebody else has vouched for; None where they are no user."""
        return None if self.access_of(name) is None else self._begin(name)

    def find(self, token: str, *, busy: bool = True) -> LoggedIn | None:
        """Who shows a token; None where it is of nobody, or its time is up.

        Args:
            token: As `begin` gave it.
            busy: Whether somebody does something, which keeps them logged in; else a page just renews itself.
        """
        now_us = self._now_us()
        query = select(LoginSession, User).join(User, User.id == LoginSession.user_id)
        with self._database.session_scope() as session:
            found = session.execute(query.where(LoginSession.digest == _digest(token), ~User.disabled)).one_or_none()
            if found is None or not self._is_valid(found[0]):
                return None
            login, user = found
            noted_us, result = login.seen_us, LoggedIn(access_of_user(user), user.one_time_until_us is not None)
        if busy and now_us - noted_us >= _NOTED_EVERY_US:
            with self._database.session_scope(write=True) as session:
                seen = update(LoginSession).where(LoginSession.digest == _digest(token)).values(seen_us=now_us)
                session.execute(seen)
        return result

    def end(self, token: str) -> None:
        """Logs somebody out; one who is not logged in already is no error."""
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            own = LoginSession.digest == _digest(token)
            name = connection.scalar(select(User.name).join(LoginSession).where(own))
            if name is not None:
                connection.execute(delete(LoginSession).where(own))
                self._audit.note_in(connection, name, Action.LOGIN, "", {"what": "out"})

    def access_of(self, name: str) -> Access | None:
        """What somebody may do and see now; None where they are no user any more."""
        with self._database.session_scope() as session:
            row = find_user(session, name)
            return None if row is None else access_of_user(row)

    def _begin(self, name: str) -> str:
        token = secrets.token_urlsafe(32)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            self._forget_old(connection)
            user = select(User.id).where(User.name == name).scalar_subquery()
            row = {"digest": _digest(token), "user_id": user, "created_us": self._now_us(), "seen_us": self._now_us()}
            connection.execute(insert(LoginSession).values(**row))
            self._audit.note_in(connection, name, Action.LOGIN, "", {"what": "in"})
        return token

    def _stored(self, name: str) -> tuple[str | None, int | None]:
        with self._database.session_scope() as session:
            row = find_user(session, name)
            return (None, None) if row is None else (row.password, row.one_time_until_us)

    def _is_valid(self, login: LoginSession) -> bool:
        now_us = self._now_us()
        idle_us = self._idle_us + _NOTED_EVERY_US  # what they did last may not have been noted
        return now_us - login.seen_us < idle_us and now_us - login.created_us < LONGEST_US

    def _forget_old(self, connection: Connection) -> None:
        now_us = self._now_us()
        too_old = (LoginSession.seen_us < now_us - self._idle_us) | (LoginSession.created_us < now_us - LONGEST_US)
        connection.execute(delete(LoginSession).where(too_old))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _verifies(known: str | None, password: str) -> bool:
    """Takes about as long for somebody who has no password, so that nobody learns who is a user."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    hasher = PasswordHasher()
    try:
        hasher.verify(known or hasher.hash(""), password)
    except (VerificationError, InvalidHashError):
        return False
    return known is not None
