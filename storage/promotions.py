"""Which encoder serves a site: a log of promotions and rollbacks, one JSON object a line, that only grows.

The log is a stack: a promotion puts a model on it, a rollback takes the last one off. Under all of them lies the base,
the encoder that the site is configured with. A model may only be promoted where its line of parents leads to the base.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.orm import Session

from reid_pipeline.storage.actor import current_user
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import ModelError, StorageError
from reid_pipeline.storage.model_card import Model
from reid_pipeline.storage.model_registry import SITE_MODELS, ModelRegistry
from reid_pipeline.storage.permissions import Access, Permission

LOG_NAME: Final = "promotions.ndjson"


@dataclass(frozen=True, slots=True)
class Promotion:
    """One line of the log.

    Attributes:
        time: ISO-8601, UTC.
        actor: Who did it: a user of the dashboard, else of the operating system.
        action: What was done.
        base: Hash of the encoder that the site is configured with.
        name: Name of the model that was promoted or taken back.
        hash: Its hash.
        lineage: Hashes from its parent up to its first ancestor.
        previous: Hash of the model that served before.
        reason: Why.
    """

    time: str
    actor: str
    action: Literal["promote", "rollback"]
    base: str
    name: str
    hash: str
    lineage: tuple[str, ...]
    previous: str
    reason: str


class PromotionLog:
    """The log of one site.

    Args:
        data_dir: The folder of the site; the log need not be there yet.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / SITE_MODELS / LOG_NAME

    def read(self) -> list[Promotion]:
        """All lines, oldest first. A torn last line, as a lost power supply leaves it, never happened.

        Raises:
            StorageError: A line in the middle cannot be read.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self._parse(number, line) for number, line in enumerate(lines[:-1], 1)]

    def promoted(self, base: str) -> list[Promotion]:
        """The promotions in force for a base, oldest first: the last of them serves."""
        stack: list[Promotion] = []
        for entry in self.read():
            if entry.action == "promote":
                stack.append(entry)
            elif stack:
                stack.remove(next(each for each in reversed(stack) if each.hash == entry.hash))
        return [entry for entry in stack if base in entry.lineage]

    def promote(
        self, model: Model, base: str, registry: ModelRegistry, reason: str, actor: str | None = None
    ) -> Promotion:
        """Notes that a model serves from now on; `actor` None: by the user of the operating system.

        Raises:
            ModelError: It is no encoder, does not descend from ``base``, or serves already.
        """
        identity = _encoder_hash(model)
        lineage = self.lineage(model, registry)
        if base not in lineage:
            raise ModelError(_not_a_descendant(model, base, lineage, registry))
        serving = self.serving(base)
        if serving == identity:
            raise ModelError(f"{model.name}: serves already: nothing to promote")
        return self._append("promote", base, (model.name, identity, lineage), serving, reason, actor)

    def roll_back(self, base: str, reason: str, actor: str | None = None) -> Promotion:
        """Takes the last promotion for a base back; `actor` None: by the user of the operating system.

        Raises:
            ModelError: The base itself serves.
        """
        last = self.last(base)
        return self._append("rollback", base, (last.name, last.hash, last.lineage), last.hash, reason, actor)

    def last(self, base: str) -> Promotion:
        """The promotion that a rollback would take back.

        Raises:
            ModelError: The base itself serves.
        """
        promoted = self.promoted(base)
        if not promoted:
            raise ModelError(f"{self.path}: nothing to roll back: the configured encoder itself serves")
        return promoted[-1]

    def serving(self, base: str) -> str:
        """Hash of the model that serves for a base."""
        promoted = self.promoted(base)
        return promoted[-1].hash if promoted else base

    def lineage(self, model: Model, registry: ModelRegistry) -> tuple[str, ...]:
        """Hashes of a model's ancestors, its parent first.

        An ancestor whose folder is gone is looked up among earlier promotions; what neither knows ends the line.
        """
        known = {entry.hash: entry.lineage for entry in self.read()}
        models = [entry.model for entry in registry.entries() if entry.model]
        parents = {each.identity: each.card.parent for each in models if each.card}
        line: list[str] = []
        parent = model.card.parent if model.card else None
        while parent and parent not in line:
            line.append(parent)
            if parent not in parents and parent in known:
                line.extend(known[parent])
                break
            parent = parents.get(parent)
        return tuple(line)

    def _parse(self, number: int, line: bytes) -> Promotion:
        try:
            fields = json.loads(line)
            return Promotion(**{**fields, "lineage": tuple(fields["lineage"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self.path}:{number}: cannot be read: restore the file, or remove the line to forget that promotion"
            ) from error

    def _append(
        self,
        action: Literal["promote", "rollback"],
        base: str,
        model: tuple[str, str, tuple[str, ...]],
        previous: str,
        reason: str,
        actor: str | None = None,
    ) -> Promotion:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = Promotion(now, actor or current_user(), action, base, *model, previous, reason)
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(_end_of_last_line(self.path.read_bytes()))
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        return entry


class Promotions:
    """Decides which encoder serves a site, for one person. Each decision has its entry in the audit log.

    Args:
        database: Of the site.
        access: Of who decides.

    Raises:
        NotAllowed: They may not.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require_all_cameras(Permission.KEEP)
        self._database = database
        self._actor = access.name
        self._log = PromotionLog(database.data_dir)

    def promote(self, model: Model, base: str, registry: ModelRegistry, reason: str) -> Promotion:
        """Lets a model serve from the next run on; see `PromotionLog.promote`."""
        with self._database.session_scope(write=True) as session:
            done = self._log.promote(model, base, registry, reason, self._actor)
            self._note(session, "promote", done, done.hash)
        return done

    def roll_back(self, base: str, reason: str) -> Promotion:
        """Takes the last promotion back: from the next run on what served before serves again.

        Raises:
            ModelError: The configured encoder itself serves.
        """
        with self._database.session_scope(write=True) as session:
            undone = self._log.roll_back(base, reason, self._actor)
            self._note(session, "rollback", undone, self._log.serving(base))
        return undone

    def _note(self, session: Session, what: str, entry: Promotion, serving: str) -> None:
        subject = {"what": what, "model": entry.name, "hash": entry.hash, "serving": serving}
        AuditLog(self._database).note_in(session.connection(), self._actor, Action.MODEL, entry.reason, subject)


def serving_entry(data_dir: Path, base: str) -> Promotion | None:
    """The promotion that decides which encoder serves a site configured with ``base``; None: the base itself."""
    promoted = PromotionLog(data_dir).promoted(base)
    return promoted[-1] if promoted else None


def _end_of_last_line(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _encoder_hash(model: Model) -> str:
    if model.card is None or model.card.task != "reid" or model.identity is None:
        raise ModelError(f"{model.name}: not a re-ID encoder with a card: only encoders are promoted")
    return model.identity


def _not_a_descendant(model: Model, base: str, lineage: tuple[str, ...], registry: ModelRegistry) -> str:
    entry = registry.find_hash(base)
    wanted = f"{entry.name} ({base[:12]})" if entry else base[:12]
    why = "has no parent" if not lineage else f"descends from {lineage[-1][:12]}"
    return (
        f"{model.name}: {why}, not from the configured encoder {wanted}: only its descendants are promoted; to use "
        "this model all the same, set encoder.model to it"
    )
