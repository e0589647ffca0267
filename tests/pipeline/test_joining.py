from __future__ import annotations

import pytest

from reid_pipeline.pipeline.joining import join_sightings
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.repository import Repository
from tests.pipeline.identity_site import write_site

ADA = Access("ada", Role.OPERATOR)


@pytest.fixture
def site(tmp_path):
    """Identity 1: door 1 and hall 1; identity 2: hall 2 and door 2."""
    write_site(tmp_path)
    with open_database(tmp_path) as database:
        yield database


def who(database):
    overview = Overview(database, ADA)
    return overview.identities_of([("door", 1), ("door", 2), ("hall", 1), ("hall", 2)])


def join(database, *keys):
    return join_sightings(Corrections(database, ADA), Overview(database, ADA), keys)


def test_accepted_sightings_join_the_oldest_and_the_others_stay(site):
    assert join(site, ("hall", 2), ("hall", 1)) == 1
    assert who(site) == {("door", 1): 1, ("hall", 1): 1, ("hall", 2): 1, ("door", 2): 2}


def test_an_identity_that_is_accepted_whole_is_merged(site):
    assert join(site, ("hall", 2), ("door", 2), ("door", 1)) == 1
    assert set(who(site).values()) == {1}
    assert Repository(site, CropStore(site.data_dir)).identity(2).merged_into == 1


def test_what_is_one_already_stays_and_nobody_is_nobody(site):
    before = who(site)
    assert join(site, ("hall", 1), ("door", 1)) == 1
    assert join(site) is None
    assert join(site, ("hall", 99)) is None
    assert who(site) == before


def test_it_can_be_undone(site):
    before = who(site)
    join(site, ("hall", 2), ("hall", 1))
    corrections = Corrections(site, ADA)
    corrections.undo(1)
    corrections.undo(2)
    assert who(site) == before
