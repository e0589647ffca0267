import json

import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.backup import MANIFEST, back_up, list_backups, restore
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import BackupError
from reid_pipeline.storage.repository import Repository
from tests.storage.stored_people import fill, secret

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def stored(site):
    fill(site)
    AuditLog(site.database)
    return site


def test_a_site_is_put_back_as_it_was(stored, tmp_path):
    done = back_up(stored.data_dir, tmp_path / "backup")

    restore(done.folder, tmp_path / "again")

    with open_database(tmp_path / "again", create=False) as database:
        repository = Repository(database, CropStore(tmp_path / "again"))
        assert [each.number for each in repository.tracklet_boxes("hall")] == [1, 2, 3, 4, 5, 6]
        crops = CropStore(tmp_path / "again")
        path = repository.journey(1).tracklets[0].crops[0].path
        assert crops.read(path) == secret(1)
        corpus = CorpusStore(database)
        assert [jpeg for _, jpeg in corpus.read(list(corpus.items()))] == [secret(n) for n in (1, 2, 4, 3, 5, 6)]
        assert AuditLog(database).public_key == AuditLog(stored.database).public_key


def test_a_backup_is_taken_while_something_is_written(stored, tmp_path):
    with stored.database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("UPDATE tracklets SET number = 100 + number")
        back_up(stored.data_dir, tmp_path / "backup")

    restore(tmp_path / "backup", tmp_path / "again")

    with open_database(tmp_path / "again") as database:
        numbers = [each.number for each in Repository(database, CropStore(tmp_path)).tracklet_boxes("hall")]
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_backups_are_listed_and_leave_themselves_out(stored):
    first = back_up(stored.data_dir)

    assert list_backups(stored.data_dir) == (first,)
    names = json.loads((first.folder / MANIFEST).read_text())["files"]
    assert {name.split("/")[0] for name in names} == {"site.db", "crops", "corpus", "signing.key"}
    assert (first.folder.stat().st_mode & 0o777) == 0o700


def spoil_file(backup):
    next((backup / "crops").rglob("*.jpg")).write_bytes(b"another")


def remove_file(backup):
    (backup / "site.db").unlink()


def remove_manifest(backup):
    (backup / MANIFEST).unlink()


def name_outside(backup):
    content = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps({**content, "files": {"../../etc/passwd": "0"}}))


@pytest.mark.parametrize("spoil", [spoil_file, remove_file, remove_manifest, name_outside])
def test_what_is_no_whole_backup_is_not_restored(stored, tmp_path, spoil):
    back_up(stored.data_dir, tmp_path / "backup")
    spoil(tmp_path / "backup")

    with pytest.raises(BackupError):
        restore(tmp_path / "backup", tmp_path / "again")

    assert not (tmp_path / "again").exists()


def test_nothing_is_overwritten(stored, tmp_path):
    back_up(stored.data_dir, tmp_path / "backup")

    with pytest.raises(BackupError, match="is not empty"):
        back_up(stored.data_dir, tmp_path / "backup")
    with pytest.raises(BackupError, match="is not empty"):
        restore(tmp_path / "backup", stored.data_dir)
