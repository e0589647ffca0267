from __future__ import annotations

import pytest

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.errors import UserRefused
from reid_pipeline.storage.login_sessions import IDLE_US, LONGEST_US, LoginSessions
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.users import ONE_TIME_US, Users

ROOT = Access("root", Role.ADMIN)
PASSWORD = "correct horse battery"


class Clock:
    def __init__(self):
        self.us = 1_763_640_000_000_000

    def __call__(self):
        return self.us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def users(site, clock):
    users = Users(site.database, ROOT, clock)
    users.add("root", Role.ADMIN)
    return users


@pytest.fixture
def sessions(site, users, clock):
    return LoginSessions(site.database, clock)


def test_a_password_lets_in_and_is_nowhere_to_be_read(site, users, sessions):
    assert sessions.begin("root", "") is None
    users.set_password("root", PASSWORD)
    token = sessions.begin("root", PASSWORD)
    assert sessions.find(token).access == ROOT
    assert not sessions.find(token).must_choose
    for name, word in (("root", "wrong"), ("eve", PASSWORD), ("root", "")):
        assert sessions.begin(name, word) is None
    files = [path.read_bytes() for path in site.data_dir.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in content or token.encode() in content for content in files)


def test_whoever_does_nothing_is_logged_out_and_everybody_in_the_end(users, sessions, clock):
    users.set_password("root", PASSWORD)
    token = sessions.begin("root", PASSWORD)
    clock.us += IDLE_US - 1
    assert sessions.find(token, busy=False) is not None
    clock.us += 2 * 60_000_000
    assert sessions.find(token, busy=False) is None
    token, end = sessions.begin("root", PASSWORD), clock.us + LONGEST_US
    while clock.us + IDLE_US // 2 < end:
        clock.us += IDLE_US // 2
        assert sessions.find(token) is not None
    clock.us = end
    assert sessions.find(token) is None


def test_a_session_ends_with_log_out_with_another_password_and_with_its_user(users, sessions):
    users.set_password("root", PASSWORD)
    token = sessions.begin("root", PASSWORD)
    sessions.end(token)
    sessions.end(token)
    assert sessions.find(token) is None
    token = sessions.begin("root", PASSWORD)
    users.set_password("root", PASSWORD + "!")
    assert sessions.find(token) is None
    users.add("ada", Role.VIEWER, None)
    users.set_password("ada", PASSWORD)
    token = sessions.begin("ada", PASSWORD)
    users.disable("ada")
    assert sessions.find(token) is None
    assert sessions.begin("ada", PASSWORD) is None
    assert sessions.access_of("ada") is None
    assert sessions.find("nonsense") is None


def test_a_change_of_role_counts_at_once(users, sessions):
    users.add("ada", Role.OPERATOR)
    users.set_password("ada", PASSWORD)
    token = sessions.begin("ada", PASSWORD)
    users.add("ada", Role.VIEWER)
    assert sessions.find(token).access == Access("ada", Role.VIEWER) == sessions.access_of("ada")


def test_a_one_time_password_serves_to_choose_another_and_for_a_day(users, sessions, clock):
    password = users.set_one_time_password("root")
    assert sessions.find(sessions.begin("root", password)).must_choose
    clock.us += ONE_TIME_US
    assert sessions.begin("root", password) is None
    password = users.set_one_time_password("root")
    with pytest.raises(UserRefused, match="12"):
        users.set_password("root", "short")
    assert sessions.find(sessions.begin("root", password)).must_choose
    users.set_password("root", PASSWORD)
    assert not sessions.find(sessions.begin("root", PASSWORD)).must_choose


def test_who_comes_and_goes_is_in_the_audit_log(site, users, sessions):
    users.set_password("root", PASSWORD)
    sessions.end(sessions.begin("root", PASSWORD))
    sessions.begin("root", "wrong")
    log = [(each.actor, each.subject["what"]) for each in AuditLog(site.database).read() if each.action == "login"]
    assert log == [("root", "in"), ("root", "out"), ("root", "refused")]
