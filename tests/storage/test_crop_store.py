from __future__ import annotations

import pytest

from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.errors import CropError

# 2026-11-20 00:00:00 UTC, by hand: 20777 days since 1970-01-01.
MIDNIGHT_US = 20_777 * 86_400 * 1_000_000


@pytest.fixture
def store(tmp_path):
    return CropStore(tmp_path)


def test_a_crop_lies_under_its_camera_and_utc_day(store, tmp_path):
    assert store.write("hall", MIDNIGHT_US, 7, 25, b"a") == "crops/hall/2026-11-20/7_25.jpg"
    assert store.write("hall", MIDNIGHT_US - 1, 7, 24, b"b") == "crops/hall/2026-11-19/7_24.jpg"
    assert (tmp_path / "crops/hall/2026-11-20/7_25.jpg").read_bytes() == b"a"
    assert store.read("crops/hall/2026-11-19/7_24.jpg") == b"b"


def test_writing_again_replaces_and_leaves_no_part(store, tmp_path):
    store.write("hall", MIDNIGHT_US, 7, 25, b"old")
    path = store.write("hall", MIDNIGHT_US, 7, 25, b"new")
    assert store.read(path) == b"new"
    assert [each.name for each in (tmp_path / path).parent.iterdir()] == ["7_25.jpg"]


def test_a_write_that_fails_leaves_the_old_crop_whole(store, tmp_path):
    path = store.write("hall", MIDNIGHT_US, 7, 25, b"old")
    (tmp_path / path).with_suffix(".part").mkdir()
    with pytest.raises(IsADirectoryError):
        store.write("hall", MIDNIGHT_US, 7, 25, b"new")
    assert store.read(path) == b"old"


@pytest.mark.parametrize(
    "camera", ["", ".", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", "a\n", "a\0", "ä", "a" * 101]
)
def test_a_camera_that_is_no_folder_name_is_refused(store, tmp_path, camera):
    with pytest.raises(CropError, match="expected letters"):
        store.write(camera, MIDNIGHT_US, 1, 1, b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "site.db",
        "/etc/passwd",
        "crops/../site.db",
        "crops/../2026-11-20/1_1.jpg",
        "crops/hall/2026-11-20/../../../site.db",
        "crops/hall/2026-11-20/1_1.part",
        "crops/hall/2026-11-20/1_1.jpg\n",
    ],
)
def test_only_paths_of_crops_are_read_or_deleted(store, tmp_path, path):
    (tmp_path / "site.db").write_bytes(b"secret")
    with pytest.raises(CropError, match="expected crops/"):
        store.read(path)
    with pytest.raises(CropError, match="expected crops/"):
        store.delete([path])
    assert (tmp_path / "site.db").exists()


def test_a_crop_that_is_gone_says_so_and_may_be_deleted_again(store):
    path = store.write("hall", MIDNIGHT_US, 7, 25, b"x")
    store.delete([path, path])
    with pytest.raises(CropError, match=r"7_25\.jpg: the crop is gone"):
        store.read(path)


def test_delete_except_keeps_what_is_named(store, tmp_path):
    kept = store.write("hall", MIDNIGHT_US, 1, 1, b"x")
    store.write("door", MIDNIGHT_US, 1, 1, b"x")
    (tmp_path / kept).with_name("2_2.part").write_bytes(b"half")
    assert store.delete_except({kept}) == 2
    assert [path.as_posix() for path in tmp_path.glob("crops/*/*/*")] == [(tmp_path / kept).as_posix()]


def test_delete_except_needs_no_folder(store):
    assert store.delete_except(set()) == 0
