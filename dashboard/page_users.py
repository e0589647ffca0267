"""Users: who may use the site, what they may do, and which cameras they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from reid_pipeline.dashboard.answers import one_line, show_told, tell
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.words import plain
from reid_pipeline.storage.permissions import ALLOWED, Role
from reid_pipeline.storage.users import UserRecord, Users

_NEW_PASSWORD: Final = "users_password"  # the name of a place, no password


def show(visitor: Visitor) -> None:
    """The page."""
    show_told()
    st.title("Users")
    with one_line():
        users = Users(visitor.site.database, visitor.access)
        found = users.read()
        _show_password()
        if st.button("Add a user", icon=":material/person_add:", type="primary", key="users_add"):
            ask_user(visitor, None)
        for each in sorted(found, key=lambda user: (user.disabled, user.name)):
            _show_user(visitor, each)
        _show_roles()


def _show_password() -> None:
    """A password that serves once is shown once: nobody can look it up later."""
    made: tuple[str, str] | None = st.session_state.pop(_NEW_PASSWORD, None)
    if made is None:
        return
    name, password = made
    with st.container(border=True):
        st.markdown(f"**Password for {plain(name)}.** It serves once, for a day, and is shown only now.")
        st.code(password, None)
        st.caption("Hand it over in person. With it they choose one of their own.")


def _show_user(visitor: Visitor, user: UserRecord) -> None:
    with st.container(border=True, key=f"users_{user.name}"):
        words, actions = st.columns([3, 2], vertical_alignment="center")
        mark = " · :gray-badge[disabled]" if user.disabled else ""
        own = " · :blue-badge[you]" if user.name == visitor.access.name else ""
        password = "has a password" if user.has_password else "no password"
        words.markdown(
            f"**{plain(user.name)}** · {plain(user.role)}{mark}{own}  \n"
            f":small[{plain(cameras_words(user.cameras))} · {password}]"
        )
        with actions.container(horizontal=True, horizontal_alignment="right"):
            if st.button(
                "Change", key=f"users_change_{user.name}", help="Role and cameras; allows a disabled one again."
            ):
                ask_user(visitor, user.name)
            if user.disabled:
                return
            if user.name != visitor.access.name and st.button(
                "New password", key=f"users_password_{user.name}", help="One that serves once, for a day."
            ):
                ask_password(visitor, user.name)
            if st.button("Disable", key=f"users_disable_{user.name}"):
                ask_disable(visitor, user.name)


def cameras_words(cameras: Sequence[str] | None) -> str:
    """Which cameras somebody sees."""
    if cameras is None:
        return "all cameras"
    return ", ".join(cameras) if cameras else "no camera"


@st.dialog("User")
def ask_user(visitor: Visitor, name: str | None) -> None:
    """Asks what somebody may do and see; None: somebody new."""
    users = Users(visitor.site.database, visitor.access)
    user = next((each for each in users.read() if each.name == name), None)
    everything = "All cameras" if user is None or user.cameras is None else "Only some"
    with st.form("users_form", border=False):
        typed = (
            st.text_input("Name", help="As they log in; on the command line as the operating system knows them.")
            if name is None
            else name
        )
        if name is not None:
            st.markdown(f"**{plain(name)}**")
        chosen = st.selectbox("Role", list(Role), index=_place(user), help="See below the list.")
        scope = st.radio("Sees", ["All cameras", "Only some"], index=["All cameras", "Only some"].index(everything))
        cameras = st.multiselect(
            "Only these",
            visitor.site.repository.camera_names(),
            default=known_cameras(user, visitor.site.repository.camera_names()),
            help="Counts where “Only some” is chosen.",
        )
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        with one_line():
            _save(
                users,
                typed.strip(),
                chosen or Role.VIEWER,
                cameras if scope == "Only some" else None,
                is_new=name is None,
            )


def _place(user: UserRecord | None) -> int:
    return 0 if user is None else list(Role).index(user.role)


def known_cameras(user: UserRecord | None, cameras: Sequence[str]) -> list[str]:
    """Those of a user's cameras that there still are."""
    return [each for each in (user.cameras or () if user else ()) if each in cameras]


def _save(users: Users, name: str, role: Role, cameras: list[str] | None, *, is_new: bool) -> None:
    if not name:
        st.error("Say a name.")
        return
    if cameras == []:
        st.error("Choose at least one camera, or all.")
        return
    if is_new and any(each.name == name for each in users.read()):
        st.error(f"{name} is a user already: change them in the list.")
        return
    users.add(name, role, cameras)
    if is_new:
        st.session_state[_NEW_PASSWORD] = (name, users.set_one_time_password(name))
    tell(f"{name} is {role} now.")


@st.dialog("New password")
def ask_password(visitor: Visitor, name: str) -> None:
    """Makes somebody a password that serves once."""
    st.write(
        f"{plain(name)} gets a password that serves once, for a day. The present one ends, and they are logged out."
    )
    if st.button("Make it", key="users_password_now", type="primary"):
        with one_line():
            st.session_state[_NEW_PASSWORD] = (
                name,
                Users(visitor.site.database, visitor.access).set_one_time_password(name),
            )
            st.rerun()


@st.dialog("Disable a user")
def ask_disable(visitor: Visitor, name: str) -> None:
    """Disables somebody, once that is confirmed."""
    st.write(f"{plain(name)} may do nothing any more. What they did stays in the audit log.")
    if st.button(f"Disable {plain(name)}", key="users_disable_now", type="primary"):
        with one_line():
            Users(visitor.site.database, visitor.access).disable(name)
            tell(f"{name} is disabled.")


def _show_roles() -> None:
    with st.expander("What each role may do"):
        for role in Role:
            allowed = ", ".join(sorted(permission.value for permission in ALLOWED[role]))
            st.markdown(f"**{role.value}**: {allowed}.")
