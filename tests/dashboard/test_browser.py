"""An operator's day in a real browser, on a virtual site; screenshots go to the test's folder."""

from __future__ import annotations

import os
import re
import zipfile
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
        search_and_join(visit, virtual_site, screenshots)
        export_journey(visit, screenshots)
        merge_and_undo(visit)
        erase(visit, virtual_site, screenshots)
        for path in ("/people", "/map", "/learning", "/system", "/privacy", "/users", "/alerts", "/"):
            visit.open(path)
            page.screenshot(path=screenshots / f"{path[1:] or 'live'}.png")
        page.set_viewport_size({"width": 390, "height": 844})
        for path in ("/people", "/map", "/search", "/"):
            visit.open(path)
            page.screenshot(path=screenshots / f"{path[1:] or 'live'}-narrow.png")
        assert not visit.complaints, visit.complaints


def search_and_join(visit, data_dir, screenshots):
    """Searches by a picture, accepts the first three, and makes one person of them: that leads to the journey."""
    page = visit.open("/search")
    crop = max(data_dir.glob("crops/*/*/*.jpg"), key=lambda path: path.stat().st_size)
    page.locator("input[type=file]").set_input_files(crop)
    page.get_by_text("sightings compared").wait_for()
    for accepted in range(1, 4):
        page.locator("article.hit button", has_text="Accept").first.click()
        page.get_by_text(f"{accepted} accepted").wait_for()
        visit.settle()
    page.screenshot(path=screenshots / "search.png")
    page.get_by_role("button", name="Make one person of these 3 sightings").click()
    page.get_by_text("When and where").wait_for()
    visit.settle()


def export_journey(visit, screenshots):
    page = visit.page
    page.screenshot(path=screenshots / "journey.png")
    page.get_by_text("Export", exact=True).click()
    page.get_by_role("textbox", name="Reason").fill("report 12")
    page.get_by_role("textbox", name="Reason").press("Enter")
    visit.settle()
    with page.expect_download() as download:
        page.locator("[data-testid=stDownloadButton] button:enabled").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).name for name in archive.namelist()}
        assert names >= {"journey.csv", "journey.json", "journey.html", "manifest.json"}


def merge_and_undo(visit):
    """Merges the person with another one, and takes that back."""
    page, before = visit.page, numbers_of(visit)
    one, other = sorted(before[:2])
    page.goto(f"{visit.address}/journeys?id={one}")
    page.get_by_text("When and where").wait_for()
    page.get_by_text("Correct", exact=True).click()
    page.get_by_role("spinbutton", name="Is the same person as").fill(str(other))
    page.get_by_role("spinbutton", name="Is the same person as").press("Enter")
    page.get_by_role("button", name="They are one person").click()
    page.get_by_text("Merged into this person").wait_for()
    assert len(numbers_of(visit)) == len(before) - 1
    page.goto(f"{visit.address}/journeys?id={one}")
    page.get_by_text("When and where").wait_for()
    page.get_by_text("Correct", exact=True).click()
    page.get_by_role("tab", name="Decisions").click()
    page.get_by_role("button", name="Take back").first.click()
    page.get_by_text("Merged into this person").wait_for(state="detached")
    assert numbers_of(visit) == before


def numbers_of(visit):
    """The people of the page People, in its order."""
    page = visit.open("/people")
    page.locator("a.card").first.wait_for()
    return [int(text.removeprefix("Person ")) for text in page.locator("a.card b").all_inner_texts()]


def erase(visit, data_dir, screenshots):
    """Erases a person; their pictures are gone from the disk."""
    person = numbers_of(visit)[0]
    before = len(list(data_dir.glob("crops/*/*/*.jpg")))
    page = visit.open("/privacy?privacy_part=Erase")
    page.get_by_role("spinbutton", name="Number of the person").fill(str(person))
    page.get_by_role("button", name="Show what would go").click()
    page.get_by_role("textbox", name="Why").fill("asked for it")
    typed = page.get_by_role("textbox", name="to confirm")
    typed.fill(re.search("erase [0-9]+", typed.get_attribute("aria-label"))[0])
    page.screenshot(path=screenshots / "erase.png")
    page.get_by_role("button", name="Erase for good").click()
    page.get_by_text("Erasure 1").first.wait_for()
    assert len(list(data_dir.glob("crops/*/*/*.jpg"))) < before
    assert person not in numbers_of(visit)
