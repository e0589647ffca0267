from __future__ import annotations

import pytest
from starlette.websockets import WebSocketDisconnect

from reid_pipeline.dashboard.sign_in import COOKIE, Throttle, session_token
from tests.dashboard.served import PASSWORD, client_of, logged_in, served
from tests.pipeline.identity_site import write_site


@pytest.fixture
def site(tmp_path):
    write_site(tmp_path / "data")
    with served(tmp_path / "data") as site:
        yield site


def test_nobody_gets_past_the_gate_who_is_not_logged_in(site):
    client = client_of(site)
    for path in ("/", "/live", "/_stcore/upload_file/x", "/media/x.png", "/_stcore/host-config", "/crop/x", "/clip/x"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (401, "log in first"), path
    answer = client.get("/people", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/people")
    assert client.post("/people", headers={"accept": "text/html"}).status_code == 401
    for path in ("/_stcore/stream", "/live/wall/x"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path) as socket:
            socket.receive_text()


def test_a_password_opens_the_gate_and_logging_out_shuts_it(site):
    client = client_of(site)
    wrong = client.post("/login", data={"name": "root", "password": "wrong"})
    assert wrong.status_code == 401
    assert "do not match" in wrong.text
    right = client.post("/login", data={"name": "root", "password": PASSWORD, "next": "/people?id=3"})
    assert (right.status_code, right.headers["location"]) == (303, "/people?id=3")
    cookie = right.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "secure"))
    assert client.get("/people").text == "a page"
    with client.websocket_connect("wss://testserver/_stcore/stream") as socket:
        assert socket.receive_text() == "a socket"
    token = client.cookies[COOKIE]
    assert client.post("/logout").status_code == 303
    client.cookies.set(COOKIE, token)
    assert client.get("/people").status_code == 401


def test_who_is_disabled_is_out_at_once(site):
    client = logged_in(site, "ada")
    assert client.get("/").status_code == 200
    from reid_pipeline.storage.permissions import Access, Role
    from reid_pipeline.storage.users import Users

    Users(site.site.database, Access("root", Role.ADMIN)).disable("ada")
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/x", "\\\\evil.example", "javascript:alert(1)", "evil"]
)
def test_nobody_is_led_elsewhere(site, target):
    client = client_of(site)
    assert "evil.example" not in client.get("/login", params={"next": target}).text
    answer = client.post("/login", data={"name": "root", "password": PASSWORD, "next": target})
    assert answer.headers["location"].startswith("/")
    assert not answer.headers["location"].startswith("//")


def test_the_page_says_nothing_that_somebody_put_into_it(site):
    text = client_of(site).get("/login", params={"next": '/"><script>alert(1)</script>'}).text
    assert "<script>" not in text


def test_guessing_becomes_slow_for_a_name_and_for_an_address(site):
    client = client_of(site)
    for _ in range(5):
        assert client.post("/login", data={"name": "root", "password": "wrong"}).status_code == 401
    for name in ("root", "ada"):
        answer = client.post("/login", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 429
        assert "Too many tries" in answer.text


def test_the_throttle_lets_try_again_after_a_while():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(5):
        assert throttle.wait_s("a", "b") == 0
        throttle.failed("a")
    assert throttle.wait_s("b") == 0
    assert throttle.wait_s("b", "a") == 30
    now[0] = 29
    assert throttle.wait_s("a") == 1
    now[0] = 31
    assert throttle.wait_s("a") == 0
    throttle.failed("a")
    assert throttle.wait_s("a") == 30
    throttle.succeeded("a")
    assert throttle.wait_s("a") == 0


@pytest.mark.parametrize("cookie", ["", "x=1", "reid_session", ";;;", "reid_session=", '"; \x00'])
def test_a_strange_cookie_is_nobody(cookie):
    assert not session_token(cookie)
