"""The corpus: what is added is there once, what is removed leaves no byte, whatever dies in between."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from reid_pipeline.storage import corpus_store as corpus_store_module
from reid_pipeline.storage.corpus_queries import DAY_US
from reid_pipeline.storage.corpus_records import CollectedCrop, CorpusCrop, CorpusFilter, ImportedTracklet
from reid_pipeline.storage.corpus_shards import ShardFiles, ShardName, ShardReader
from reid_pipeline.storage.corpus_store import CorpusStore, digest_of
from reid_pipeline.storage.errors import StorageError, UnknownRecord, WriterFailed
from reid_pipeline.storage.records import Changes, TrackletEnd

SHARD = 100  # bytes: two to three crops
NOON_US = 1_763_640_000_000_000
SECOND_US = 1_000_000


def crop(name, time_us=NOON_US, size=40, **other):
    jpeg = b"\xff\xd8" + name.encode().ljust(size - 2, b".")
    return CorpusCrop(time_us, jpeg, **({"width": 48, "height": 128, "quality": 0.75} | other))


def tracklet(number, *names, start_us=NOON_US, **other):
    crops = tuple(crop(name, start_us + index * SECOND_US, **other) for index, name in enumerate(names))
    return ImportedTracklet(number, crops[0].time_us, crops[-1].time_us, crops)


def names(store, wanted=None):
    items = store.items(wanted) if wanted else store.items()
    return [jpeg[2:].rstrip(b".").decode() for _, jpeg in store.read(items)]


def bytes_on_disk(site):
    return {path: path.read_bytes() for path in sorted((site.data_dir / "corpus").rglob("*.jpegs"))}


def holds(site, name):
    return any(name.encode() in content for content in bytes_on_disk(site).values())


@pytest.fixture
def store(site):
    return CorpusStore(site.database, SHARD)


@pytest.fixture
def origin(store):
    return store.open_origin("hall", "video a", NOON_US).id


class TestAdding:
    def test_tracklets_and_their_crops_come_back_in_order_of_time(self, store, origin):
        other = store.open_origin("door", "video b", NOON_US).id
        store.add(origin, [tracklet(2, "late", start_us=NOON_US + 9 * SECOND_US), tracklet(1, "a1", "a2", "a3")])
        store.add(other, [tracklet(1, "b1", "b2", start_us=NOON_US + SECOND_US)])
        found = [(each.camera, each.run, each.number, each.last_us - each.first_us) for each in store.tracklets()]
        assert found == [
            ("hall", origin, 1, 2 * SECOND_US),
            ("door", other, 1, SECOND_US),
            ("hall", origin, 2, 0),
        ]
        assert names(store) == ["a1", "a2", "a3", "b1", "b2", "late"]
        item = next(store.items())
        assert (item.width, item.height, item.quality, item.time_us, item.length) == (48, 128, 0.75, NOON_US, 40)

    def test_a_filter_chooses_by_camera_and_time(self, store, origin):
        other = store.open_origin("door", "video b", NOON_US).id
        store.add(origin, [tracklet(1, "a1", "a2"), tracklet(2, "c", start_us=NOON_US + 60 * SECOND_US)])
        store.add(other, [tracklet(1, "b1")])
        assert names(store, CorpusFilter(cameras=("door",))) == ["b1"]
        assert names(store, CorpusFilter(cameras=("hall",), since_us=NOON_US + SECOND_US)) == ["a1", "a2", "c"]
        assert names(store, CorpusFilter(until_us=NOON_US + 60 * SECOND_US)) == ["a1", "a2", "b1"]
        assert names(store, CorpusFilter(cameras=("nowhere",))) == []

    def test_more_of_a_tracklet_makes_it_longer(self, store, origin):
        store.add(origin, [tracklet(1, "a1")], frames=10)
        assert store.find_origin("video a").next_number == 2
        store.add(origin, [tracklet(1, "a2", start_us=NOON_US + 5 * SECOND_US)], frames=20, finished=True)
        (one,) = store.tracklets()
        assert (one.first_us, one.last_us) == (NOON_US, NOON_US + 5 * SECOND_US)
        assert names(store) == ["a1", "a2"]
        known = store.open_origin("elsewhere", "video a", 0)
        assert (known.camera, known.start_us, known.frames, known.finished) == ("hall", NOON_US, 20, True)

    def test_a_digest_is_stored_once(self, store, origin):
        first = tracklet(1, "a", "b", digest=None)
        marked = replace(first, crops=tuple(replace(each, digest=digest_of(each.jpeg)) for each in first.crops))
        twice = replace(marked, number=2, crops=(marked.crops[0], marked.crops[0]))
        assert store.add(origin, [marked, twice]).crops == 2
        assert (store.add(origin, [marked]).crops, store.add(origin, [twice]).tracklets) == (0, 0)
        assert names(store) == ["a", "b"]
        assert len(list(store.tracklets())) == 1

    def test_shards_are_filled_one_after_the_other_and_by_day(self, site, store, origin):
        store.add(origin, [tracklet(1, *"abcdefg")])
        store.add(origin, [tracklet(2, "h"), tracklet(3, "i", start_us=NOON_US + DAY_US)])
        sizes = {path.parent.name + "/" + path.name: len(content) for path, content in bytes_on_disk(site).items()}
        assert sizes == {
            "2025-11-20/1.jpegs": 120,
            "2025-11-20/2.jpegs": 120,
            "2025-11-20/3.jpegs": 80,
            "2025-11-21/4.jpegs": 40,
        }

    def test_a_crop_without_bytes_is_refused(self):
        with pytest.raises(ValueError, match="expected the bytes"):
            CorpusCrop(0, b"", 1, 1, 0.5)


class TestARun:
    def collect(self, number, name, frame):
        return CollectedCrop("hall", number, crop(name, SampleTimes.at(frame)))

    def test_its_crops_are_stored_with_its_tracklets_whose_times_they_have(self, site, store):
        site.source()
        site.write(
            Changes(new_tracklets=(site.begin(1), site.begin(2, frame=2)), boxes=(site.box_run(1, [1, 2, 3]),)),
            Changes(boxes=(site.box_run(1, [4]), site.box_run(2, [3])), corpus=(self.collect(1, "one", 4),)),
            Changes(boxes=(site.box_run(1, [9]),), ends=(TrackletEnd("hall", 1),)),
        )
        (one,) = store.tracklets()
        assert (one.camera, one.number) == ("hall", 1)
        assert (one.first_us, one.last_us) == (site.time_us(1), site.time_us(9))
        assert names(store) == ["one"]

    def test_tracklets_of_one_camera_share_a_run_and_others_do_not(self, site, store):
        site.source()
        site.source("door", "f2")
        both = (site.begin(1), site.begin(2), site.begin(1, source_id=2, camera="door"))
        crops = (self.collect(1, "a", 1), self.collect(2, "b", 1), CollectedCrop("door", 1, crop("c")))
        site.write(Changes(new_tracklets=both, corpus=crops))
        site.run_id = site.repository.begin_run({}, {}, NOON_US)
        site.write(Changes(new_tracklets=(site.begin(3),), corpus=(self.collect(3, "d", 1),)))
        runs = {(each.camera, each.number): each.run for each in store.tracklets()}
        assert runs["hall", 1] == runs["hall", 2]
        assert len(set(runs.values())) == 3

    def test_a_tracklet_that_lost_its_crops_gets_new_ones(self, site, store):
        site.source()
        site.write(Changes(new_tracklets=(site.begin(1),), corpus=(self.collect(1, "old", 1),)))
        assert store.shrink(0) == 1
        site.write(Changes(corpus=(self.collect(1, "new", 5),)))
        assert names(store) == ["new"]

    def test_nothing_of_a_failed_transaction_stays(self, site, store):
        site.source()
        site.write(Changes(new_tracklets=(site.begin(1),), corpus=(self.collect(1, "good", 1),)))
        with pytest.raises(WriterFailed), pytest.raises(UnknownRecord):
            site.write(Changes(corpus=(self.collect(1, "lost", 2), self.collect(7, "nobody", 2))))
        site.write(Changes(corpus=(self.collect(1, "next", 2),)))
        assert names(store) == ["good", "next"]
        assert not holds(site, "lost")

    def test_again_replaces_what_a_source_gave(self, site, store):
        site.source()
        site.source("door", "f2")
        both = (site.begin(1), site.begin(1, source_id=2, camera="door"))
        site.write(
            Changes(new_tracklets=both, corpus=(self.collect(1, "first", 1), CollectedCrop("door", 1, crop("stays"))))
        )
        site.source(again=True)
        assert names(store) == ["stays"]
        assert not holds(site, "first")

    def test_crops_outlive_a_tracklet_whose_time_is_up(self, site, store):
        site.source()
        site.write(Changes(new_tracklets=(site.begin(1),), corpus=(self.collect(1, "kept", 1),)))
        with site.database.session_scope(write=True) as session:
            session.connection().exec_driver_sql("DELETE FROM tracklets")
        assert [each.number for each in store.tracklets()] == [1]
        assert names(store) == ["kept"]


class SampleTimes:
    @staticmethod
    def at(frame):
        return NOON_US + (frame - 1) * SECOND_US


class TestRemoving:
    def test_no_byte_of_a_removed_tracklet_stays(self, site, store, origin):
        store.add(origin, [tracklet(1, "a1", "a2"), tracklet(2, "b1", "b2"), tracklet(3, "c1")])
        gone = [each.id for each in store.tracklets() if each.number == 2]
        before = dict(bytes_on_disk(site))
        assert store.remove(gone) == 2
        assert names(store) == ["a1", "a2", "c1"]
        assert not holds(site, "b1")
        assert not holds(site, "b2")
        after = bytes_on_disk(site)
        assert {path: len(content) for path, content in after.items()} == {p: len(c) for p, c in before.items()}
        changed = sum(x != y for path, content in before.items() for x, y in zip(content, after[path], strict=True))
        assert changed == 80  # all of both crops: no byte of theirs is a zero

    def test_a_file_without_crops_goes(self, site, store, origin):
        store.add(origin, [tracklet(1, "a"), tracklet(2, "b", start_us=NOON_US + DAY_US)])
        store.remove([next(store.tracklets()).id])
        assert [path.parent.name for path in bytes_on_disk(site)] == ["2025-11-21"]
        assert not (site.data_dir / "corpus" / "2025-11-20").exists()

    def test_a_removal_that_died_before_the_bytes_went_is_finished(self, site, store, origin, monkeypatch):
        store.add(origin, [tracklet(1, "a1"), tracklet(2, "b1")])

        def die(*_):
            raise OSError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(corpus_store_module, "wipe_shard", die)
            with pytest.raises(OSError, match="killed"):
                store.remove([next(store.tracklets()).id])
        assert holds(site, "a1")
        assert names(store) == ["b1"]
        store.recover()
        assert not holds(site, "a1")
        assert names(store) == ["b1"]

    def test_crops_are_added_behind_a_gap(self, store, origin):
        store.add(origin, [tracklet(1, "a1"), tracklet(2, "b1")])
        store.remove([next(store.tracklets()).id])
        store.add(origin, [tracklet(3, "c1")])
        assert names(store) == ["b1", "c1"]

    def test_what_is_removed_while_somebody_reads_is_left_out(self, store, origin):
        store.add(origin, [tracklet(1, *"abcd"), tracklet(2, *"ef")])
        items = list(store.items())
        store.remove([items[0].tracklet])
        assert [item for item, _ in store.read(items)] == items[4:]


class TestTime:
    def test_crops_expire_by_their_own_time(self, site, store, origin):
        store.add(origin, [tracklet(1, *"abcde"), tracklet(2, *"fg", start_us=NOON_US + DAY_US)])
        assert store.expire(NOON_US + 2 * SECOND_US) == 2
        assert names(store) == ["c", "d", "e", "f", "g"]
        assert next(store.tracklets()).first_us == NOON_US
        assert store.expire(NOON_US + 2 * SECOND_US) == 0
        assert store.expire(NOON_US + DAY_US) == 3
        assert names(store) == ["f", "g"]
        assert [each.number for each in store.tracklets()] == [2]
        assert store.expire(NOON_US + 9 * DAY_US) == 2
        assert not bytes_on_disk(site)

    def test_only_so_many_files_at_a_time(self, store, origin):
        store.add(origin, [tracklet(1, *"abcdefghi")])
        assert store.expire(NOON_US + DAY_US, most_shards=1) == 3
        assert names(store) == list("defghi")
        assert store.shrink(0, most_shards=1) == 3
        assert names(store) == list("ghi")

    def test_the_oldest_files_go_until_the_rest_fits(self, site, store, origin):
        store.add(origin, [tracklet(2, *"xyz", start_us=NOON_US + DAY_US), tracklet(1, *"abcdef")])
        assert store.stats().disk_bytes == 360
        assert store.shrink(360) == 0
        assert store.shrink(359) == 3
        assert names(store) == ["d", "e", "f", "x", "y", "z"]
        assert store.stats().disk_bytes == sum(map(len, bytes_on_disk(site).values())) == 240


class TestDeath:
    def test_bytes_without_rows_are_written_over(self, site, store, origin):
        store.add(origin, [tracklet(1, "a")])
        (path,) = bytes_on_disk(site)
        with path.open("ab") as file:
            file.write(bytes(100) + b"half a crop")
        store.add(origin, [tracklet(2, "b")])
        assert names(store) == ["a", "b"]
        assert len(path.read_bytes()) == 80

    def test_bytes_without_rows_are_cut_off(self, site, store, origin):
        store.add(origin, [tracklet(1, "a")])
        (path,) = bytes_on_disk(site)
        whole = path.read_bytes()
        path.write_bytes(whole + b"half a crop")
        store.recover()
        assert path.read_bytes() == whole

    def test_files_without_rows_are_removed(self, site, store, origin):
        store.add(origin, [tracklet(1, "a")])
        stray = site.data_dir / "corpus" / "2025-11-22" / "9.jpegs"
        stray.parent.mkdir()
        stray.write_bytes(b"of a transaction that failed")
        store.recover()
        assert not stray.parent.exists()
        assert names(store) == ["a"]

    @pytest.mark.parametrize("database_url", [None], ids=["sqlite"])  # PostgreSQL gives no number again
    def test_the_name_of_a_failed_shard_can_come_again(self, site, store, origin, monkeypatch):
        def die(*_):
            raise StorageError("killed")

        with monkeypatch.context() as patch:
            patch.setattr("reid_pipeline.storage.corpus_writing._item", die)
            with pytest.raises(StorageError):
                store.add(origin, [tracklet(1, "much longer than the next", size=90)])
        store.add(origin, [tracklet(1, "a")])
        assert names(store) == ["a"]
        assert not holds(site, "much longer")

    def test_a_file_that_lost_its_end_loses_only_that(self, site, store, origin):
        store.add(origin, [tracklet(1, "a", "b")])
        (path,) = bytes_on_disk(site)
        path.write_bytes(path.read_bytes()[:60])
        store.add(origin, [tracklet(2, "c")])
        assert names(store) == ["a", "c"]

    def test_a_file_that_is_gone_is_no_error(self, site, store, origin):
        store.add(origin, [tracklet(1, *"abcd")])
        next(iter(bytes_on_disk(site))).unlink()
        assert names(store) == ["d"]
        store.remove([next(store.tracklets()).id])
        assert store.stats().crops == 0


def test_statistics_count_what_is_chosen(store, origin):
    other = store.open_origin("door", "video b", NOON_US).id
    store.add(origin, [tracklet(1, "a", "b", width=31, height=95, quality=1.0), tracklet(2, "c", size=50)])
    store.add(other, [tracklet(1, "d", start_us=NOON_US + DAY_US, width=32, quality=0.19)])
    stats = store.stats()
    assert (stats.crops, stats.tracklets, stats.bytes, stats.disk_bytes) == (4, 3, 170, 170)
    assert (stats.first_us, stats.last_us) == (NOON_US, NOON_US + DAY_US)
    cameras = [(each.camera, each.tracklets, each.crops, each.bytes) for each in stats.cameras]
    assert cameras == [("door", 1, 1, 40), ("hall", 2, 3, 130)]
    today = NOON_US // DAY_US
    assert stats.days == ((today, 3), (today + 1, 1))
    assert stats.crops_per_tracklet == ((1, 2), (2, 1))
    assert stats.widths == ((16, 2), (32, 1), (48, 1))
    assert stats.heights == ((64, 2), (128, 2))
    assert stats.qualities == ((1, 1), (7, 1), (9, 2))
    door = store.stats(CorpusFilter(cameras=("door",)))
    assert (door.crops, door.days, door.crops_per_tracklet) == (1, ((today + 1, 1),), ((1, 1),))
    assert store.stats(CorpusFilter(cameras=("nowhere",))).first_us is None


def test_any_order_of_adding_and_removing_keeps_what_it_should(site, store):
    """Against a dictionary: fifty rounds of everything at once."""
    chance = random.Random(7)
    origins = [store.open_origin(f"c{number}", f"key {number}", 0).id for number in range(3)]
    expected: dict[tuple[int, int], dict[str, int]] = {}
    for step in range(50):
        key = (chance.choice(origins), chance.randrange(1, 6))
        start_us = NOON_US + chance.randrange(4) * DAY_US
        new = tracklet(key[1], *(f"{step}-{n}" for n in range(chance.randrange(1, 5))), start_us=start_us)
        store.add(key[0], [new])
        for each in new.crops:
            expected.setdefault(key, {})[each.jpeg[2:].rstrip(b".").decode()] = each.time_us
        if step % 7 == 3:
            victim = chance.choice(list(store.tracklets()))
            store.remove([victim.id])
            del expected[victim.run, victim.number]
        if step % 11 == 5:
            before_us = NOON_US + chance.randrange(3) * DAY_US + 2 * SECOND_US
            store.expire(before_us)
            expected = {
                key: left
                for key, crops in expected.items()
                if (left := {name: time_us for name, time_us in crops.items() if time_us >= before_us})
            }
        store.recover()
        assert sorted(names(store)) == sorted(name for crops in expected.values() for name in crops)
    kept = {name for crops in expected.values() for name in crops}
    on_disk = b"".join(bytes_on_disk(site).values())
    found = {part.decode() for part in on_disk.replace(b"\0", b"").replace(b".", b"").split(b"\xff\xd8") if part}
    assert found == kept


def test_a_reader_keeps_no_more_than_some_files_open(tmp_path):
    files = ShardFiles(tmp_path)
    for number in range(100):
        files.append(ShardName(number, 0), 0, [bytes([number])])
    with ShardReader(files) as reader:
        assert [reader.read(ShardName(number, 0), 0, 1) for number in range(100)] == [bytes([n]) for n in range(100)]
        assert len(reader._open) == 32
