"""Examples of watch lists on an encrypted site: in no file in the clear, and each entry's key goes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.storage.backup import back_up, restore
from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.database import open_configured, open_database
from reid_pipeline.storage.encryption import Kind, Place, Vault
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import KeyShredded, SealBroken, WatchRefused
from reid_pipeline.storage.master_key import noted_key
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import ModelRecord
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.site_check import check_site
from reid_pipeline.storage.watch_lists import Proposal, WatchLists, read_active
from reid_pipeline.storage.watch_vectors import Example
from tests.storage.conftest import open_sample
from tests.storage.stored_people import DAY_US, fill, time_of, traces, vector

NOW_US = 4_000_000_000_000_000  # in the year 2096: retention goes by the real clock
PAST_US = 1_000_000_000_000
IVY = Access("ivy", Role.INVESTIGATOR)
PAM = Access("pam", Role.PRIVACY_OFFICER)
ADA = Access("ada", Role.ADMIN)
PICTURE = Example("m1", vector(9))  # of a picture that somebody brought
SIGHTING = Example("m1", vector(1), ("hall", 1))


@pytest.fixture
def watched(sealed):
    """The people, encrypted, with an open case."""
    Cases(sealed.database, ADA).open("theft", "report 12")
    return sealed


def watch(site, *examples, now_us=NOW_US):
    """An active entry; its number."""
    proposal = Proposal(1, "report 12", now_us + DAY_US, 0.1, examples=examples)
    entry = WatchLists(site.database, IVY, lambda: now_us).propose(proposal)
    WatchLists(site.database, PAM, lambda: now_us).approve(entry)
    return entry


def examples_of(site):
    return {each.id: each.examples["m1"] for each in read_active(site.database, NOW_US) if each.examples}


def entries_with_keys(site):
    return [row[0] for row in site.rows("SELECT day FROM data_keys WHERE kind = 'watch examples' ORDER BY day")]


def swap(site, statement):
    with site.database.session_scope(write=True) as session:
        session.execute(text(f"UPDATE watch_examples SET {statement}"))


class TestStored:
    def test_no_byte_of_a_vector_is_in_any_file_and_all_are_found(self, watched):
        watch(watched, SIGHTING, PICTURE)
        other = watch(watched, Example("m1", vector(8)))
        stored = [bytes(row[0]) for row in watched.rows("SELECT vector FROM watch_examples")]
        assert not any(b"vector of" in each for each in stored)
        assert {len(each) for each in stored} == {64 + 32}
        assert [number for number in (1, 8, 9) if traces(watched, number)] == []
        found = examples_of(watched)
        np.testing.assert_array_equal(found[1], [vector(1), vector(9)])
        np.testing.assert_array_equal(found[other], [vector(8)])
        with open_database(watched.data_dir) as again:  # which has seen no key yet
            np.testing.assert_array_equal(read_active(again, NOW_US)[0].examples["m1"], [vector(1), vector(9)])
        assert entries_with_keys(watched) == [1, other]
        assert check_site(watched.database) == ()

    def test_a_site_in_the_clear_has_no_keys(self, site):
        fill(site)
        Cases(site.database, ADA).open("theft", "report 12")
        watch(site, PICTURE)
        assert [bytes(row[0]) for row in site.rows("SELECT vector FROM watch_examples")] == [vector(9).tobytes()]
        assert entries_with_keys(site) == []

    @pytest.mark.parametrize(
        "statement",
        [
            "vector = (SELECT vector FROM watch_examples WHERE id = 3) WHERE id = 1",
            "tracklet_id = (SELECT id FROM tracklets WHERE number = 2) WHERE id = 1",
            "model_id = (SELECT id FROM models WHERE hash = 'm2') WHERE id = 2",
        ],
        ids=["of another entry", "of another tracklet", "of another model"],
    )
    def test_what_is_said_to_be_something_else_is_told(self, watched, statement):
        watched.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
        watch(watched, SIGHTING, PICTURE)
        watch(watched, SIGHTING)
        swap(watched, statement)
        with pytest.raises(SealBroken, match="watch examples of entry 1"):
            examples_of(watched)

    def test_before_any_camera_was_read_there_is_nothing_to_compare_with(self, tmp_path, key):
        with open_configured(tmp_path / "new", None, master_key=str(key)) as database:
            site = open_sample(database)
            Cases(database, ADA).open("theft", "report 12")
            with pytest.raises(WatchRefused, match="no camera was read yet"):
                watch(site, PICTURE)
            assert site.rows("SELECT count(*) FROM watch_entries") == [(0,)]

    def test_what_was_there_in_the_clear_stays_readable_and_is_counted(self, tmp_path, key):
        with open_database(tmp_path / "d") as database:
            site = open_sample(database)
            fill(site)
            Cases(database, ADA).open("theft", "report 12")
            watch(site, PICTURE)
        with open_configured(tmp_path / "d", None, master_key=str(key)) as database:
            later = replace(site, database=database)
            watch(later, SIGHTING)
            np.testing.assert_array_equal(examples_of(later)[1], [vector(9)])
            np.testing.assert_array_equal(examples_of(later)[2], [vector(1)])
            counts = {each.what: each.count for each in check_site(database)}
        assert counts["examples of watch lists that are not encrypted: they go when their time is up"] == 1


class TestShredding:
    @pytest.fixture
    def shredded(self, watched):
        """Checks that the key of the first of two entries is gone from every file, and that of the second is not."""
        watch(watched, SIGHTING, PICTURE, now_us=PAST_US)
        watch(watched, Example("m1", vector(8)))
        [[wrapped]] = watched.rows("SELECT wrapped FROM data_keys WHERE kind = 'watch examples' AND day = 1")
        copies = [bytes(row[0]) for row in watched.rows("SELECT vector FROM watch_examples WHERE entry_id = 1")]
        fresh = Vault(watched.database.session_scope, noted_key(watched.data_dir))

        def check():
            assert entries_with_keys(watched) == [2]
            files = [path.read_bytes() for path in watched.data_dir.rglob("*") if path.is_file()]
            assert not any(each in content for each in (bytes(wrapped), *copies) for content in files)
            with pytest.raises(KeyShredded, match="watch examples of entry 1: cannot be read: their key is gone"):
                fresh.open(Place(Kind.WATCH, "hall", 1), "1 m1", copies[1])
            np.testing.assert_array_equal(examples_of(watched)[2], [vector(8)])

        return check

    def test_an_entry_that_is_ended_takes_its_key(self, watched, shredded):
        WatchLists(watched.database, IVY).end(1)
        shredded()

    def test_an_erasure_takes_it(self, watched, shredded):
        Erasures(watched.database, PAM).erase(Target(tracklets=(("hall", 1),)), "asked for it")
        shredded()

    def test_an_entry_that_expired_loses_it_with_retention(self, watched, shredded):
        retention = Retention(watched.database)
        removed = retention.remove(Limits())
        assert removed.watch == 2
        retention.account(removed, "retention")
        shredded()

    def test_with_the_last_tracklet_that_is_an_example_it_goes_too(self, watched):
        watch(watched, SIGHTING)
        watch(watched, SIGHTING, PICTURE)
        retention = Retention(watched.database)
        retention.account(retention.remove(Limits(tracks=time_of(1) + 1)), "retention")
        assert entries_with_keys(watched) == [2]
        np.testing.assert_array_equal(examples_of(watched)[2], [vector(9)])

    def test_who_watches_for_the_same_person_by_other_entries_keeps_them(self, watched):
        watch(watched, PICTURE)
        watch(watched, PICTURE)
        WatchLists(watched.database, IVY).end(1)
        np.testing.assert_array_equal(examples_of(watched)[2], [vector(9)])
        watch(watched, PICTURE)
        assert entries_with_keys(watched) == [2, 3]


def test_a_backup_holds_them_sealed_and_finds_them_again(tmp_path, key):
    with open_configured(tmp_path / "d", None, master_key=str(key)) as database:
        site = open_sample(database)
        fill(site)
        Cases(database, ADA).open("theft", "report 12")
        watch(site, SIGHTING, PICTURE)
    done = back_up(tmp_path / "d", tmp_path / "b")
    content = b"".join(path.read_bytes() for path in done.folder.rglob("*") if path.is_file())
    assert b"vector of" not in content
    restore(tmp_path / "b", tmp_path / "again")
    with open_database(tmp_path / "again") as database:
        [entry] = read_active(database, NOW_US)
        np.testing.assert_array_equal(entry.examples["m1"], [vector(1), vector(9)])
