"""`boxyard models pull | list-local | remove`: weights on this machine, by the worker's command.

This process becomes the worker's, for this command line knows nothing of torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer


def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Models, by any spelling.")],
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="Base URL in place of the published host's; may be given repeatedly."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--from", help="The published file of one model, offline.")
    ] = None,
) -> None:
    """Fetch models' published weights to this machine, once; workers never do."""
    mirrors = [word for base in mirror or [] for word in ("--mirror", base)]
    _run_worker("pull", *mirrors, *(["--from", str(file)] if file else []), "--", *names)


def list_local(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the weights that were pulled to this machine."""
    _run_worker("weights", *(["--json"] if as_json else []))


def remove(
    which: Annotated[
        str, typer.Argument(metavar="NAME|SHA256", help="A model, or how its sha256 begins.")
    ],
) -> None:
    """Remove pulled weights from this machine."""
    _run_worker("weights", "remove", "--", which)


def _run_worker(*words: str) -> NoReturn:
    """Becomes the worker's command: its terminal, its exit code, and signals go to it alone."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "boxyard_worker.cli", *words])
