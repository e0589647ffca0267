"""The command `dashboard`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import CamerasArgument, DataOption
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, start_output
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.site_data import SiteData


def dashboard(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    address: Annotated[
        str, typer.Option(help="What to listen at; 0.0.0.0 for all that this machine has.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8501,
    timeout: Annotated[
        int, typer.Option(min=1, help="Log out whoever does nothing for so many minutes.", metavar="MINUTES")
    ] = 30,
    certificate: Annotated[Path | None, typer.Option(help="Certificate of TLS, PEM.", metavar="FILE")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", metavar="FILE")] = None,
    oidc: Annotated[
        Path | None,
        typer.Option(help="Log in by OpenID Connect: a TOML file with the section 'auth'.", metavar="FILE"),
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the cameras, search, and follow people in a browser; a run may go on beside it.

    The first start makes an admin, of the name of this user, and prints a password that serves once.
    """
    start_output(json_output=json_output, verbose=verbose)
    if (certificate is None) != (key is None):
        raise InputError("--certificate, --key: expected both, or neither")
    for option, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise InputError(f"{option}: {path}: no such file")
    from reid_pipeline.dashboard.served_site import ServedSite
    from reid_pipeline.dashboard.server import ServerOptions, run_server
    from reid_pipeline.pipeline.searcher import SearchTools
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.login_sessions import LoginSessions

    options = ServerOptions(address, port, certificate, key, oidc)
    with open_site(cameras, data) as site:
        password = None if oidc else first_password(site)
        scheme = "http" if certificate is None else "https"
        place = f"{scheme}://{'localhost' if address == '127.0.0.1' else address}:{port}"
        _say(place, site.access.name, password, json_output=json_output)
        sessions = LoginSessions(site.database, idle_us=timeout * 60_000_000)
        run_server(ServedSite(site, sessions, SearchTools(site)), options)


def first_password(site: SiteData) -> str | None:
    """Makes whoever starts the dashboard an admin, where nobody is a user yet; their password, where they have none.

    Raises:
        NotAllowed: They are a user, but no admin.
    """
    from reid_pipeline.storage.permissions import Role
    from reid_pipeline.storage.users import Users, is_empty

    users = Users(site.database, site.access)
    if is_empty(site.database):
        users.add(site.access.name, Role.ADMIN)
    elif site.access.role is not Role.ADMIN or any(each.has_password for each in users.read()):
        return None
    return users.set_one_time_password(site.access.name)


def _say(place: str, name: str, password: str | None, *, json_output: bool) -> None:
    if json_output:
        print_json({"url": place, "name": name, "password": password})
        return
    print(f"Dashboard: {place}", flush=True)
    if password is not None:
        print(f"First log-in: {name}, password {password} (serves once, for a day)", flush=True)
