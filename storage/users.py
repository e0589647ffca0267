"""The people who use a site: their roles, the cameras that they may see, and their passwords (Argon2).

The command line acts as the user of the operating system. As long as nobody was added, that is an admin; from the first
user on, only those who were added may do anything.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import NotAllowed, UserRefused
from reid_pipeline.storage.permissions import Access, Permission, Role
from reid_pipeline.storage.schema import Camera
from reid_pipeline.storage.schema_governance import LoginSession, User

ONE_TIME_US: Final = 24 * 3600 * 1_000_000  # how long a password serves that somebody else has chosen

_FEWEST_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user; `cameras` None for all, `has_password` for those who may log in to the dashboard."""

    name: str
    role: Role
    cameras: tuple[str, ...] | None
    has_password: bool
    disabled: bool


class Users:
    """The users of a site, managed by somebody.

    Args:
        database: Of the site.
        access: Of whoever manages them.
        now_us: The wall clock.
    """

    def __init__(
        self, database: Database, access: Access, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._database = database
        self._access = access
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)

    def read(self) -> tuple[UserRecord, ...]:
        """All of them, by name.

        Raises:
            NotAllowed: Only admins may.
        """
        self._access.require_all_cameras(Permission.MANAGE)
        with self._database.session_scope() as session:
            rows = session.scalars(select(User).order_by(User.name))
            return tuple(
                UserRecord(
                    row.name,
                    Role(row.role),
                    None if row.cameras is None else tuple(row.cameras),
                    row.password is not None,
                    row.disabled,
                )
                for row in rows
            )

    def add(self, name: str, role: Role, cameras: Collection[str] | None = None) -> None:
        """Adds a user, or changes the role and cameras of one, who is then not disabled.

        Args:
            name: As the operating system knows them, or as they log in to the dashboard.
            role: What they may do.
            cameras: What they may see; None for all.

        Raises:
            NotAllowed: Only admins may.
            UserRefused: There is no such camera, or no admin who sees all cameras would be left.
        """
        self._access.require_all_cameras(Permission.MANAGE)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            _check_cameras(connection, cameras)
            values = {"role": role.value, "cameras": None if cameras is None else sorted(set(cameras))}
            changed = update(User).where(User.name == name).values(**values, disabled=False)
            if not connection.execute(changed).rowcount:
                row = {"name": name, **values, "created_us": self._now_us(), "disabled": False}
                connection.execute(insert(User).values(**row))
            _check_admin_is_left(connection)
            self._note(connection, "add", name, **values)

    def disable(self, name: str) -> None:
        """Lets a user do nothing any more; what they did stays in the log.

        Raises:
            NotAllowed: Only admins may.
            UserRefused: There is no such user, or no admin would be left.
        """
        self._access.require_all_cameras(Permission.MANAGE)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            if not connection.execute(update(User).where(User.name == name).values(disabled=True)).rowcount:
                raise _unknown(name)
            _check_admin_is_left(connection)
            self._note(connection, "disable", name)

    def set_password(self, name: str, password: str) -> None:
        """Gives a user a password for the dashboard.

        Raises:
            NotAllowed: Neither an admin nor the user themselves.
            UserRefused: There is no such user, or the password is too short.
        """
        if len(password) < _FEWEST_CHARACTERS:
            raise UserRefused(f"the password has {len(password)} characters: expected at least {_FEWEST_CHARACTERS}")
        self._set_password(name, password, None)

    def change_password(self, old: str, new: str) -> None:
        """Gives whoever asks another password, where they say the present one.

        Raises:
            UserRefused: The present one is another, or they have none; or the new one is too short.
        """
        from argon2 import PasswordHasher
        from argon2.exceptions import VerificationError

        with self._database.session_scope() as session:
            user = find_user(session, self._access.name)
            known = None if user is None else user.password
        if known is None:
            raise UserRefused(f"{self._access.name}: has no password here: ask an admin for one that serves once")
        try:
            PasswordHasher().verify(known, old)
        except VerificationError as error:
            raise UserRefused("the present password is another one") from error
        self.set_password(self._access.name, new)

    def set_one_time_password(self, name: str) -> str:
        """Gives a user a password that serves for a day, to choose another one with; returns it.

        Raises:
            NotAllowed: Neither an admin nor the user themselves.
            UserRefused: There is no such user.
        """
        password = secrets.token_urlsafe(_FEWEST_CHARACTERS)
        self._set_password(name, password, self._now_us() + ONE_TIME_US)
        return password

    def _set_password(self, name: str, password: str, one_time_until_us: int | None) -> None:
        from argon2 import PasswordHasher  # a command that needs no password does without

        if name != self._access.name:
            self._access.require_all_cameras(Permission.MANAGE)
        hashed = PasswordHasher().hash(password)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            values = {"password": hashed, "one_time_until_us": one_time_until_us}
            if not connection.execute(update(User).where(User.name == name).values(**values)).rowcount:
                raise _unknown(name)
            # Whoever was logged in with the old one is no more.
            user = select(User.id).where(User.name == name).scalar_subquery()
            connection.execute(delete(LoginSession).where(LoginSession.user_id == user))
            self._note(connection, "password", name)

    def _note(self, connection: Connection, what: str, name: str, **about: object) -> None:
        subject = {"user": name, "what": what, **about}
        self._audit.note_in(connection, self._access.name, Action.USER, "", subject)


def access_of(database: Database, name: str, claimed: str | None = None) -> Access:
    """What the user of the operating system may do here.

    Args:
        database: Of the site.
        name: Of the user.
        claimed: Another name for the logs, which they may say only where nobody was added yet.

    Raises:
        NotAllowed: There are users, and this is none of them, or a disabled one; or another name was claimed.
    """
    with database.session_scope() as session:
        if not session.scalar(select(exists().where(User.id.is_not(None)))):
            return Access(name if claimed is None else claimed, Role.ADMIN)
        if claimed not in (None, name):
            raise NotAllowed(f"--actor: {claimed}: this site has users: expected {name}, who you are, or nothing")
        row = find_user(session, name)
        if row is None:
            raise NotAllowed(
                f"{name}: is no user of this site: expected one of `reid-pipeline user list`: ask an admin"
            )
        return access_of_user(row)


def is_empty(database: Database) -> bool:
    """Whether nobody was added yet."""
    with database.session_scope() as session:
        return not session.scalar(select(exists().where(User.id.is_not(None))))


def find_user(session: Session, name: str) -> User | None:
    """The user of a name, where they are not disabled."""
    return session.scalars(select(User).where(User.name == name, ~User.disabled)).one_or_none()


def access_of_user(row: User) -> Access:
    """What a user may do and see."""
    return Access(row.name, Role(row.role), None if row.cameras is None else frozenset(row.cameras))


def _check_cameras(connection: Connection, cameras: Collection[str] | None) -> None:
    known = set(connection.scalars(select(Camera.name)))
    unknown = sorted(set(cameras or ()) - known)
    if unknown:
        raise UserRefused(f"--camera: {unknown[0]}: expected one of {', '.join(sorted(known)) or 'none: run the site'}")


def _check_admin_is_left(connection: Connection) -> None:
    """Else nobody could ever change anything."""
    rows = connection.execute(select(User.role, User.cameras).where(~User.disabled))
    if not any(role == Role.ADMIN and cameras is None for role, cameras in rows):
        raise UserRefused("no admin who sees all cameras would be left: add one first")


def _unknown(name: str) -> UserRefused:
    return UserRefused(f"{name}: is no user of this site: expected one of `reid-pipeline user list`")
