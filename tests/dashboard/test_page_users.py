from __future__ import annotations

import pytest

from reid_pipeline.dashboard.page_users import cameras_words
from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.login_sessions import LoginSessions
from reid_pipeline.storage.permissions import Access, Permission, Role
from reid_pipeline.storage.users import Users
from tests.dashboard.dialogs import dialog_test, told
from tests.dashboard.pages import check_clean, page_test
from tests.pipeline.identity_site import write_site

ADMIN = Access("root", Role.ADMIN)
PASSWORD = "correct horse battery"


@pytest.fixture
def site(tmp_path):
    write_site(tmp_path)
    with open_database(tmp_path) as database:
        Users(database, ADMIN).add("root", Role.ADMIN)
    return tmp_path


def users(data_dir):
    with open_database(data_dir) as database:
        return {each.name: each for each in Users(database, ADMIN).read()}


def button(page, label):
    return next(each for each in page.button if each.label == label)


def add(data_dir, name, role="operator", cameras=None):
    page = dialog_test(("page_users", "ask_user"), data_dir, None).run()
    page.text_input[0].input(name)
    page.selectbox[0].set_value(role)
    if cameras is not None:
        page.radio[0].set_value("Only some")
        page.multiselect[0].set_value(list(cameras))
    return button(page, "Save").click().run()


def test_a_new_user_gets_a_password_that_is_shown_once_and_serves(site):
    made = add(site, "ben", "operator", ["hall"])
    assert told(made) == "ben is operator now."
    assert (users(site)["ben"].role, users(site)["ben"].cameras) == ("operator", ("hall",))
    page = page_test("users", site)
    page.session_state["users_password"] = made.session_state["users_password"]
    check_clean(page.run())
    with open_database(site) as database:
        sessions = LoginSessions(database)
        found = sessions.find(sessions.begin("ben", page.code[0].value))
        assert found.must_choose
        noted = [each.subject["what"] for each in AuditLog(database).read() if each.subject.get("user") == "ben"]
    assert noted == ["add", "password"]
    check_clean(page.run())
    assert not page.code


@pytest.mark.parametrize(
    ("name", "cameras", "said"),
    [("root", None, "is a user already"), ("ben", (), "at least one camera"), (" ", None, "Say a name")],
)
def test_who_cannot_be_added(site, name, cameras, said):
    page = add(site, name, "viewer", cameras)
    assert said in page.error[0].value
    assert list(users(site)) == ["root"]
    assert users(site)["root"].role == "admin"


def test_a_user_is_changed_given_a_password_and_disabled(site):
    name = "<b>*ben*"
    told(add(site, name, "viewer", ["hall"]))
    page = check_clean(page_test("users", site).run())
    assert not any("<b>" in each.value for each in page.markdown)
    assert {"users_change_root", f"users_disable_{name}"} <= {each.key for each in page.button}
    assert "users_password_root" not in {each.key for each in page.button}
    page = dialog_test(("page_users", "ask_user"), site, name).run()
    assert page.multiselect[0].value == ["hall"]
    page.selectbox[0].set_value("investigator")
    told(button(page, "Save").click().run())
    assert (users(site)[name].role, users(site)[name].cameras) == ("investigator", ("hall",))
    page = dialog_test(("page_users", "ask_password"), site, name).run()
    check_clean(page.button[0].click().run())
    assert users(site)[name].has_password
    assert page.session_state["users_password"][0] == name
    told(dialog_test(("page_users", "ask_disable"), site, name).run().button[0].click().run())
    assert users(site)[name].disabled


def test_the_last_admin_stays(site):
    page = dialog_test(("page_users", "ask_disable"), site, "root").run().button[0].click().run()
    assert "no admin" in page.error[0].value
    assert not users(site)["root"].disabled


def test_others_are_told_that_they_may_not(site):
    for role in set(Role) - {Role.ADMIN}:
        page = page_test("users", site, role.value).run()
        assert not page.exception
        assert Permission.MANAGE in page.error[0].value
        assert not page.button


@pytest.mark.parametrize(("cameras", "words"), [(None, "all cameras"), (("a", "b"), "a, b"), ((), "no camera")])
def test_cameras_in_words(cameras, words):
    assert cameras_words(cameras) == words


def change(site, old, first, again):
    page = page_test("password", site, "viewer", name="ada").run()
    for key, text in (("password_old", old), ("password_new", first), ("password_again", again)):
        page.text_input(key=key).input(text)
    return button(page, "Change password").click().run()


def test_everybody_changes_their_own_password(site):
    with open_database(site) as database:
        Users(database, ADMIN).add("ada", Role.VIEWER, ["hall"])
        Users(database, ADMIN).set_password("ada", PASSWORD)
        token = LoginSessions(database).begin("ada", PASSWORD)
    for old, first, again, said in (
        ("another one", "a better password", "a better password", "present password"),
        (PASSWORD, "a better password", "a worse password", "different"),
        (PASSWORD, "short", "short", "12"),
    ):
        assert said in change(site, old, first, again).error[0].value
    check_clean(change(site, PASSWORD, "a better password", "a better password"))
    with open_database(site) as database:
        sessions = LoginSessions(database)
        assert sessions.find(token) is None
        assert sessions.begin("ada", PASSWORD) is None
        assert sessions.begin("ada", "a better password")


def test_who_has_no_password_is_told_whom_to_ask(site):
    with open_database(site) as database:
        Users(database, ADMIN).add("ada", Role.VIEWER)
    assert "ask an admin" in change(site, "x", "a better password", "a better password").error[0].value
