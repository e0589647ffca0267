from __future__ import annotations

import json

import pytest

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.records import (
    CameraTotals,
    Changes,
    ModelRecord,
    RunStatus,
    SourceProgress,
    SourceState,
    Totals,
    TrackletEnd,
)


def numbers(tracklets):
    return [(each.number, each.frames.tolist()) for each in tracklets]


def test_a_run_begins_and_ends(site):
    site.repository.end_run(site.run_id, RunStatus.PARTIAL, 77)
    run_id = site.repository.begin_run({}, {}, 78)
    assert run_id == site.run_id + 1
    as_text = "CAST(settings AS VARCHAR), CAST(models AS VARCHAR)"
    first, second = site.rows(f"SELECT status, ended_us, {as_text} FROM runs ORDER BY id")
    assert first[:2] == ("partial", 77)
    assert [json.loads(each) for each in first[2:]] == [{"detector": {"min_confidence": 0.4}}, {"reid": "m1"}]
    assert second == ("running", None, "{}", "{}")
    with pytest.raises(UnknownRecord, match="run 99"):
        site.repository.end_run(99, RunStatus.DONE, 0)


def test_a_killed_run_is_closed(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1), site.begin(2)), ends=(TrackletEnd("hall", 1),)))
    assert site.repository.close_stale_tracklets() == 1
    assert site.repository.close_stale_tracklets() == 0
    assert site.rows("SELECT DISTINCT closed FROM tracklets") == [(1,)]
    assert site.rows("SELECT status FROM runs") == [("failed",)]


def test_a_registered_model_stays_as_it_is(site):
    site.repository.register_model(ModelRecord("m1", "other", "reid", "GPL"))
    assert site.rows("SELECT hash, name, licence FROM models") == [("m1", "encoder", "MIT")]


def test_a_source_goes_on_after_its_last_frame_with_its_first_start(site):
    state = site.source(start_us=1000)
    assert state == SourceState(1, 1000, 0, False)
    site.write(Changes(progress=(SourceProgress(1, 250, True),)))
    assert site.source(start_us=2000, location="/moved/x.mp4") == SourceState(1, 1000, 250, True)
    assert site.rows("SELECT location FROM sources") == [("/moved/x.mp4",)]


def test_the_latest_source_is_the_current_one(site):
    assert [site.source(fingerprint=each).source_id for each in ("f1", "f2", "f1")] == [1, 2, 1]
    assert site.source(camera="door", fingerprint="f1").source_id == 3
    assert site.rows("SELECT id, current FROM sources ORDER BY id") == [(1, 1), (2, 0), (3, 1)]
    assert site.repository.camera_names() == ("door", "hall")


def test_secrets_in_an_address_are_not_stored(site):
    site.source(location="rtsp://admin:hunter2@10.0.0.5/main", live=True)
    assert site.rows("SELECT location, live FROM sources") == [("rtsp://***@10.0.0.5/main", 1)]


def test_counters_follow_what_was_written_and_never_fall(site):
    assert (site.repository.next_number("hall"), site.repository.next_identity()) == (1, 1)
    site.source()
    site.source(camera="door", fingerprint="f2")
    assert site.repository.next_number("hall") == 1
    site.write(Changes(new_tracklets=(site.begin(3), site.begin(7), site.begin(5)), identity_events=(site.opened(4),)))
    site.write(Changes(new_tracklets=(site.begin(2),), identity_events=(site.opened(2),)))
    assert (site.repository.next_number("hall"), site.repository.next_identity()) == (8, 5)
    assert site.repository.next_number("door") == 1


def test_boxes_come_by_number_from_the_current_source_or_a_named_one(site):
    site.source()
    site.write(
        Changes(new_tracklets=(site.begin(10), site.begin(9)), boxes=(site.box_run(10, [1, 2]), site.box_run(9, [2]))),
        Changes(boxes=(site.box_run(9, [3, 4]),)),
    )
    assert numbers(site.repository.tracklet_boxes("hall")) == [(9, [2, 3, 4]), (10, [1, 2])]
    site.source(fingerprint="f2")
    site.write(Changes(new_tracklets=(site.begin(11, source_id=2),), boxes=(site.box_run(11, [1]),)))
    assert numbers(site.repository.tracklet_boxes("hall")) == [(11, [1])]
    assert numbers(site.repository.tracklet_boxes("hall", source_id=1)) == [(9, [2, 3, 4]), (10, [1, 2])]
    assert list(site.repository.tracklet_boxes("nowhere")) == []


def test_more_segments_than_one_fetch(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1), site.begin(2))))
    runs = (site.box_run(number, [frame]) for frame in range(1, 701) for number in (1, 2))
    site.write(Changes(boxes=tuple(runs)))
    expected = list(range(1, 701))
    assert numbers(site.repository.tracklet_boxes("hall")) == [(1, expected), (2, expected)]


def test_boxes_between_times_end_before_the_end(site):
    site.source()
    site.write(
        Changes(
            new_tracklets=(site.begin(1), site.begin(2), site.begin(3)),
            boxes=(site.box_run(1, [1, 2, 3]), site.box_run(2, [3, 4, 5, 6]), site.box_run(3, [1, 9])),
        ),
        Changes(boxes=(site.box_run(1, [4, 5]),)),
    )
    between = site.repository.tracklet_boxes_between("hall", site.time_us(3), site.time_us(5))
    assert numbers(between) == [(1, [3, 4]), (2, [3, 4])]
    day = list(site.repository.tracklet_boxes_between("hall", 0, site.time_us(100)))
    assert numbers(day) == [(1, [1, 2, 3, 4, 5]), (2, [3, 4, 5, 6]), (3, [1, 9])]
    assert day[0].boxes[4].tolist() == [1, 5, 11, 25]


def test_the_gallery_is_one_models_views_of_identified_tracklets_since_a_time(site):
    site.source()
    site.source(camera="door", fingerprint="f2")
    site.repository.register_model(ModelRecord("m2", "old", "reid", "MIT"))
    site.write(
        Changes(
            new_tracklets=(site.begin(1), site.begin(2), site.begin(3), site.begin(1, 2, "door")),
            boxes=(site.box_run(2, [1, 8]),),
            views=(
                site.view(2, 6),
                site.view(1, 2),
                site.view(1, 5),
                site.view(1, 7, model="m2"),
                site.view(3, 5),
                site.view(1, 5, camera="door"),
            ),
            identity_events=(
                *(site.opened(identity) for identity in (1, 2, 3)),
                site.assigned(1, 1),
                site.assigned(2, 2),
                site.assigned(3, 1, camera="door"),
                site.merged(3, 1),
            ),
        )
    )
    rows = list(site.repository.gallery("m1", site.time_us(3)))
    found = [(row.identity, row.camera, row.number, row.time_us, row.vector.tolist()) for row in rows]
    assert found == [
        (1, "door", 1, site.time_us(5), [1, 5]),
        (1, "hall", 1, site.time_us(5), [1, 5]),
        (2, "hall", 2, site.time_us(6), [2, 6]),
    ]
    assert (rows[2].first_us, rows[2].last_us) == (site.time_us(1), site.time_us(8))
    assert (rows[2].quality, rows[2].vector.dtype) == (0.5, "float32")
    assert [row.vector.tolist() for row in site.repository.gallery("m2", 0)] == [[1, 7]]


def test_totals_count_persons_once(site):
    site.source()
    site.source(camera="door", fingerprint="f2")
    site.source(camera="attic", fingerprint="f3")
    site.write(
        Changes(
            new_tracklets=(site.begin(1), site.begin(2), site.begin(3), site.begin(1, 2, "door")),
            identity_events=(
                site.opened(1),
                site.opened(2),
                site.assigned(1, 1),
                site.assigned(1, 1, camera="door"),
                site.assigned(2, 2),
            ),
        )
    )
    cameras = (CameraTotals("attic", 0, 0), CameraTotals("door", 1, 1), CameraTotals("hall", 3, 2))
    assert site.repository.totals() == site.repository.totals(site.run_id) == Totals(4, 2, cameras)
    none = tuple(CameraTotals(each.camera, 0, 0) for each in cameras)
    assert site.repository.totals(run_id=99) == Totals(0, 0, none)


def test_files_that_no_row_names_are_removed(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1),), views=(site.view(1, 1),)))
    site.crops.write("hall", site.time_us(1), 2, 1, b"of a commit that never came")
    assert site.repository.remove_orphan_crops() == 1
    assert site.files() == {"crops/hall/2025-11-20/1_1.jpg"}
