"""Who may do what: roles, what each allows, and the cameras that somebody may see.

It is enforced where the database is asked (`repository`, `corrections`, `erasure` and their like), not by the commands
or pages that ask.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.tracklet_views import ViewFilter


class Role(StrEnum):
    """What somebody is on a site."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    INVESTIGATOR = "investigator"
    PRIVACY_OFFICER = "privacy-officer"
    ADMIN = "admin"


class Permission(StrEnum):
    """What may be done, in words that follow "may not"."""

    SEE = "see who was where"
    SEARCH = "search for people"
    CORRECT = "merge, split or undo"
    EXPORT = "export"
    HOLD = "open cases"
    WATCH = "watch for people"
    APPROVE = "approve that people are watched for"
    ACKNOWLEDGE = "see and acknowledge alerts"
    ERASE = "erase people"
    AUDIT = "read the audit log"
    KEEP = "apply retention, back up or mend"
    MANAGE = "manage users"


ALLOWED: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.SEE}),
    Role.OPERATOR: frozenset({Permission.SEE, Permission.SEARCH, Permission.CORRECT, Permission.ACKNOWLEDGE}),
    Role.INVESTIGATOR: frozenset(
        {
            Permission.SEE,
            Permission.SEARCH,
            Permission.CORRECT,
            Permission.EXPORT,
            Permission.HOLD,
            Permission.WATCH,
            Permission.ACKNOWLEDGE,
        }
    ),
    Role.PRIVACY_OFFICER: frozenset(
        {
            Permission.SEE,
            Permission.EXPORT,
            Permission.HOLD,
            Permission.APPROVE,
            Permission.ERASE,
            Permission.AUDIT,
            Permission.KEEP,
        }
    ),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody may do and see.

    Attributes:
        name: Who, for the logs.
        role: What they are.
        cameras: Names of the cameras that they may see; None for all.
    """

    name: str
    role: Role
    cameras: frozenset[str] | None = None

    def require(self, permission: Permission) -> None:
        """Checks that something may be done.

        Raises:
            NotAllowed: It may not.
        """
        if permission not in ALLOWED[self.role]:
            roles = ", ".join(role for role in Role if permission in ALLOWED[role])
            raise NotAllowed(f"{self.name} ({self.role}) may not {permission}: expected one of the roles {roles}")

    def require_all_cameras(self, permission: Permission) -> None:
        """As `require`, for what is about the whole site.

        Raises:
            NotAllowed: It may not be done, or some cameras may not be seen.
        """
        self.require(permission)
        if self.cameras is not None:
            seen = ", ".join(sorted(self.cameras)) or "no camera"
            raise NotAllowed(f"{self.name} sees {seen}: may not {permission}: expected somebody who sees all cameras")

    def require_camera(self, permission: Permission, camera: str) -> None:
        """As `require`, for what is about one camera.

        Raises:
            NotAllowed: It may not be done, or that camera may not be seen.
        """
        self.require(permission)
        if not self.sees(camera):
            raise NotAllowed(f"{self.name} may not {permission} of {camera}: expected a camera that they see")

    def sees(self, camera: str) -> bool:
        """Whether a camera may be seen."""
        return self.cameras is None or camera in self.cameras

    def only(self, cameras: Collection[str]) -> tuple[str, ...]:
        """Those of some cameras that may be seen, by name."""
        return tuple(sorted(camera for camera in cameras if self.sees(camera)))

    def narrow(self, wanted: ViewFilter) -> ViewFilter | None:
        """The part of a filter that may be seen; None where that is nothing."""
        if self.cameras is None:
            return wanted
        cameras = self.only(wanted.cameras or self.cameras)
        return replace(wanted, cameras=cameras) if cameras else None


MACHINE_ACCESS: Final = Access("machine", Role.ADMIN)
"""Of a run and of whatever learns."""
