"""The files of the vector index: read back, torn, of another version, shared, purged, and killed at each step."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from reid_pipeline.storage import vector_index_file, vector_index_ivf, vector_quick
from reid_pipeline.storage.errors import IndexUnusable
from reid_pipeline.storage.vector_index_file import LOCK, MANIFEST, IndexFiles
from reid_pipeline.storage.vector_index_ivf import SegmentedIndex
from tests.storage.save_and_die import STEPS, change
from tests.storage.vector_reference import DIM, draw, units

CHILD = Path(__file__).with_name("save_and_die.py")
ROOT = CHILD.parents[2]
HASH = "a" * 64


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(vector_index_ivf, "SEAL_ROWS", 200)
    monkeypatch.setattr(vector_quick, "QUICK_ROWS", 150)


def build(seed=0):
    """Two segments, an open part, and some that are gone from all."""
    rng = np.random.default_rng(seed)
    index = SegmentedIndex(DIM)
    for first, count in ((1, 300), (301, 250), (551, 90)):
        index.add(draw(rng, first, count))
        index.settle()
    index.remove(np.array([5, 6, 400, 560]))
    return index


@pytest.fixture
def saved(tmp_path):
    index = build()
    assert IndexFiles(tmp_path, HASH).save(index)
    return tmp_path


def check_same(one, other):
    np.testing.assert_array_equal(one.ids(), other.ids())
    queries = units(np.random.default_rng(9), 8)
    found, truth = one.search(queries, 5), other.search(queries, 5)
    np.testing.assert_array_equal(found.ids, truth.ids)
    np.testing.assert_array_equal(found.similarities, truth.similarities)


def write_manifest(folder, fields):
    content = json.dumps(fields)
    (folder / MANIFEST).write_text(json.dumps({"content": content, "checksum": zlib.crc32(content.encode())}))


def names(folder):
    return {path.name for path in folder.iterdir()}


class TestSaved:
    def test_it_is_read_as_it_was(self, saved):
        check_same(IndexFiles(saved, HASH).load(), build())
        assert names(saved) == {
            *(f"1-{place}.{kind}" for place in (0, 1) for kind in ("rows", "quick", "gone")),
            "1.newest",
            MANIFEST,
            LOCK,
        }

    def test_it_goes_on(self, saved):
        files, rng = IndexFiles(saved, HASH), np.random.default_rng(3)
        index = files.load()
        index.add(draw(rng, 1_000, 150))
        index.settle()
        index.remove(np.array([7, 1_010]))
        rows = (saved / "1-0.rows").stat().st_mtime_ns
        assert files.save(index)
        check_same(IndexFiles(saved, HASH).load(), index)
        assert (saved / "1-0.rows").stat().st_mtime_ns == rows  # what did not change is not written again
        assert names(saved) == {
            *("1-0.rows", "1-0.quick", "2-0.gone", "1-1.rows", "1-1.quick", "1-1.gone"),
            *("2-2.rows", "2-2.quick", "2-2.gone", MANIFEST, LOCK),
        }

    def test_an_empty_one(self, tmp_path):
        IndexFiles(tmp_path, HASH).save(SegmentedIndex(DIM))
        index = IndexFiles(tmp_path, HASH).load()
        assert (len(index), index.dim) == (0, DIM)

    def test_what_nobody_names_goes(self, saved):
        (saved / "7-0.rows").write_bytes(b"left by a process that was killed")
        files = IndexFiles(saved, HASH)
        files.save(files.load())
        assert "7-0.rows" not in names(saved)

    def test_who_saves_first_wins(self, saved):
        first, second = IndexFiles(saved, HASH), IndexFiles(saved, HASH)
        one, other = first.load(), second.load()
        one.remove(np.array([100]))
        other.remove(np.array([200]))
        assert first.save(one)
        assert not second.save(other)
        check_same(second.load(), one)
        assert second.save(second.load())

    def test_who_is_late_goes_on_with_what_it_has(self, saved):
        """The files of another save are removed while they are mapped."""
        mapped, files = IndexFiles(saved, HASH).load(), IndexFiles(saved, HASH)
        index = files.load()
        index.remove(np.arange(1, 250))
        index.settle()
        assert files.save(index)
        assert "1-0.rows" not in names(saved)
        check_same(mapped, build())


class TestUnusable:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(IndexUnusable, match=r"manifest\.json"):
            IndexFiles(tmp_path / "nowhere", HASH).load()

    def test_another_model(self, saved):
        with pytest.raises(IndexUnusable, match="of version 1, of model aaaaaaaaaaaa"):
            IndexFiles(saved, "b" * 64).load()

    def test_another_version(self, saved, monkeypatch):
        monkeypatch.setattr(vector_index_file, "VERSION", 2)
        with pytest.raises(IndexUnusable, match="of version 1"):
            IndexFiles(saved, HASH).load()

    def test_another_version_is_replaced(self, saved):
        """What is saved then takes none of its names: another process may have its files mapped."""
        fields = json.loads(json.loads((saved / MANIFEST).read_text())["content"])
        fields = {"version": 2, "serial": fields["serial"], "model_hash": HASH, "unlike": "what this version knows"}
        write_manifest(saved, fields)
        before, files = names(saved), IndexFiles(saved, HASH)
        with pytest.raises(IndexUnusable, match="of version 2, of model aaaaaaaaaaaa"):
            files.load()
        assert files.save(build(1))
        assert names(saved) & before == {MANIFEST, LOCK}
        check_same(IndexFiles(saved, HASH).load(), build(1))

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"content": "{}", "checksum": 1}'])
    def test_a_damaged_manifest(self, saved, content):
        (saved / MANIFEST).write_bytes(content)
        with pytest.raises(IndexUnusable, match=r"manifest\.json"):
            IndexFiles(saved, HASH).load()

    def test_a_manifest_of_something_else(self, saved):
        write_manifest(saved, {"version": 1, "serial": 1, "model_hash": HASH, "segments": []})
        with pytest.raises(IndexUnusable):
            IndexFiles(saved, HASH).load()

    @pytest.mark.parametrize("kind", ["rows", "quick", "gone", "newest"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer", "changed"])
    def test_a_damaged_file(self, saved, kind, damage):
        path = next(saved.glob(f"*.{kind}"))
        content = path.read_bytes()
        changed = bytes([content[0] ^ 1]) + content[1:]
        match damage:
            case "missing":
                path.unlink()
            case _:
                path.write_bytes(
                    {"empty": b"", "cut": content[:-1], "longer": content + b"x", "changed": changed}[damage]
                )
        with pytest.raises(IndexUnusable, match=path.name.replace(".", r"\.")):
            IndexFiles(saved, HASH).load()

    def test_it_can_be_saved_over(self, saved):
        (saved / MANIFEST).write_bytes(b"{")
        files = IndexFiles(saved, HASH)
        with pytest.raises(IndexUnusable):
            files.load()
        index = SegmentedIndex(DIM)
        assert files.save(index)
        assert len(IndexFiles(saved, HASH).load()) == 0
        assert names(saved) == {MANIFEST, LOCK}


class TestPurge:
    def test_no_byte_is_left(self, saved):
        """Neither of those that were sealed, of those that were not, nor of those that were left out before."""
        kept = [path.read_bytes() for path in sorted(saved.glob("*.rows"))]
        files = IndexFiles(saved, HASH)
        index = files.load()
        gone = np.array([5, 17, 450, 560, 600])
        codes = [segment.arrays.coarse[segment._find(gone)].copy() for segment in index.segments]
        newest = index.newest.vectors[np.isin(index.newest.ids, gone)].copy()
        assert [len(each) for each in codes] == [2, 1]
        assert len(newest) == 1
        index.purge(gone)
        assert files.save(index)
        everything = b"".join(path.read_bytes() for path in saved.iterdir())
        for vector in [*(row for rows in codes for row in rows), *newest]:
            assert vector.tobytes() not in everything
        assert [path.read_bytes() == old for path, old in zip(sorted(saved.glob("*.rows")), kept, strict=True)] == [
            False,
            False,
        ]
        check_same(IndexFiles(saved, HASH).load(), index)

    def test_killed_before_the_manifest_knows(self, saved):
        """The file is changed in place; what is torn is built anew from a database that does not have it any more."""
        index = IndexFiles(saved, HASH).load()
        index.purge(np.array([17]))
        index.segments[0].flush()
        with pytest.raises(IndexUnusable, match="checksum"):
            IndexFiles(saved, HASH).load()

    def test_a_file_that_is_replaced_is_overwritten(self, saved):
        with (saved / "1.newest").open("rb") as file:
            files = IndexFiles(saved, HASH)
            index = files.load()
            index.purge(np.array([600]))
            files.save(index)
            assert "1.newest" not in names(saved)
            assert not any(file.read())


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_each_step(saved, step, when):
    """What is there is what was before or what was to be, and the next save cleans up."""
    before = IndexFiles(saved, HASH).load().ids()
    command = [sys.executable, "-m", "tests.storage.save_and_die", str(saved), step, when]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    files = IndexFiles(saved, HASH)
    index = files.load()
    done = STEPS.index(step) + (when == "after") > STEPS.index("_replace_manifest")
    expected = build()
    if done:
        change(expected)
    np.testing.assert_array_equal(index.ids(), expected.ids() if done else before)
    if not done:
        change(index)
    assert files.save(index)
    check_same(IndexFiles(saved, HASH).load(), index)
    assert len(names(saved)) == len(files._read_manifest().names()) + 2
