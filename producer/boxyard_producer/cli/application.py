"""The commands, and how their errors end."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated

import typer

from boxyard_schemas.errors import BoxyardError
from boxyard_schemas.installation import DISTRIBUTION
from boxyard_schemas.variables import unknown_variables

from .blobs import blobs
from .consumer_test import consumer_test
from .deliveries import deliveries
from .doctor import doctor
from .evaluate import evaluate
from .jobs import jobs
from .keys import keys
from .listen import listen
from .models import models
from .quarantine import quarantine
from .submit import submit
from .tenants import tenants
from .terminal import complain, warn
from .up import up
from .weights import list_local, pull, remove

app = typer.Typer(
    name="boxyard",
    help="Asynchronous object detection: submit pictures, read predictions, run a stack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(submit)
app.add_typer(jobs, name="jobs")
app.add_typer(deliveries, name="deliveries")
models.command()(pull)
models.command()(list_local)
models.command()(remove)
app.add_typer(models, name="models")
app.command()(listen)
app.command()(consumer_test)
app.command()(evaluate)
app.add_typer(keys, name="keys")
app.add_typer(tenants, name="tenants")
app.add_typer(quarantine, name="quarantine")
app.add_typer(blobs, name="blobs")
app.command()(up)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"boxyard {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say the version and exit."
        ),
    ] = False,
) -> None:
    """Detect objects in pictures, asynchronously.

    The server is found by BOXYARD_URL and BOXYARD_API_KEY, else by what `boxyard up` left in
    .boxyard here.
    """
    for warning in unknown_variables(os.environ):
        warn(warning)


def main() -> None:
    """Run the command line; an error is one line and exit code 1."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that its encoding does not have, such as a file's, must not end the output.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except BoxyardError as error:
        complain(error.detail)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(1)
