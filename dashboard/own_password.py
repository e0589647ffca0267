"""Choosing a password of one's own, after the first log-in or at any time."""

from __future__ import annotations

import streamlit as st

from reid_pipeline.dashboard.served_site import Visitor
from reid_pipeline.dashboard.sign_in import LOGIN_PATH
from reid_pipeline.storage.errors import UserRefused
from reid_pipeline.storage.users import Users


def choose_password(visitor: Visitor) -> None:
    """Asks for it twice; who has one has to log in with it."""
    st.title("Choose a password")
    st.write("The one that you came with serves only once. At least 12 characters; a few words are good.")
    with st.form("password", width=420):
        first = st.text_input("New password", type="password")
        again = st.text_input("The same again", type="password")
        sent = st.form_submit_button("Set password", type="primary")
    if not sent:
        return
    if first != again:
        st.error("The two are different.")
        return
    try:
        Users(visitor.site.database, visitor.access).set_password(visitor.access.name, first)
    except UserRefused as error:
        st.error(str(error))
        return
    st.success("It is set. Log in with it now.")
    st.link_button("Log in", LOGIN_PATH, type="primary")
