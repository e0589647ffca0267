from __future__ import annotations

import pytest

from reid_pipeline.dashboard.page_live import news
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.overview import Before, Sighting
from reid_pipeline.storage.permissions import Role
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import write_site


def sighting(before=None, identity=1):
    return Sighting("hall", 3, identity, 20_000_000, 30_000_000, False, None, before)


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (sighting(identity=None), "in hall, not decided yet"),
        (sighting(), "new in hall"),
        (sighting(Before("hall", 8_000_000)), "seen again in hall after 12 s"),
        (sighting(Before("door", 8_000_000)), "from door to hall in 12 s"),
        (sighting(Before("door", 25_000_000)), "in hall, and in door at the same time"),
    ],
)
def test_a_sighting_in_words(each, said):
    assert news(each) == said


def test_without_a_run_it_says_what_to_do(tmp_path):
    open_database(tmp_path).close()
    page = check_clean(page_test("live", tmp_path).run())
    assert "reid-pipeline run" in page.info[0].value


@pytest.mark.parametrize("role", Role)
def test_every_role_sees_what_its_cameras_see(tmp_path, role):
    write_site(tmp_path)
    everything = check_clean(page_test("live", tmp_path, role.value).run())
    assert everything.pills[0].options == ["door", "hall"]
    hall = check_clean(page_test("live", tmp_path, role.value, ["hall"]).run())
    assert hall.pills[0].options == ["hall"]
    written = "".join(each.proto.body for each in hall.get("html"))
    assert "hall" in written
    assert "door" not in written
