"""An operator's day in a real browser, on a virtual site; screenshots go to the test's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reid_pipeline.pipeline.cli import run_command_line
from tests.dashboard.browser import browser_page, log_in, running_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def virtual_site(tmp_path_factory):
    """Six people in three cameras for half a minute, found by the bundled models."""
    folder = tmp_path_factory.mktemp("virtual") / "site"
    options = ["--cameras", "3", "--people", "6", "--seconds", "30", "--fps", "5", "--seed", "2"]
    assert run_command_line(["simulate", *options, "--out", str(folder)]) == 0
    assert run_command_line(["run", str(folder / "cameras.yaml")]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    """Where pictures of the pages go: REID_SCREENSHOTS, or a folder of the tests."""
    folder = Path(os.environ.get("REID_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_an_operator_s_day(virtual_site, screenshots):
    with running_dashboard(virtual_site) as (address, name, password), browser_page() as page:
        visit = log_in(page, address, name, password)
        visit.open("/")
        page.get_by_text("Comings and goings").wait_for()
        page.screenshot(path=screenshots / "live.png")
        crop = max(virtual_site.glob("crops/*/*/*.jpg"), key=lambda path: path.stat().st_size)
        visit.open("/search")
        page.locator("input[type=file]").set_input_files(crop)
        page.get_by_text("sightings compared").wait_for()
        for accepted in range(1, 4):
            page.locator("article.hit button", has_text="Accept").first.click()
            page.get_by_text(f"{accepted} accepted").wait_for()
        page.screenshot(path=screenshots / "search.png")
        assert not visit.complaints, visit.complaints
