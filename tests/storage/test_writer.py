from __future__ import annotations

import threading

import numpy as np
import pytest

from reid_pipeline.storage.errors import StorageError, UnknownRecord, WriterFailed
from reid_pipeline.storage.records import BoxRun, Changes, SourceProgress, TrackletEnd, View
from reid_pipeline.storage.writer import Writer


class Gate:
    """An `on_commit` that holds the writer's thread until it is let go, and keeps what was committed."""

    def __init__(self):
        self.entered, self.opened, self.committed = threading.Event(), threading.Event(), []

    def __call__(self, changes):
        self.committed.append(changes)
        self.entered.set()
        assert self.opened.wait(60)


def test_everything_of_one_change_is_stored(site):
    source = site.source()
    site.write(
        Changes(
            new_tracklets=(site.begin(1, frame=3), site.begin(2, frame=4)),
            boxes=(site.box_run(1, [3, 4, 6]), site.box_run(2, [4])),
            ends=(TrackletEnd("hall", 2),),
            views=(site.view(1, 4),),
            identity_events=(site.opened(1), site.assigned(1, 1)),
            progress=(SourceProgress(source.source_id, 6, finished=True),),
        )
    )
    columns = "number, first_frame, last_frame, first_us, last_us, closed, identity"
    assert site.rows(f"SELECT {columns} FROM tracklets ORDER BY number") == [
        (1, 3, 6, site.time_us(3), site.time_us(6), 0, 1),
        (2, 4, 4, site.time_us(4), site.time_us(4), 1, None),
    ]
    path = "crops/hall/2025-11-20/1_4.jpg"
    assert site.rows("SELECT frame, time_us, quality, x1, y1, x2, y2, path, bytes FROM crops") == [
        (4, site.time_us(4), 0.5, 1.0, 2.0, 3.0, 4.0, path, len(b"jpeg 1 4"))
    ]
    assert site.crops.read(path) == b"jpeg 1 4"
    assert site.rows("SELECT crop_id, time_us, quality, vector FROM embeddings") == [
        (1, site.time_us(4), 0.5, np.array([1, 4], "<f4").tobytes())
    ]
    state = site.source()
    assert (state.frames_committed, state.finished) == (6, True)


def test_boxes_may_come_in_many_commits(site):
    source = site.source()
    site.write(
        Changes(new_tracklets=(site.begin(1),), boxes=(site.box_run(1, [1, 2]),)),
        Changes(boxes=(site.box_run(1, [3]),)),
        Changes(boxes=(site.box_run(1, [5, 6]),), ends=(TrackletEnd("hall", 1),)),
    )
    site.write(Changes(identity_events=(site.opened(1), site.assigned(1, 1))))  # a new writer: nothing remembered
    (tracklet,) = site.repository.tracklet_boxes("hall", source.source_id)
    assert tracklet.frames.tolist() == [1, 2, 3, 5, 6]
    assert tracklet.boxes[:, 1].tolist() == [1, 2, 3, 5, 6]
    assert tracklet.identity == 1


def test_a_better_view_replaces_row_vector_and_file(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1),), views=(site.view(1, 1), site.view(1, 2))))
    site.write(Changes(views=(site.view(1, 5, replaces=1), site.view(1, 7, replaces=5))))
    assert site.rows("SELECT frame FROM crops ORDER BY frame") == [(2,), (7,)]
    assert site.rows("SELECT count(*) FROM embeddings") == [(2,)]
    assert site.files() == {"crops/hall/2025-11-20/1_2.jpg", "crops/hall/2025-11-20/1_7.jpg"}


def test_replacing_a_view_whose_time_was_up_is_no_error(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1),), views=(site.view(1, 2, replaces=1),)))
    assert site.rows("SELECT frame FROM crops") == [(2,)]


def test_a_failed_change_leaves_nothing_and_reaches_the_caller(site):
    site.source()
    good = Changes(new_tracklets=(site.begin(1),))
    bad = Changes(new_tracklets=(site.begin(2, source_id=99),), boxes=(site.box_run(1, [1]),))
    writer = Writer(site.database, site.crops)
    writer.start()
    writer.put(good)
    writer.put(bad)
    with pytest.raises(WriterFailed, match=r"(?i)could not be stored: .*foreign key constraint") as caught:
        writer.close()
    assert isinstance(caught.value.__cause__, StorageError)
    with pytest.raises(WriterFailed):
        writer.put(good)
    with pytest.raises(WriterFailed):
        writer.close()
    assert site.rows("SELECT number FROM tracklets") == [(1,)]
    assert site.rows("SELECT count(*) FROM segments") == [(0,)]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda site: {"boxes": (site.box_run(5, [1]),)}, "tracklet 5 of camera 'hall' is not in the database"),
        (lambda site: {"ends": (TrackletEnd("door", 1),)}, "camera 'door' is not in the database"),
        (lambda site: {"views": (site.view(1, 1, model="m9"),)}, "model 'm9' is not in the database; register it"),
        (lambda site: {"progress": (SourceProgress(9, 1, False),)}, "source 9 is not in the database"),
    ],
)
def test_unknown_names_are_told(site, part, message):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1),)))
    with pytest.raises(WriterFailed, match=message) as caught:
        site.write(Changes(**part(site)))
    assert isinstance(caught.value.__cause__, UnknownRecord)


def test_a_waiting_put_is_woken_by_a_failure(site):
    site.source()

    def fail(_):
        assert third_waits.wait(60)
        raise OSError("disk on fire")

    third_waits = threading.Event()
    writer = Writer(site.database, site.crops, queue_size=1, on_commit=fail)
    writer.start()
    writer.put(Changes())
    third_waits.set()
    with pytest.raises(WriterFailed, match="disk on fire"):
        while True:
            writer.put(Changes())
    with pytest.raises(WriterFailed, match="disk on fire"):
        writer.close()


def test_a_full_queue_makes_put_wait(site):
    gate = Gate()
    writer = Writer(site.database, site.crops, queue_size=2, on_commit=gate)
    writer.start()
    writer.put(Changes())
    assert gate.entered.wait(60)
    writer.put(Changes())
    assert writer.pending == 2
    third = threading.Thread(target=writer.put, args=(Changes(),))
    third.start()
    third.join(0.2)  # if it did not wait, it would be over long before
    assert third.is_alive()
    assert writer.pending == 2
    gate.opened.set()
    third.join()
    writer.close()
    assert (len(gate.committed), writer.pending) == (3, 0)


def test_changes_are_committed_in_order_before_they_are_reported(site):
    source = site.source()
    seen = []

    def report(changes):
        (stored,) = site.rows("SELECT frames_committed FROM sources")
        seen.append((changes.progress[0].frames_committed, *stored))

    with Writer(site.database, site.crops, on_commit=report) as writer:
        for frame in range(1, 21):
            writer.put(Changes(progress=(SourceProgress(source.source_id, frame, False),)))
    assert seen == [(frame, frame) for frame in range(1, 21)]


def test_the_block_commits_what_is_queued_also_after_an_error_of_its_own(site):
    source = site.source()
    with pytest.raises(KeyError), Writer(site.database, site.crops) as writer:
        writer.put(Changes(progress=(SourceProgress(source.source_id, 4, False),)))
        raise KeyError
    assert site.source().frames_committed == 4


def test_a_closed_writer_takes_nothing(site):
    writer = Writer(site.database, site.crops)
    writer.start()
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="after close"):
        writer.put(Changes())


def test_values_of_the_wrong_shape_are_refused_where_they_are_made(site):
    with pytest.raises(ValueError, match="queue_size: expected at least 1, got 0"):
        Writer(site.database, site.crops, queue_size=0)
    with pytest.raises(ValueError, match="tracklet 1 of hall: expected at least one"):
        site.box_run(1, [])
    frames = np.array([1], np.int64)
    with pytest.raises(ValueError, match=r"frames: expected \(1,\) int32"):
        BoxRun("hall", 1, frames, frames, np.zeros((1, 4), np.float32), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="expected to replace another frame"):
        site.view(1, 3, replaces=3)
    with pytest.raises(ValueError, match=r"embedding: expected \(D,\) float32, got \(1, 2\) float32"):
        View("hall", 1, 1, 0, 0.5, (0, 0, 1, 1), b"", np.zeros((1, 2), np.float32), "m1")
