"""Dialogs of pages, each alone on a page: what runs pages without a browser does not open them."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest


def _script(data_dir: str, name: str, role: str, dialog: tuple[str, str], arguments: list[str | int | None]) -> None:
    """Runs inside the test of Streamlit, which takes the text of this function: it needs its imports itself."""
    from importlib import import_module
    from pathlib import Path

    from reid_pipeline.dashboard.served_site import ServedSite
    from reid_pipeline.pipeline.searcher import SearchTools
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.login_sessions import LoginSessions
    from reid_pipeline.storage.permissions import Access, Role

    with open_site(None, Path(data_dir), actor="root") as site:
        served = ServedSite(site, LoginSessions(site.database), SearchTools(site))
        module = import_module(f"reid_pipeline.dashboard.{dialog[0]}")
        getattr(module, dialog[1])(served.visit(Access(name, Role(role))), *arguments)


def dialog_test(
    dialog: tuple[str, str], data_dir: Path, *arguments: str | int | None, role: str = "admin", name: str = "root"
) -> AppTest:
    """A dialog, ready to `run`: its module in ``dashboard`` and its function, and what that is called with."""
    given = (str(data_dir), name, role, dialog, list(arguments))
    return AppTest.from_function(_script, default_timeout=30, args=given)


def told(test: AppTest) -> str:
    """What the page will say was done."""
    assert not test.exception, [each.value for each in test.exception]
    assert not test.error, [each.value for each in test.error]
    said: str = test.session_state["_told"]
    return said
