"""What all commands share: the options ``--json`` and ``--verbose``, results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from reid_pipeline.configs.log import configure_logging

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Log more, and show the traceback of an error.")]
BlurHeadsOption = Annotated[
    bool, typer.Option("--blur-heads", help="Blur the heads of the crops first, as a site does.")
]

_UNBOUNDED = 100_000


def start_output(*, json_output: bool, verbose: bool) -> None:
    """Sets up the log of a command; each calls it first."""
    configure_logging(verbose=verbose, json=json_output)


def print_json(fields: Mapping[str, object]) -> None:
    """Prints the one JSON object of ``--json``."""
    sys.stdout.write(json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on stdout; where that is no terminal, as wide as it needs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = Console(width=_UNBOUNDED).measure(table).maximum
    console.print(table)


@contextmanager
def show_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on stderr, where that is a terminal, while the block runs.

    Yields:
        To be called with how many are done, of how many.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
