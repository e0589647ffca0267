"""The dashboard's server: Streamlit for the pages, and beside it the routes that pages cannot have.

browser -> Gate (who is logged in?) -> /login, /logout               `sign_in`
                                    -> /crop, /clip, /live           `pictures`
                                    -> everything else: Streamlit    `main`, which shows the pages
"""

from __future__ import annotations

import logging
import signal
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from starlette.middleware import Middleware
from streamlit.starlette import App

from reid_pipeline.dashboard.look import THEME
from reid_pipeline.dashboard.pictures import Pictures
from reid_pipeline.dashboard.served_site import ServedSite, serve
from reid_pipeline.dashboard.sign_in import Gate, SignIn
from reid_pipeline.pipeline.errors import InputError

_LARGEST_UPLOAD_MB: Final = 20


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the dashboard is reached.

    Attributes:
        address: What it listens at.
        port: Its port.
        certificate: Of TLS, PEM; None: plain HTTP.
        key: Of the certificate.
        oidc: A TOML file with the section ``auth`` of Streamlit's ``secrets.toml``; None: passwords of the site.
    """

    address: str = "127.0.0.1"
    port: int = 8501
    certificate: Path | None = None
    key: Path | None = None
    oidc: Path | None = None


def build_app(served: ServedSite, options: ServerOptions) -> App:
    """The whole application, which `App.run` serves.

    Raises:
        InputError: The file for OpenID Connect cannot be read.
    """
    serve(served)
    secrets = None if options.oidc is None else read_oidc(options.oidc)
    sign_in = SignIn(served, secure=options.certificate is not None)
    return App(
        Path(__file__).with_name("main.py"),
        secrets=secrets,
        routes=[*sign_in.routes(), *Pictures(served).routes()],
        middleware=[Middleware(Gate, served=served, single_sign_on=secrets is not None)],
    )


def run_server(served: ServedSite, options: ServerOptions) -> None:
    """Serves until the process is told to stop."""
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    app = build_app(served, options)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _was_told_to_stop)
    app.run(config=streamlit_settings(options))


def _was_told_to_stop(_number: int, _frame: FrameType | None) -> None:
    """The server has ended in good order by then: it raises the signal once more, for whoever wants to know."""


def streamlit_settings(options: ServerOptions) -> dict[str, Any]:
    """Streamlit's own settings: nothing phones home, nothing reloads, no menu that leads elsewhere."""
    return {
        "server.address": options.address,
        "server.port": options.port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": _LARGEST_UPLOAD_MB,
        "server.enableXsrfProtection": True,
        "server.sslCertFile": None if options.certificate is None else str(options.certificate),
        "server.sslKeyFile": None if options.key is None else str(options.key),
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        **THEME,
    }


def read_oidc(path: Path) -> Mapping[str, Any]:
    """What `st.login` needs.

    Raises:
        InputError: The file cannot be read, or has no section ``auth``.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--oidc: {path}: {error}: expected a TOML file with a section [auth]") from error
    if not isinstance(content.get("auth"), dict):
        raise InputError(f"--oidc: {path}: expected a section [auth] as Streamlit's secrets.toml has it")
    return {"auth": content["auth"]}
