"""Searches of one site, one after the other, with its models and indices kept open: for a dashboard and the command.

picture -> `find_persons`, `person` -> `query` -> `search` -> somebody looks at the hits -> `refine` -> `search` ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.image_folder import read_image
from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.search import RERANKED, Found, Query, combine, refine, reorder, search
from reid_pipeline.pipeline.search_candidates import Candidates
from reid_pipeline.pipeline.search_models import SearchModels
from reid_pipeline.pipeline.search_picture import PersonInPicture, PixelBox, find_person, find_persons, person_at
from reid_pipeline.pipeline.search_query import query_of_identity, query_of_picture, query_of_tracklet
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.permissions import Access
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Of one person: all of it is one query.

    Attributes:
        persons: Out of pictures.
        sightings: Tracklets by camera and number.
        identities: All tracklets of these.
    """

    persons: Sequence[PersonInPicture] = ()
    sightings: Sequence[TrackletKey] = ()
    identities: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is asked of a search.

    Attributes:
        where: Among which tracklets.
        top_k: How many hits at most.
        reorder: Whether neighbourhoods put the best hits in order, see `search.reorder`; else the probability alone.
    """

    where: ViewFilter = field(default_factory=ViewFilter)
    top_k: int = 20
    reorder: bool = True


class SearchTools:
    """What searches of one site share, whoever asks: its models, its vector indices, and whose turn it is."""

    def __init__(self, site: SiteData) -> None:
        self.models = SearchModels(site)
        self.candidates = Candidates(site.database)
        self.lock = Lock()


class Searcher:
    """Searches a site for one user; any number of threads may call it, and one search is done at a time.

    Args:
        site: The site; what is found is what its access allows.
        tools: Of another searcher of the site; its own where left out.
    """

    def __init__(self, site: SiteData, tools: SearchTools | None = None) -> None:
        self._site = site
        self._tools = tools or SearchTools(site)

    def seen_by(self, access: Access) -> Searcher:
        """The same for another user: models and indices are shared."""
        repository = Repository(self._site.database, self._site.crops, access)
        return Searcher(replace(self._site, access=access, repository=repository), self._tools)

    def find_persons(self, image: Image) -> Boxes:
        """Where persons are in an image: ``(N, 4)``, the largest first.

        Raises:
            ModelError: The detector of the site cannot be used.
        """
        with self._tools.lock:
            return find_persons(image, self._tools.models.detector())

    def person(self, image: Image, box: PixelBox | None = None) -> PersonInPicture:
        """Who is searched for in an image: who is at a box, else the largest person that is found.

        Raises:
            InputError: The box is outside the image.
            ModelError: The detector of the site cannot be used.
        """
        if box is not None:
            return person_at(image, box)
        with self._tools.lock:
            return find_person(image, self._tools.models.detector())

    def query(self, examples: Examples) -> Query:
        """One query out of all that is known of a person.

        Raises:
            InputError: There are no examples, or one of them names nobody, or nothing to compare.
            ModelError: None of the site's encoders is left.
        """
        with self._tools.lock:
            parts = [
                *(query_of_picture(self._site, each, self._tools.models) for each in examples.persons),
                *(query_of_tracklet(self._site, each) for each in examples.sightings),
                *(query_of_identity(self._site, each) for each in examples.identities),
            ]
        if not parts:
            raise InputError("nobody is searched for: expected a picture, a sighting or an identity")
        return combine(parts)

    def refine(self, query: Query, accepted: Iterable[TrackletKey], rejected: Iterable[TrackletKey]) -> Query:
        """A query after somebody has looked at its hits; see `search.refine`.

        Raises:
            InputError: An accepted tracklet is none.
        """
        return refine(query, [query_of_tracklet(self._site, key) for key in accepted], rejected)

    def search(self, query: Query, wanted: Wanted) -> Found:
        """Who may be the one, the best first.

        Raises:
            StorageError: The site is large, and FAISS is not installed.
        """
        count = max(wanted.top_k, RERANKED) if wanted.reorder else wanted.top_k
        with self._tools.lock:
            self._tools.candidates.refresh()
            calibrate, narrow = self._tools.models.calibration, self._tools.candidates.narrow
            found = search(self._site.repository, query, wanted.where, count, calibrate, narrow)
        hits = reorder(query, found.hits) if wanted.reorder else found.hits
        return replace(found, hits=hits[: wanted.top_k])


def read_picture(path: Path) -> Image:
    """A picture that somebody searches with, ``(H, W, 3)``.

    Raises:
        InputError: It cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a picture of a person, .jpg or .png")
    return read_image(path)
