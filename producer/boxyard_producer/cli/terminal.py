"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.markup import escape

# Programs read lines: what goes to a pipe or a file is not folded to a terminal's width.
_folds = sys.stdout.isatty() or "COLUMNS" in os.environ

out = Console(width=None if _folds else 1000)
err = Console(stderr=True)


def complain(message: str) -> None:
    """One red line that says what was wrong and what to do."""
    err.print(f"[bold red]Error:[/] [red]{escape(message)}[/]", highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """One yellow line."""
    err.print(f"[yellow]{escape(message)}[/]", highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """A line for people that no program reads."""
    err.print(escape(message), highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """A line of markup to stdout, never broken, so that programs may read it too."""
    out.print(message, highlight=False, soft_wrap=True)
