"""The command `reid-pipeline`.

Each command stands in a module of its own, named in `COMMANDS`, and only the module of the command that is asked for is
imported: `--help` lists all without importing any. A new command or group is one module and one line here.

Exit codes: 0 done, 1 failed, 2 wrong usage, configuration or unreadable input, 3 partly done, 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import typer

from reid_pipeline.configs.errors import UserError
from reid_pipeline.configs.log import redact_url
from reid_pipeline.pipeline.errors import PipelineError
from reid_pipeline.storage.errors import StorageError

PROGRAM: Final = "reid-pipeline"
FAILED: Final = 1
USER_FAULT: Final = 2


class LazyCommand(NamedTuple):
    """Where a command stands: a function, or a `typer.Typer` that is a group of commands.

    A command of a higher folder is reached by its name alone: nothing here imports it before it is asked for.
    """

    module: str
    attribute: str
    help: str
    folder: str = "pipeline"

    def load(self) -> Callable[..., object]:
        """Imports it."""
        target: Callable[..., object] = getattr(
            importlib.import_module(f"reid_pipeline.{self.folder}.{self.module}"), self.attribute
        )
        return target


COMMANDS: Final[dict[str, LazyCommand]] = {
    "init": LazyCommand("cli_site", "init", "Write a commented cameras.yaml to start from."),
    "validate": LazyCommand("cli_site", "validate", "Check a cameras.yaml and print what it would run."),
    "doctor": LazyCommand("cli_site", "doctor", "Check what works on this machine and how to get the rest."),
    "run": LazyCommand("cli_run", "run", "Follow the people in the cameras of a site."),
    "demo": LazyCommand("cli_demo", "demo", "Render a virtual site, run on it and score that."),
    "simulate": LazyCommand("cli_simulate", "simulate", "Render a virtual site whose truth is known."),
    "replay": LazyCommand("cli_replay", "replay", "Make identities again without video, and score them."),
    "search": LazyCommand("cli_search", "search", "Search for a person by a picture, an identity or a sighting."),
    "journey": LazyCommand("cli_journey", "journey", "Show one identity's path over the cameras, or export it."),
    "identity": LazyCommand("cli_identity", "app", "List identities; merge, split and undo what is wrong."),
    "record": LazyCommand("cli_record", "app", "Keep the footage for a while, and cut stretches out of it."),
    "retention": LazyCommand("cli_retention", "retention", "Remove what was kept long enough."),
    "user": LazyCommand("cli_user", "app", "Say who may do what, and see which cameras."),
    "case": LazyCommand("cli_case", "app", "Open inquiries, and hold what they need."),
    "watch": LazyCommand("cli_watch", "app", "Look out for somebody, and see where they may have been."),
    "erase": LazyCommand("cli_erase", "erase", "Erase somebody for good, with a signed report."),
    "access": LazyCommand("cli_erase", "access", "Export what there is of one person, others blurred."),
    "audit": LazyCommand("cli_audit", "app", "Show who did what with people's data, and check the log."),
    "db": LazyCommand("cli_db", "app", "Back up, restore, check and measure the stored data."),
    "dashboard": LazyCommand(
        "cli_dashboard", "dashboard", "Show the cameras, and follow people, in a browser.", folder="dashboard"
    ),
    "eval": LazyCommand("cli_eval", "app", "Score detections, embeddings, tracks or identities."),
    "model": LazyCommand("cli_model", "app", "List, fetch, import, export and promote models."),
    "corpus": LazyCommand("cli_corpus", "app", "Count, import and export the crops that the encoder learns from."),
    "pretrain": LazyCommand(
        "cli_pretrain", "pretrain", "Make an encoder from a site's own crops, without labels.", folder="learning"
    ),
    "adapt": LazyCommand("cli_adapt", "adapt", "Learn the looks of a site from its own crops.", folder="learning"),
    "nightly": LazyCommand(
        "cli_nightly", "nightly", "Make the encoder of a site better unattended, now or every night.", folder="learning"
    ),
    "train": LazyCommand("cli_train", "train", "Make a bundled model from its recipe.", folder="learning"),
    "bench": LazyCommand("cli_run", "bench", "Measure the speed of this machine."),
}

# What a group has from a higher folder than its own.
ADDED: Final[dict[str, dict[str, LazyCommand]]] = {
    "bench": {"learning": LazyCommand("cli_bench", "bench_learning", "Measure the learning.", folder="learning")},
}


def main() -> None:
    """Runs the command line of this process and ends it with the exit code."""
    sys.exit(run_command_line(sys.argv[1:]))


def run_command_line(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: What stands behind the program's name.

    Returns:
        The exit code.
    """
    wanted = next((each for each in arguments if not each.startswith("-")), None)
    try:
        build_app(wanted)(args=list(arguments), prog_name=PROGRAM)
    except SystemExit as end:  # how typer ends in all cases but errors
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UserError as error:
        return _report(error, USER_FAULT)
    except (PipelineError, StorageError) as error:
        return _report(error, FAILED)
    except Exception:  # a fault of this program: all of it is needed, but no password
        sys.stderr.write(redact_url(traceback.format_exc()))
        return FAILED
    return 0


def build_app(wanted: str | None) -> typer.Typer:
    """Makes the command line with only the command ``wanted`` in full; the others have their name and help."""
    app = typer.Typer(
        name=PROGRAM,
        help="Follow people across surveillance cameras: detect, track, re-identify, store, search.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, command in COMMANDS.items():
        if name != wanted:
            app.command(name, help=command.help)(_not_imported)
            continue
        target = command.load()
        if isinstance(target, typer.Typer):
            app.add_typer(_with_added(target, ADDED.get(name, {})), name=name, help=command.help)
        else:
            app.command(name)(target)
    return app


def _with_added(group: typer.Typer, added: Mapping[str, LazyCommand]) -> typer.Typer:
    known = [command.name for command in group.registered_commands]
    for name, command in added.items():
        if name not in known:
            group.command(name)(command.load())
    return group


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Holds the options that stand before a command."""


def _not_imported() -> None:
    raise LookupError("a command was run without its module")


def _report(error: Exception, code: int) -> int:
    """Prints an error as one line, or with its traceback where ``--verbose`` was given."""
    if logging.getLogger("reid_pipeline").isEnabledFor(logging.DEBUG):
        sys.stderr.write(redact_url("".join(traceback.format_exception(error))))
    print("error: " + redact_url(" ".join(str(error).split())), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
