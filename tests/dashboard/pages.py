"""Pages run without a browser, as somebody of a role sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from streamlit.testing.v1 import AppTest

_PATIENCE_S = 30


def _script(data_dir: str, name: str, role: str, cameras: list[str] | None, page: str) -> None:
    """Runs inside the test of Streamlit, which takes the text of this function: it needs its imports itself."""
    from importlib import import_module
    from pathlib import Path

    from reid_pipeline.dashboard.served_site import ServedSite
    from reid_pipeline.pipeline.searcher import SearchTools
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.login_sessions import LoginSessions
    from reid_pipeline.storage.permissions import Access, Role

    with open_site(None, Path(data_dir), actor="root") as site:
        access = Access(name, Role(role), None if cameras is None else frozenset(cameras))
        served = ServedSite(site, LoginSessions(site.database), SearchTools(site))
        import_module(f"reid_pipeline.dashboard.page_{page}").show(served.visit(access))


def page_test(
    page: str,
    data_dir: Path,
    role: str = "admin",
    cameras: Collection[str] | None = None,
    query: Mapping[str, str | list[str]] | None = None,
    name: str = "root",
) -> AppTest:
    """A page of a site, ready to `run`; no user may have been added to the site but ``root``.

    Args:
        page: The module is ``dashboard.page_<page>``.
        data_dir: Of the site.
        role: Of who looks.
        cameras: That they may see; None for all.
        query: Parameters of the address.
        name: Of who looks.
    """
    arguments = (str(data_dir), name, role, None if cameras is None else list(cameras), page)
    test = AppTest.from_function(_script, default_timeout=_PATIENCE_S, args=arguments)
    for key, value in (query or {}).items():
        test.query_params[key] = value
    return test


def check_clean(test: AppTest) -> AppTest:
    """Nothing went wrong, and nothing was warned of."""
    assert not test.exception, [each.value for each in test.exception]
    assert not test.error, [each.value for each in test.error]
    assert not test.warning, [each.value for each in test.warning]
    return test
