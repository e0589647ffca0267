"""Encryption at rest: nothing of a picture or vector is in any file, each opens in its own place only, and keys go."""

from __future__ import annotations

import base64
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from reid_pipeline.storage.backup import back_up, restore
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_configured, open_database
from reid_pipeline.storage.encryption import Kind, Place, Vault
from reid_pipeline.storage.erasure import Erasures
from reid_pipeline.storage.erasure_plan import Target
from reid_pipeline.storage.errors import CropError, KeyShredded, MasterKeyError, SealBroken
from reid_pipeline.storage.master_key import check_key, noted_key, read_key, write_key
from reid_pipeline.storage.permissions import MACHINE_ACCESS
from reid_pipeline.storage.records import Changes, ModelRecord
from reid_pipeline.storage.reembedding import Backlog
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.site_check import check_site
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.vector_index_sync import SiteIndex, index_folder
from tests.storage.conftest import NOON_US, open_sample
from tests.storage.stored_people import DAY_US, PEOPLE, fill, secret, time_of, traces, vector

ALL = range(1, 2 * PEOPLE + 1)
LAST_DAY = time_of(2 * PEOPLE)
DAY = NOON_US // DAY_US
OF_DAYS = frozenset(Kind) - {Kind.WATCH}


def open_vault(site):
    """As another process would, which has seen no key yet."""
    return Vault(site.database.session_scope, noted_key(site.data_dir))


def vectors_of(site):
    return {row.number: row.vector for row in site.repository.gallery("m1", 0)}


def forget(site, **limits):
    retention = Retention(site.database)
    retention.account(retention.remove(Limits(**limits)), "retention")


def keys(site):
    rows = site.rows("SELECT kind, day FROM data_keys ORDER BY kind, day")
    return {kind: [day - DAY for each, day in rows if each == kind] for kind in OF_DAYS}


class TestStored:
    def test_nothing_is_in_the_clear_in_any_file(self, sealed):
        assert [number for number in ALL if traces(sealed, number)] == []
        assert not any(b"\xff\xd8\xff" in path.read_bytes() for path in (sealed.data_dir / "crops").rglob("*.jpg"))
        stored = [row[0] for row in sealed.rows("SELECT vector FROM embeddings")]
        assert not any(vector(number).tobytes() in bytes(content) for number in ALL for content in stored)

    def test_all_of_it_is_read_as_it_was(self, sealed):
        for number in ALL:
            np.testing.assert_array_equal(vectors_of(sealed)[number], vector(number))
        [path] = [path for path in sealed.files() if path.endswith("/3_3.jpg")]
        assert sealed.crops.read(path) == secret(3)
        store = CorpusStore(sealed.database)
        assert [jpeg for _, jpeg in store.read(store.items())] == [secret(number) for number in (1, 2, 4, 3, 5, 6)]
        views = list(sealed.repository.tracklet_views("m1", ViewFilter(tracklet=("hall", 2))))
        np.testing.assert_array_equal(views[0].vectors, vector(2)[None])

    def test_a_site_that_is_not_encrypted_has_no_keys(self, site):
        fill(site)
        assert site.rows("SELECT count(*) FROM data_keys") == [(0,)]
        assert all(traces(site, number) for number in ALL)

    def test_embeddings_of_another_model_are_sealed_too(self, sealed):
        sealed.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
        backlog = Backlog(sealed.database, "m2")
        crops = backlog.next(100)
        backlog.add([each.id for each in crops], np.stack([vector(50 + row) for row in range(len(crops))]))
        found = {row.number: row.vector for row in sealed.repository.gallery("m2", 0)}
        assert len(found) == len(crops) == len(ALL)
        np.testing.assert_array_equal(found[6], vector(50))
        stored = b"".join(bytes(row[0]) for row in sealed.rows("SELECT vector FROM embeddings"))
        assert b"vector of tracklet" not in stored

    def test_the_vector_index_is_in_memory_only(self, sealed):
        looks = np.eye(4, dtype=np.float32)
        sealed.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
        views = [replace(sealed.view(1, 50 + row, model="m2"), embedding=look) for row, look in enumerate(looks)]
        sealed.write(Changes(views=tuple(views)))
        index = SiteIndex(sealed.database, "m2")
        index.synchronise()
        assert index.save()
        found = index.search(looks[2][None], 1)
        assert found.ids[0, 0] == sealed.rows("SELECT max(id) - 1 FROM embeddings")[0][0]
        assert not index_folder(sealed.data_dir, "m2").exists()


class TestPlaces:
    def test_a_picture_in_the_place_of_another_one_is_told(self, sealed):
        one, other = sorted(path for path in sealed.files() if "2025-11-21" in path)
        shutil.copy(sealed.data_dir / one, sealed.data_dir / other)
        assert sealed.crops.read(one)
        with pytest.raises(SealBroken, match="hall"):
            sealed.crops.read(other)

    @pytest.mark.parametrize("place", [4, 20, -1], ids=["nonce", "content", "tag"])
    def test_a_picture_that_was_changed_is_told(self, sealed, place):
        path = sealed.data_dir / sorted(sealed.files())[0]
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(SealBroken):
            sealed.crops.read(sorted(sealed.files())[0])

    def test_a_vector_in_the_place_of_another_one_is_told(self, sealed):
        with sealed.database.session_scope(write=True) as session:
            swap = "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 2) WHERE id = 4"
            session.execute(text(swap))  # both of one camera and day
        with pytest.raises(SealBroken):
            vectors_of(sealed)

    def test_a_key_in_the_place_of_another_one_is_told(self, sealed):
        with sealed.database.session_scope(write=True) as session:
            other = f"SELECT wrapped FROM data_keys WHERE kind = 'crops' AND day = {DAY + 1}"
            session.execute(text(f"UPDATE data_keys SET wrapped = ({other}) WHERE kind = 'crops' AND day = {DAY}"))
        with pytest.raises(SealBroken, match="key"):
            CropStore(sealed.data_dir, sealed.database.vault).read(sorted(sealed.files())[0])

    def test_a_crop_of_the_corpus_in_the_place_of_another_one_is_told(self, sealed):
        store = CorpusStore(sealed.database)
        items = list(store.items())
        strange = replace(items[1], offset=items[2].offset, length=items[2].length, shard=items[2].shard)
        with pytest.raises(SealBroken):
            list(store.read([strange]))

    def test_nothing_is_sealed_twice_alike(self, sealed):
        place = Place(Kind.CROPS, "hall", DAY)
        with sealed.database.session_scope(write=True) as session:
            sealer = sealed.database.vault.sealer(session.connection())
            one, other = sealer.seal(place, "a", b"content"), sealer.seal(place, "a", b"content")
        assert one != other
        assert {sealed.database.vault.open(place, "a", each) for each in (one, other)} == {b"content"}


class TestShredding:
    def test_with_the_last_picture_of_a_day_its_key_goes_from_every_file(self, sealed, tmp_path):
        path = next(path for path in sealed.files() if "2025-11-20" in path)
        copy = tmp_path / "copy.jpg"
        shutil.copy(sealed.data_dir / path, copy)
        [[wrapped]] = sealed.rows(f"SELECT wrapped FROM data_keys WHERE kind = 'crops' AND day = {DAY}")
        fresh = open_vault(sealed)

        forget(sealed, crops=time_of(2))

        assert keys(sealed) == {"crops": [1, 2, 3], "embeddings": [0, 1, 2, 3], "corpus": [0, 1, 2, 3], "clips": []}
        files = [each for each in sealed.data_dir.rglob("*") if each.is_file()]
        assert not any(bytes(wrapped) in each.read_bytes() for each in files)
        with pytest.raises(KeyShredded):
            fresh.open(Place(Kind.CROPS, "hall", DAY), path, copy.read_bytes())
        shutil.copy(copy, sealed.data_dir / path)
        with pytest.raises(CropError, match="gone"):
            CropStore(sealed.data_dir, fresh).read(path)

    def test_each_kind_has_its_own(self, sealed):
        forget(sealed, embeddings=LAST_DAY)
        assert keys(sealed) == {"crops": [0, 1, 2, 3], "embeddings": [3], "corpus": [0, 1, 2, 3], "clips": []}
        forget(sealed, corpus=LAST_DAY)
        assert keys(sealed)["corpus"] == [3]
        forget(sealed, tracks=LAST_DAY + DAY_US)
        assert keys(sealed) == {"crops": [], "embeddings": [], "corpus": [3], "clips": []}
        assert sealed.crops.delete_except(()) == 0

    def test_erasing_the_only_one_of_a_day_takes_the_key(self, sealed):
        erasures = Erasures(sealed.database, MACHINE_ACCESS)
        erasures.erase(Target(tracklets=(("hall", 1),)), "asked for it")
        assert keys(sealed) == {kind: [1, 2, 3] for kind in ("crops", "embeddings", "corpus")} | {"clips": []}
        np.testing.assert_array_equal(vectors_of(sealed)[2], vector(2))

    def test_a_day_whose_key_went_can_be_written_to_again(self, sealed):
        """As when a run reads an old recording while retention removes what it gives."""
        before = sealed.crops.read(next(path for path in sealed.files() if path.endswith("/1_1.jpg")))
        forget(sealed, crops=time_of(2), embeddings=time_of(2))
        sealed.write(Changes(views=(sealed.view(1, 40),)))
        [path] = [path for path in sealed.files() if path.endswith("/1_40.jpg")]
        assert sealed.crops.read(path) == b"jpeg 1 40" != before  # this store knew the first key
        assert CropStore(sealed.data_dir, open_vault(sealed)).read(path) == b"jpeg 1 40"

    def test_a_transaction_that_fails_leaves_no_key_that_is_used(self, sealed):
        place = Place(Kind.CLIPS, "hall", DAY)
        with pytest.raises(RuntimeError), sealed.database.session_scope(write=True) as session:
            lost = sealed.database.vault.sealer(session.connection()).seal(place, "a", b"content")
            raise RuntimeError
        with pytest.raises(KeyShredded):
            sealed.database.vault.open(place, "a", lost)
        with sealed.database.session_scope(write=True) as session:
            kept = sealed.database.vault.sealer(session.connection()).seal(place, "a", b"content")
        assert sealed.database.vault.open(place, "a", kept) == b"content"


class TestMasterKey:
    def test_the_folder_alone_finds_it(self, sealed, key):
        with open_database(sealed.data_dir) as database:
            assert database.vault.encrypts
        secret_key = read_key(str(key))
        files = [each for each in sealed.data_dir.rglob("*") if each.is_file()]
        for form in (secret_key, base64.b64encode(secret_key), secret_key.hex().encode()):
            assert not any(form in each.read_bytes() for each in files)

    def test_it_may_come_from_the_environment(self, tmp_path, monkeypatch, key):
        monkeypatch.setenv("REID_TEST_KEY", key.read_text())
        with open_configured(tmp_path / "d", None, master_key="env:REID_TEST_KEY") as database:
            fill(open_sample(database))
        monkeypatch.delenv("REID_TEST_KEY")
        with pytest.raises(MasterKeyError, match=r"^REID_TEST_KEY is not set: expected the master key"):
            open_database(tmp_path / "d")
        with open_configured(tmp_path / "d", None, master_key=str(key)) as database:  # the same one, from a file
            assert len(list(Repository(database, CropStore(tmp_path / "d")).gallery("m1", 0))) == len(ALL)
        with open_database(tmp_path / "d") as database:
            assert database.vault.encrypts

    def test_another_key_is_told_before_anything_is_written(self, tmp_path, sealed):
        other = tmp_path / "other.key"
        write_key(other)
        with pytest.raises(MasterKeyError, match="is another key"):
            check_key(sealed.data_dir, str(other))
        shutil.copy(other, tmp_path / "master.key")
        with pytest.raises(MasterKeyError, match="is another key"):
            open_database(sealed.data_dir)

    def test_an_encrypted_site_is_not_gone_on_with_in_the_clear(self, tmp_path, key):
        open_configured(tmp_path / "d", None, master_key=str(key)).close()
        with pytest.raises(MasterKeyError, match=r"is encrypted: expected site\.master_key: /"):
            open_configured(tmp_path / "d", None)

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ("", "no master key"),
            ("c2hvcnQ=", "no master key"),
            ("not base64 at all: äö", "not text"),
            ("*" * 44, "no master key"),
            (base64.b64encode(bytes(33)).decode(), "no master key"),
        ],
    )
    def test_what_is_no_key(self, tmp_path, content, match):
        path = tmp_path / "bad"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MasterKeyError, match=match) as error:
            open_configured(tmp_path / "d", None, master_key=str(path))
        assert "\n" not in str(error.value)
        assert not content or content not in str(error.value)
        assert not (tmp_path / "d").exists()

    def test_a_key_beside_the_data_is_refused(self, tmp_path):
        (tmp_path / "d").mkdir()
        write_key(tmp_path / "d" / "key")
        with pytest.raises(MasterKeyError, match="outside of"):
            open_configured(tmp_path / "d", None, master_key=str(tmp_path / "d" / "key"))

    def test_a_new_key_is_its_owners_alone_and_never_in_place_of_another(self, key):
        assert key.stat().st_mode & 0o777 == 0o600
        assert len(read_key(str(key))) == 32
        before = key.read_bytes()
        with pytest.raises(MasterKeyError, match="new file"):
            write_key(key)
        assert key.read_bytes() == before


class TestChangeOver:
    def test_what_was_there_stays_readable_and_is_counted(self, tmp_path, key):
        with open_database(tmp_path / "d") as database:
            site = open_sample(database)
            fill(site)
            index_folder(tmp_path / "d", "m1").mkdir(parents=True)  # as searches leave it
            assert check_site(database) == ()
        with open_configured(tmp_path / "d", None, master_key=str(key)) as database:
            later = replace(site, database=database, crops=CropStore(database.data_dir, database.vault))
            later.repository = Repository(database, later.crops)
            later.write(Changes(views=(later.view(1, 70),)))
            assert not (tmp_path / "d" / "index").exists()
            assert {later.crops.read(path) for path in later.files()} == {
                b"jpeg 1 70",
                *(secret(number) for number in ALL),
            }
            # The sample's new vector is shorter than those that were there.
            stored = [bytes(row[0]) for row in later.rows("SELECT vector FROM embeddings ORDER BY id")]
            assert b"vector of" in stored[0]
            assert len(stored[-1]) == 8 + 32
            found = {each.what: each.count for each in check_site(database)}
            assert found == {
                "crops that are not encrypted: they go when their time is up": 6,
                "embeddings that are not encrypted: they go when their time is up": 6,
                "crops of the corpus that are not encrypted: they go when their time is up": 6,
            }

    def test_without_the_note_nothing_is_taken_for_plain(self, sealed):
        if sealed.database.vault.encrypts:
            (sealed.data_dir / "encryption.json").unlink()
        with open_database(sealed.data_dir) as database:
            repository = Repository(database, CropStore(sealed.data_dir, database.vault))
            with pytest.raises(MasterKeyError, match=r"expected site\.master_key"):
                list(repository.gallery("m1", 0))


def test_a_backup_holds_no_master_key_and_opens_with_it(tmp_path, key):
    with open_configured(tmp_path / "d", None, master_key=str(key)) as database:
        fill(open_sample(database))
    done = back_up(tmp_path / "d", tmp_path / "b")
    content = b"".join(path.read_bytes() for path in done.folder.rglob("*") if path.is_file())
    assert not any(secret(number)[2:] in content for number in ALL)
    assert read_key(str(key)) not in content
    restore(tmp_path / "b", tmp_path / "again")
    with open_database(tmp_path / "again") as database:
        crops = CropStore(database.data_dir, database.vault)
        assert len({row.number for row in Repository(database, crops).gallery("m1", 0)}) == len(ALL)
        paths = [path.relative_to(tmp_path / "again").as_posix() for path in (tmp_path / "again").glob("crops/*/*/*")]
        assert {crops.read(path) for path in paths} == {secret(number) for number in ALL}
    key.unlink()
    with pytest.raises(MasterKeyError):
        open_database(tmp_path / "again")
