"""The stored data of a site, found by its cameras.yaml or its data folder, and times as people type them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from reid_pipeline.configs.loading import load_settings
from reid_pipeline.configs.settings import Settings, SiteSettings, non_default
from reid_pipeline.configs.times import find_timezone
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.storage.actor import current_user
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database, open_configured, open_database
from reid_pipeline.storage.permissions import Access
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.users import access_of


@dataclass(frozen=True, slots=True)
class SiteData:
    """An open site.

    Attributes:
        name: Its name in reports.
        timezone: Of times that are typed without one.
        settings: What it is configured with, as far as that differs from the default; keys as in `non_default`.
        database: Its database, for corrections.
        crops: Its pictures.
        repository: Its questions, as far as whoever asks may see the answers.
        access: What that is.
    """

    name: str
    timezone: tzinfo
    settings: Mapping[str, object]
    database: Database
    crops: CropStore
    repository: Repository
    access: Access

    @property
    def blurs_heads(self) -> bool:
        """Whether its encoders see people without their faces: pictures from elsewhere are to be made so too."""
        return bool(self.settings.get("site.blur_heads", SiteSettings().blur_heads))


@contextmanager
def open_site(
    cameras: Path | None, data_dir: Path | None, *, create: bool = False, actor: str | None = None
) -> Iterator[SiteData]:
    """Opens the data of a site; a run may be going on.

    Args:
        cameras: Its cameras.yaml.
        data_dir: Or its data folder; the settings are then those of its latest run.
        create: Whether to make the data folder a site where it is none.
        actor: Who asks; by default the user of the operating system.

    Raises:
        InputError: Both or neither were given.
        ConfigError: The cameras.yaml is wrong.
        NotAllowed: The user is none of the site's.
        DataDirError: There is no site, and `create` is off; or the folder cannot be written, or belongs to another
            database.
        DatabaseUnavailable: The PostgreSQL server does not let us in.
    """
    if (cameras is None) == (data_dir is None):
        raise InputError("expected either a CAMERAS.YAML or --data DIR, the data folder of a site")
    settings = load_settings(cameras) if cameras is not None else None
    with _open(settings, data_dir or Path(), create=create) as database:
        crops = CropStore(database.data_dir, database.vault)
        access = access_of(database, current_user(), actor)
        repository = Repository(database, crops, access)
        known = repository.last_settings() if settings is None else non_default(settings)
        name, timezone = _name_and_timezone(known)
        yield SiteData(name, find_timezone(timezone), known, database, crops, repository, access)


def _open(settings: Settings | None, data_dir: Path, *, create: bool) -> Database:
    if settings is None:
        return open_database(data_dir, create=create)
    site = settings.site
    return open_configured(site.data_dir, site.database, master_key=site.master_key, create=create)


def _name_and_timezone(settings: Mapping[str, object]) -> tuple[str, str]:
    defaults = SiteSettings()
    name, timezone = settings.get("site.name", defaults.name), settings.get("site.timezone", defaults.timezone)
    return str(name), str(timezone)


def parse_span_us(site: SiteData, since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """What was given for ``--since`` and ``--until``, as `parse_time_us`; None where nothing was.

    Raises:
        InputError: One of them is no time.
    """
    given = ((since, "--since"), (until, "--until"))
    begin, end = (None if text is None else parse_time_us(text, site.timezone, option) for text, option in given)
    return begin, end


def parse_time_us(text: str, timezone: tzinfo, option: str) -> int:
    """A time as people type it, in microseconds since 1970 UTC.

    Args:
        text: ISO-8601; a day alone is its midnight.
        timezone: Of a time without one.
        option: What it was given for, for the error.

    Raises:
        InputError: It is no such time.

    Example:
        >>> parse_time_us("1970-01-01T01:00:02+01:00", UTC, "--since")
        2000000
    """
    try:
        time = datetime.fromisoformat(text)
        aware = time if time.tzinfo else time.replace(tzinfo=timezone)
        return round(aware.astimezone(UTC).timestamp() * 1_000_000)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{option}: {text}: expected a time such as 2026-11-20, 2026-11-20T08:00 or 2026-11-20T08:00:00Z"
        ) from error
