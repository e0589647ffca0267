"""Searching a large site by its vector index: the same hits as when everybody is compared."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.pipeline import search_candidates
from reid_pipeline.pipeline.calibration import load_calibration, refit_calibration
from reid_pipeline.pipeline.search import Query, search
from reid_pipeline.pipeline.search_candidates import Candidates
from reid_pipeline.pipeline.search_query import query_of_identity, query_of_tracklet
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage import vector_index_ivf, vector_quick
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.vector_index_sync import index_folder
from tests.pipeline.crowd import draw_crowd
from tests.pipeline.stored_crowd import MODEL, START_US, store_crowd

SECOND_US = 1_000_000
FILTERS = {
    "everybody": ViewFilter(),
    "cameras": ViewFilter(cameras=("c1", "c3")),
    "time": ViewFilter(since_us=START_US + 300 * SECOND_US, until_us=START_US + 900 * SECOND_US),
    "a moment": ViewFilter(since_us=START_US + 400 * SECOND_US, until_us=START_US + 402 * SECOND_US),
    "an unknown camera": ViewFilter(cameras=("roof",)),
    "both": ViewFilter(("c0",), START_US + 200 * SECOND_US),
}


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(people=40, sightings=6, noise=0.15)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, crowd):
    folder = tmp_path_factory.mktemp("crowd")
    store_crowd(folder, crowd)
    with open_database(folder) as database:
        assert refit_calibration(Repository(database, CropStore(folder)), MODEL, 1)
    return folder


@pytest.fixture
def site(data_dir, monkeypatch):
    monkeypatch.setattr(vector_index_ivf, "SEAL_ROWS", 200)
    monkeypatch.setattr(vector_quick, "QUICK_ROWS", 300)
    with open_site(None, data_dir) as site:
        yield site


def find(site, query, wanted, top_k, *narrow):
    return search(site.repository, query, wanted, top_k, lambda each: load_calibration(site.repository, each), *narrow)


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("top_k", [1, 10])
def test_the_same_hits(site, crowd, wanted, top_k):
    candidates = Candidates(site.database, large=1)
    queries = [query_of_tracklet(site, (f"c{crowd.cameras[place]}", place + 1)) for place in range(0, 240, 40)]
    queries += [query_of_identity(site, 3), Query({MODEL: crowd.looks[7]})]
    for query in queries:
        whole, found = find(site, query, wanted, top_k), find(site, query, wanted, top_k, candidates.narrow)
        assert found.hits == whole.hits
        assert found.compared[MODEL] <= whole.compared[MODEL]


def test_few_are_compared(site, crowd):
    query = Query({MODEL: crowd.looks[7]})
    narrow = Candidates(site.database, large=1).narrow
    assert find(site, query, ViewFilter(), 1).compared[MODEL] == 240
    assert find(site, query, ViewFilter(), 1, narrow).compared[MODEL] < 200


def test_own_tracklets_leave_room_for_others(site, monkeypatch):
    """The nearest of all are those that are searched for."""
    monkeypatch.setattr(search_candidates, "_SPARE", 0)
    monkeypatch.setattr(search_candidates, "_VIEWS", 1)
    query, wanted = query_of_identity(site, 3), ViewFilter(cameras=(query_of_identity(site, 3).own[0].camera,))
    assert len(find(site, query, wanted, 1, Candidates(site.database, large=1).narrow).hits) == 1


def test_a_small_site_has_no_index(site, crowd, tmp_path):
    store_crowd(tmp_path, draw_crowd(people=3, sightings=2))
    with open_site(None, tmp_path) as small:
        narrow = Candidates(small.database).narrow
        wanted = ViewFilter(cameras=("c1",))
        assert list(narrow(MODEL, Query({MODEL: crowd.looks[0]}), wanted, 5)) == [wanted]
    assert not index_folder(tmp_path, MODEL).exists()


def test_the_index_is_kept(site, crowd):
    list(Candidates(site.database, large=1).narrow(MODEL, Query({MODEL: crowd.looks[0]}), ViewFilter(), 5))
    assert (index_folder(site.database.data_dir, MODEL) / "manifest.json").is_file()


def test_what_was_removed_since_is_not_found(crowd, tmp_path):
    store_crowd(tmp_path, draw_crowd(people=12, sightings=4))
    with open_site(None, tmp_path) as site:
        query = query_of_tracklet(site, ("c0", int(np.flatnonzero(draw_crowd(12, 4).cameras == 0)[0]) + 1))
        narrow = Candidates(site.database, large=1).narrow
        before = find(site, query, ViewFilter(), 5, narrow).hits
        gone = before[0].tracklet
        with site.database.session_scope(write=True) as session:
            session.execute(
                text(
                    "DELETE FROM embeddings WHERE tracklet_id IN (SELECT t.id FROM tracklets t JOIN cameras c "
                    f"ON c.id = t.camera_id WHERE c.name = '{gone.camera}' AND t.number = {gone.number})"
                )
            )
        after = find(site, query, ViewFilter(), 5, narrow).hits
        assert after == find(site, query, ViewFilter(), 5).hits
        assert gone not in [hit.tracklet for hit in after]


def test_one_that_is_kept_takes_in_what_was_stored_since(tmp_path, monkeypatch):
    monkeypatch.setattr(search_candidates, "_SPARE", 0)
    crowd = draw_crowd(people=12, sightings=4)
    store_crowd(tmp_path, crowd)
    with open_site(None, tmp_path) as site:
        query, candidates = Query({MODEL: crowd.looks[0]}), Candidates(site.database, large=1)
        own = f"c{crowd.cameras[0]}", 1
        with site.database.session_scope(write=True) as session:
            place = (
                "(SELECT t.id FROM tracklets t JOIN cameras c ON c.id = t.camera_id WHERE c.name = :c AND number = 1)"
            )
            rows = session.execute(text(f"SELECT * FROM embeddings WHERE tracklet_id = {place}"), {"c": own[0]}).all()
            session.execute(text(f"DELETE FROM embeddings WHERE tracklet_id = {place}"), {"c": own[0]})
        assert own not in _keys(find(site, query, ViewFilter(), 1, candidates.narrow))
        with site.database.session_scope(write=True) as session:
            names = list(rows[0]._fields)
            values = [dict(row._mapping) | {"id": 10_000 + place} for place, row in enumerate(rows)]
            columns = ", ".join(names), ", ".join(f":{name}" for name in names)
            session.execute(text(f"INSERT INTO embeddings ({columns[0]}) VALUES ({columns[1]})"), values)
        candidates.refresh()
        found = find(site, query, ViewFilter(), 1, candidates.narrow)
        assert _keys(found)[0] == own
        assert found.compared[MODEL] < len(crowd.people)


def _keys(found):
    return [(hit.tracklet.camera, hit.tracklet.number) for hit in found.hits]
