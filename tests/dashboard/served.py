"""A site behind the dashboard's own routes, with people who log in, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from reid_pipeline.dashboard.pictures import Pictures
from reid_pipeline.dashboard.served_site import ServedSite
from reid_pipeline.dashboard.sign_in import Gate, SignIn
from reid_pipeline.pipeline.searcher import SearchTools
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage.login_sessions import LoginSessions
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.users import Users

PASSWORD = "correct horse battery"
ADDRESS = "https://testserver"  # the cookie of a site with a certificate goes nowhere else


@contextmanager
def served(data_dir: Path) -> Iterator[ServedSite]:
    """The site, with an admin ``root`` and a viewer ``ada`` who sees the hall alone."""
    with open_site(None, data_dir, actor="root") as site:
        users = Users(site.database, Access("root", Role.ADMIN))
        users.add("root", Role.ADMIN)
        users.add("ada", Role.VIEWER, ["hall"])
        for name in ("root", "ada"):
            users.set_password(name, PASSWORD)
        yield ServedSite(site, LoginSessions(site.database), SearchTools(site))


def client_of(site: ServedSite) -> TestClient:
    """A browser that is not logged in. In the place of Streamlit stand a page and a socket that say that they are."""

    async def page(_request):
        return PlainTextResponse("a page")

    async def socket(connection):
        await connection.accept()
        await connection.send_text("a socket")
        await connection.close()

    behind = [Route("/{path:path}", page), WebSocketRoute("/_stcore/stream", socket)]
    routes = [*SignIn(site, secure=True).routes(), *Pictures(site).routes(), *behind]
    app = Starlette(routes=routes, middleware=[Middleware(Gate, served=site)])
    return TestClient(app, base_url=ADDRESS, follow_redirects=False)


def logged_in(site: ServedSite, name: str) -> TestClient:
    """A browser of somebody who is logged in."""
    client = client_of(site)
    answer = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
    assert answer.status_code == 303
    return client
