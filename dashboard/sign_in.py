"""Who may come in: the page that asks for name and password, and the gate in front of everything else."""

from __future__ import annotations

import html
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reid_pipeline.dashboard.served_site import ServedSite

COOKIE: Final = "reid_session"
LOGIN_PATH: Final = "/login"
LOGOUT_PATH: Final = "/logout"
ENTER_PATH: Final = "/enter"
USER: Final = "user"
"""Where `Gate` leaves the name of who is logged in, in the state of a request."""

_OPEN: Final = (LOGIN_PATH, f"{ENTER_PATH}/", "/static/", "/favicon.png", "/_stcore/health")
_SHUT: Final = ("/crop/", "/clip/", "/live/", "/report/", "/media/")  # also where pages ask who somebody is themselves
_MOST_TRIES: Final = 5
_PAUSE_S: Final = 30.0
_REMEMBERED: Final = 10_000
# Pages may load and ask for what this server has, and nothing else: nothing they show can be sent elsewhere.
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "connect-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Throttle:
    """Lets a name, or an address, try a few times, then once in a while.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, *keys: str) -> float:
        """How long until the next try is looked at; 0: now."""
        return max(self._wait_s(key) for key in keys)

    def failed(self, *keys: str) -> None:
        """Notes a wrong password."""
        for key in keys:
            count, _ = self._failed.pop(key, (0, 0.0))
            self._failed[key] = (count + 1, self._clock())
            if len(self._failed) > _REMEMBERED:
                self._failed.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forgets what failed before."""
        for key in keys:
            self._failed.pop(key, None)

    def _wait_s(self, key: str) -> float:
        count, at_s = self._failed.get(key, (0, 0.0))
        return 0.0 if count < _MOST_TRIES else max(0.0, at_s + _PAUSE_S - self._clock())


class SignIn:
    """The routes to log in and out."""

    def __init__(self, served: ServedSite, *, secure: bool) -> None:
        self._served = served
        self._secure = secure
        self._throttle = Throttle()

    def routes(self) -> list[Route]:
        """``/login`` and ``/logout``."""
        return [
            Route(LOGIN_PATH, self._ask, methods=["GET"]),
            Route(LOGIN_PATH, self._log_in, methods=["POST"]),
            Route(LOGOUT_PATH, self._log_out, methods=["POST"]),
            Route(f"{ENTER_PATH}/{{token}}", self._enter, methods=["GET"]),
        ]

    async def _ask(self, request: Request) -> Response:
        return self._page(_local(request.query_params.get("next", "/")), "")

    async def _log_in(self, request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=10)
        name, password, target = (str(form.get(key, ""))[:1000] for key in ("name", "password", "next"))
        keys = (f"name {name}", f"address {request.client.host if request.client else ''}")
        wait_s = self._throttle.wait_s(*keys)
        if wait_s > 0:
            return self._page(_local(target), f"Too many tries. Try again in {wait_s:.0f} seconds.", 429)
        token = await run_in_threadpool(self._served.sessions.begin, name, password)
        if token is None:
            self._throttle.failed(*keys)
            return self._page(_local(target), "Name and password do not match.", 401)
        self._throttle.succeeded(*keys)
        return self._let_in(token, _local(target))

    async def _enter(self, request: Request) -> Response:
        """Lets somebody in whom OpenID Connect has named to a page, which made this address for them."""
        link = self._served.links.read(request.path_params["token"], "enter")
        token = None if link is None else await run_in_threadpool(self._served.sessions.begin_known, link.user)
        return RedirectResponse(LOGIN_PATH, 303) if token is None else self._let_in(token, "/")

    def _let_in(self, token: str, target: str) -> Response:
        response = RedirectResponse(target, 303)
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=self._secure, path="/")
        return response

    async def _log_out(self, request: Request) -> Response:
        token = request.cookies.get(COOKIE)
        if token:
            await run_in_threadpool(self._served.sessions.end, token)
        response = RedirectResponse(LOGIN_PATH, 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    def _page(self, target: str, fault: str, status: int = 200) -> HTMLResponse:
        page = (files(__package__) / "assets" / "login.html").read_text(encoding="utf-8")
        for key, text in (("SITE", self._served.site.name), ("NEXT", target), ("FAULT", fault)):
            page = page.replace(f"%{key}%", html.escape(text))
        return HTMLResponse(page, status, headers=_HEADERS)


class Gate:
    """Lets nobody in who is not logged in, but to the page where they do; pages, pictures and sockets alike.

    Args:
        app: What is behind it.
        served: Knows who is logged in.
        single_sign_on: Whether pages ask themselves, by OpenID Connect: only what they show stays shut then.
    """

    def __init__(self, app: ASGIApp, served: ServedSite, *, single_sign_on: bool = False) -> None:
        self._app = app
        self._served = served
        self._single_sign_on = single_sign_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        asks = scope["type"] in ("http", "websocket")
        user = await run_in_threadpool(self._find_user, scope) if asks else None
        if user is not None:
            scope.setdefault("state", {})[USER] = user
        if not asks or user is not None or self._is_open(scope["path"]):
            await self._app(scope, receive, partial(_send_with_policy, send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401, "reason": "log in"})
        else:
            await self._send_away(scope)(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        if self._single_sign_on:
            return not path.startswith(_SHUT)
        return any(path == each or (each.endswith("/") and path.startswith(each)) for each in _OPEN)

    def _find_user(self, scope: Scope) -> str | None:
        token = session_token(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
        found = None if token is None else self._served.sessions.find(token, busy=False)
        return None if found is None else found.access.name

    def _send_away(self, scope: Scope) -> Response:
        accepts = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        if scope["method"] == "GET" and "text/html" in accepts:
            return RedirectResponse(f"{LOGIN_PATH}?next={quote(scope['path'])}", 303)
        return Response("log in first", 401, headers={"Cache-Control": "no-store"})


async def _send_with_policy(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        headers.setdefault("Content-Security-Policy", _POLICY)
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("X-Content-Type-Options", "nosniff")
    await send(message)


def session_token(cookie: str) -> str | None:
    """The token in a ``Cookie`` header."""
    try:
        found = SimpleCookie(cookie).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _local(target: str) -> str:
    """A path of this server, whatever was asked for: nobody is led elsewhere."""
    parts = urlsplit(target.replace("\\", "/"))
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else "/"
    return f"{path}?{parts.query}" if parts.query else path
