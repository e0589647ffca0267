"""The site that this process serves: opened once, for everybody who looks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from reid_pipeline.dashboard.signed_links import Kind, Link, SignedLinks
from reid_pipeline.pipeline.searcher import Searcher, SearchTools
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.login_sessions import LoginSessions
from reid_pipeline.storage.permissions import Access
from reid_pipeline.storage.repository import Repository


@dataclass(frozen=True, slots=True)
class ServedSite:
    """A site and who is logged in to it.

    Attributes:
        site: Opened by whoever started the dashboard.
        sessions: Who is logged in.
        tools: What searches need, opened with the first one.
        links: Makes and reads the addresses of pictures.
    """

    site: SiteData
    sessions: LoginSessions
    tools: SearchTools
    links: SignedLinks = field(default_factory=SignedLinks)

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return self.site.database.data_dir

    def visit(self, access: Access) -> Visitor:
        """The site as somebody may see it."""
        repository = Repository(self.site.database, self.site.crops, access)
        return Visitor(replace(self.site, access=access, repository=repository), self.links, self.tools)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who looks at a page.

    Attributes:
        site: The site as far as they may see it.
        links: Makes the addresses of pictures.
        tools: What searches need.
    """

    site: SiteData
    links: SignedLinks
    tools: SearchTools

    @property
    def access(self) -> Access:
        """What they may do and see."""
        return self.site.access

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The cameras that they may see, None for all: what a cached answer has to depend on."""
        return None if self.access.cameras is None else tuple(sorted(self.access.cameras))

    @property
    def searcher(self) -> Searcher:
        """Searches for them."""
        return Searcher(self.site, self.tools)

    def crop_address(self, path: str) -> str:
        """The address of a crop by its path in the data folder, ``crops/<camera>/...``."""
        return f"/crop/{self._token('crop', (path.split('/')[1],), path)}"

    def clip_address(self, path: str) -> str:
        """The address of a clip by its path in the data folder, ``clips/<camera>/...``."""
        return f"/clip/{self._token('clip', (path.split('/')[1],), path)}"

    def report_address(self, name: str) -> str:
        """The address of a report of learning, which only those get who see all cameras."""
        return f"/report/{self._token('report', (), name)}"

    def wall_token(self, cameras: tuple[str, ...]) -> str:
        """Opens the live pictures of some cameras."""
        return self._token("live", cameras, "")

    def _token(self, kind: Kind, cameras: tuple[str, ...], value: str) -> str:
        return self.links.make(Link(self.access.name, kind, cameras, value))


_SERVED: list[ServedSite] = []


def serve(site: ServedSite) -> None:
    """Makes a site the one that the pages of this process show."""
    _SERVED[:] = [site]


def served_site() -> ServedSite:
    """The site that the pages of this process show.

    Raises:
        RuntimeError: There is none; the dashboard is started by `reid-pipeline dashboard`.
    """
    if not _SERVED:
        raise RuntimeError("dashboard: expected to be started by `reid-pipeline dashboard`")
    return _SERVED[0]
