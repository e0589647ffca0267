"""The group `user`: who may do what on a site."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from reid_pipeline.pipeline.cli_identity import CamerasArgument, DataOption
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.errors import InputError

NameArgument = Annotated[
    str, typer.Argument(help="As the operating system knows them, or as they log in.", metavar="NAME")
]

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_users(
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List users, their roles and the cameras that they may see."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.users import Users

    with open_site(cameras, data) as site:
        found = Users(site.database, site.access).read()
    if json_output:
        print_json({"users": [asdict(each) for each in found]})
        return
    rows = [
        (
            each.name,
            each.role,
            "all" if each.cameras is None else ", ".join(each.cameras),
            "yes" if each.has_password else "",
            "disabled" if each.disabled else "",
        )
        for each in found
    ]
    print_table(("name", "role", "cameras", "password", ""), rows)


@app.command()
def add(
    name: NameArgument,
    role: Annotated[
        str,
        typer.Option(help="viewer, operator, investigator, privacy-officer or admin.", metavar="ROLE"),
    ],
    cameras: CamerasArgument = None,
    data: DataOption = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera; may be given more than once.", metavar="NAME")
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Add a user, or change what one is. The first one has to be an admin; from then on nobody else may do anything."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.permissions import Role
    from reid_pipeline.storage.users import Users

    if role not in set(Role):
        raise InputError(f"--role: {role}: expected one of {', '.join(Role)}")
    with open_site(cameras, data) as site:
        Users(site.database, site.access).add(name, Role(role), camera or None)
    _say(name, f"{name} is {role} now.", json_output=json_output)


@app.command()
def disable(
    name: NameArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a user do nothing any more; what they did stays in the log."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.users import Users

    with open_site(cameras, data) as site:
        Users(site.database, site.access).disable(name)
    _say(name, f"{name} may do nothing any more.", json_output=json_output)


@app.command()
def password(
    name: NameArgument,
    cameras: CamerasArgument = None,
    data: DataOption = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Give a user a password for the dashboard; asked for, or the first line of stdin where that is no terminal."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.users import Users

    with open_site(cameras, data) as site:
        users = Users(site.database, site.access)
        users.set_password(name, _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n"))
    _say(name, f"{name} has a password now.", json_output=json_output)


def _ask() -> str:
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed


def _say(name: str, text: str, *, json_output: bool) -> None:
    if json_output:
        print_json({"user": name})
    else:
        print(text)
