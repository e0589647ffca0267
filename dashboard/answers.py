"""What a page says of what somebody did: that it is done, once the page shows it, or in one line why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import streamlit as st

from reid_pipeline.configs.errors import UserError
from reid_pipeline.storage.errors import StorageError

_TOLD: Final = "_told"


@contextmanager
def one_line() -> Iterator[None]:
    """Shows what the block refuses, such as a role that does not allow it, as one line."""
    try:
        yield
    except (UserError, StorageError) as error:
        st.error(str(error))


def tell(text: str) -> NoReturn:
    """Shows the page anew, with a word about what was done."""
    st.session_state[_TOLD] = text
    st.rerun()


def show_told() -> None:
    """Says what `tell` was told; at the beginning of a page."""
    text = st.session_state.pop(_TOLD, None)
    if text is not None:
        st.toast(str(text), icon=":material/check:")
