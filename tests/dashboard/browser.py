"""A dashboard in a process of its own, and a real browser on it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse battery"
PATIENCE_MS = 60_000
_MAIN = "from reid_pipeline.pipeline.cli import main; main()"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Visit:
    """A page in the browser, logged in, and what the browser complained of."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Opens a page and waits until its script has run."""
        self.page.goto(self.address + path)
        return self.settle()

    def settle(self) -> Page:
        """Waits until no script runs."""
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        return self.page


@contextmanager
def running_dashboard(data_dir: Path) -> Iterator[tuple[str, str, str]]:
    """Starts `reid-pipeline dashboard`; gives its address, and name and password of the first log-in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _MAIN, "dashboard", "--data", str(data_dir), "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            started = json.loads(process.stdout.readline())
            address = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(address, process)
            yield address, started["name"], started["password"]
        finally:
            process.terminate()
    assert process.returncode == 0, f"the dashboard ended with {process.returncode}"


def _wait_until_it_answers(address: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except OSError:
            continue
    raise AssertionError(f"the dashboard ended with {process.returncode}")


@contextmanager
def browser_page(width: int = 1440, height: int = 900) -> Iterator[Page]:
    """A page of a headless Chromium; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser: playwright is not installed")
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def log_in(page: Page, address: str, name: str, password: str) -> Visit:
    """Logs somebody in, who chooses a password first where theirs serves only once."""
    visit = Visit(page, address)
    page.goto(f"{address}/login")
    _type_name_and_password(page, name, password)
    visit.settle()
    if page.get_by_text("Choose a password").count():
        for label in ("New password", "The same again"):
            page.get_by_label(label).fill(PASSWORD)
        page.get_by_role("button", name="Set password").click()
        page.get_by_text("Log in with it now").wait_for()
        page.goto(f"{address}/login")
        _type_name_and_password(page, name, PASSWORD)
        visit.settle()
    page.on("console", lambda message: _note_message(visit, message.type, message.text))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("response", lambda answer: _note_refused(visit, answer.status, answer.url))
    page.on("request", lambda request: _note_strangers(visit, request.url))
    return visit


def _type_name_and_password(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def _is_probe(url: str) -> bool:
    """Opened at /search, Streamlit's pages first look for their server at /search/_stcore, then at /_stcore."""
    return "/_stcore/" in url


def _note_message(visit: Visit, kind: str, text: str) -> None:
    if kind == "error" and not text.startswith("Failed to load resource"):  # `_note_refused` says which
        visit.complaints.append(text)


def _note_refused(visit: Visit, status: int, url: str) -> None:
    if status >= 400 and not _is_probe(url):
        visit.complaints.append(f"{status} {url}")


def _note_strangers(visit: Visit, url: str) -> None:
    """Nothing phones home: whatever a page asks for comes from the dashboard, or from the page itself."""
    own = visit.address.removeprefix("http")
    if not url.startswith((f"http{own}", f"ws{own}", "data:", "blob:")):
        visit.complaints.append(f"asked {url}")
