from __future__ import annotations

import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import Cases, Hold
from reid_pipeline.storage.errors import ErasureRefused
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, SourceProgress, SourceState


@pytest.fixture
def twice(site):
    """Two files of the hall and one of the door; identity 1 is in both files, 2 and 3 only in the first."""
    site.source()
    site.source(fingerprint="f2")
    site.source(camera="door", fingerprint="f1")
    site.write(
        Changes(
            new_tracklets=(site.begin(1), site.begin(2), site.begin(3, source_id=2), site.begin(1, 3, "door")),
            boxes=(site.box_run(1, [1]), site.box_run(2, [1]), site.box_run(3, [1]), site.box_run(1, [1], "door")),
            views=(site.view(1, 1), site.view(2, 1), site.view(3, 1), site.view(1, 1, "door")),
            identity_events=(
                *(site.opened(identity) for identity in (1, 2, 3)),
                site.assigned(1, 1),
                site.assigned(1, 3),
                site.assigned(2, 2),
            ),
            progress=tuple(SourceProgress(source, 10, True) for source in (1, 2, 3)),
        )
    )
    return site


def test_again_removes_what_the_source_gave_and_nothing_else(twice):
    assert twice.source(again=True, start_us=5) == SourceState(1, 5, 0, False)
    left = "SELECT c.name, t.number FROM {} x JOIN tracklets t ON t.id = {} JOIN cameras c ON c.id = t.camera_id"
    for table, key in (
        ("tracklets", "x.id"),
        *((each, "x.tracklet_id") for each in ("segments", "crops", "embeddings")),
    ):
        assert sorted(twice.rows(left.format(table, key))) == [("door", 1), ("hall", 3)]
    assert twice.files() == {"crops/hall/2025-11-20/3_1.jpg", "crops/door/2025-11-20/1_1.jpg"}
    assert twice.source(fingerprint="f2").frames_committed == 10


def test_again_is_accounted_for_where_anything_goes(twice):
    twice.source(again=True)
    twice.source(again=True)  # nothing is left by then
    (entry,) = AuditLog(twice.database).read()
    assert (entry.actor, entry.action) == ("machine", "again")
    assert entry.subject == {"camera": "hall", "source": 1, "tracklets": 2, "crops": 2}


def test_again_marks_identities_without_a_tracklet_and_keeps_the_log(twice):
    twice.source(again=True)
    # 3 never had a tracklet: nothing was removed from it.
    assert [twice.repository.identity(each).vacant for each in (1, 2, 3)] == [False, True, False]
    _, assigned = twice.repository.identity_history(2)
    assert (assigned.identity, assigned.camera, assigned.number) == (2, None, None)


def test_numbers_go_on_after_again(twice):
    twice.source(again=True)
    assert (twice.repository.next_number("hall"), twice.repository.next_identity()) == (4, 4)
    twice.write(Changes(new_tracklets=(twice.begin(4),), boxes=(twice.box_run(4, [1]),)))
    assert twice.rows("SELECT max(id) FROM tracklets") == [(5,)]
    assert [each.number for each in twice.repository.tracklet_boxes("hall")] == [4]


def test_again_on_a_source_that_is_new(site):
    assert site.source(again=True, start_us=5) == SourceState(1, 5, 0, False)


def test_again_keeps_what_an_open_case_holds(twice):
    cases = Cases(twice.database, Access("ada", Role.ADMIN))
    number = cases.open("theft", "report 12")
    cases.hold(number, Hold(identity=2))
    with pytest.raises(ErasureRefused, match="an open case holds some"):
        twice.source(again=True)
    assert twice.source().frames_committed == 10

    cases.close(number)
    assert twice.source(again=True).frames_committed == 0
