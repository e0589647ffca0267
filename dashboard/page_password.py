"""Password: everybody changes their own."""

from __future__ import annotations

import streamlit as st

from reid_pipeline.dashboard.answers import one_line
from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.sign_in import LOGIN_PATH
from reid_pipeline.storage.users import Users


def show(visitor: Visitor) -> None:
    """The page."""
    st.title("Password")
    st.caption("At least 12 characters; a few words are good. With a new one you log in again, on every device.")
    with st.form("password", width=420):
        old = st.text_input("Present password", type="password", key="password_old")
        first = st.text_input("New password", type="password", key="password_new")
        again = st.text_input("The same again", type="password", key="password_again")
        sent = st.form_submit_button("Change password", type="primary")
    if not sent:
        return
    if first != again:
        st.error("The two are different.")
        return
    with one_line():
        Users(visitor.site.database, visitor.access).change_password(old, first)
        st.success("It is set. Log in with it now.")
        st.link_button("Log in", LOGIN_PATH, type="primary")
