"""The script that Streamlit runs for each look at a page: who is it, which pages may they see, which one is it?"""

from __future__ import annotations

import streamlit as st

from reid_pipeline.dashboard.look import ICON, apply_look
from reid_pipeline.dashboard.navigation import pages_for
from reid_pipeline.dashboard.own_password import choose_password
from reid_pipeline.dashboard.served_site import ServedSite, served_site
from reid_pipeline.dashboard.sign_in import COOKIE, ENTER_PATH, LOGIN_PATH
from reid_pipeline.dashboard.signed_links import Link
from reid_pipeline.storage.login_sessions import LoggedIn


def main() -> None:
    """Shows a page."""
    served = served_site()
    st.set_page_config(page_title=served.site.name, page_icon=ICON, layout="wide")
    apply_look()
    logged_in = _who(served)
    if logged_in is None:
        st.title("You are logged out")
        st.write("Nothing was done for a while, or somebody has changed what you may do.")
        st.link_button("Log in", LOGIN_PATH, type="primary")
        st.stop()
    visitor = served.visit(logged_in.access)
    if logged_in.must_choose:
        choose_password(visitor)
        st.stop()
    page = st.navigation(pages_for(visitor))
    with st.sidebar:
        st.caption(
            f"{visitor.access.name} · {visitor.access.role}",
            help="What you look at and search for is written into the audit log.",
        )
        st.html('<form method="post" action="/logout" target="_top"><button class="log-out">Log out</button></form>')
    page.run()


def _who(served: ServedSite) -> LoggedIn | None:
    """Who looks: by the session of our own log-in, or by OpenID Connect where that is set up."""
    token = st.context.cookies.get(COOKIE)
    known = None if token is None else served.sessions.find(token)
    if known is not None or "auth" not in st.secrets:
        return known
    if not st.user.is_logged_in:
        st.title(served.site.name)
        st.button("Log in", on_click=st.login, type="primary")
        st.stop()
    access = served.sessions.access_of(str(st.user.email))
    if access is None:
        st.error(f"{st.user.email} is no user of this site. Ask an admin to add you.")
        st.button("Log out", on_click=st.logout)
        st.stop()
    link = served.links.make(Link(access.name, "enter", ()))
    st.title(served.site.name)
    st.link_button(f"Go on as {access.name}", f"{ENTER_PATH}/{link}", type="primary")
    return st.stop()


if __name__ == "__main__":  # as Streamlit runs it
    main()
