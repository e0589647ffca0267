import pytest

from reid_pipeline.storage.errors import NotAllowed
from reid_pipeline.storage.permissions import MACHINE_ACCESS, Access, Role
from reid_pipeline.storage.records import Changes, ModelRecord, RunStatus
from reid_pipeline.storage.site_status import KnownModel, RunModel, SiteStatus
from tests.storage.conftest import NOON_US


def test_runs_come_newest_first_with_what_is_left_of_them(site):
    site.source()
    site.write(Changes(new_tracklets=(site.begin(1), site.begin(2))))
    site.repository.end_run(site.run_id, RunStatus.PARTIAL, NOON_US + 5)
    models = {"reid": {"name": "encoder", "hash": "m1", "runtime": "openvino"}, "detect": None}
    site.repository.begin_run({}, models, NOON_US + 9)
    newer, older = SiteStatus(site.database, MACHINE_ACCESS).runs(5)
    assert (older.status, older.started_us, older.ended_us, older.tracklets) == (
        RunStatus.PARTIAL,
        NOON_US,
        NOON_US + 5,
        2,
    )
    assert (newer.status, newer.ended_us, newer.tracklets) == (RunStatus.RUNNING, None, 0)
    assert newer.models == (RunModel("reid", "encoder", "m1", "openvino"),)
    assert [each.id for each in SiteStatus(site.database, MACHINE_ACCESS).runs(1)] == [newer.id]


def test_models_say_whether_their_vectors_are_searched(site):
    site.source()
    site.repository.register_model(ModelRecord("m2", "finder", "detect", "AGPL-3.0"))
    site.write(Changes(new_tracklets=(site.begin(1),), views=(site.view(1, 1),)))
    assert SiteStatus(site.database, MACHINE_ACCESS).models() == (
        KnownModel("m2", "finder", "detect", "AGPL-3.0", searched=False),
        KnownModel("m1", "encoder", "reid", "MIT", searched=True),
    )


def test_room_and_sizes(site):
    status = SiteStatus(site.database, MACHINE_ACCESS)
    assert 0 < status.disk().free <= status.disk().total
    assert status.sizes().rows["runs"] == 1


def test_it_is_about_the_whole_site(site):
    with pytest.raises(NotAllowed):
        SiteStatus(site.database, Access("ada", Role.ADMIN, frozenset({"hall"})))
