"""`boxyard-worker pull` and `boxyard-worker weights`."""
# ruff: noqa: PLC0415 - like the other commands, these import what they need when they run

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boxyard_schemas.errors import SetupError
from boxyard_schemas.variables import unknown_variables

if TYPE_CHECKING:
    from boxyard_worker.weights.cache import Cache, Record

weights = typer.Typer(help="List and remove the weights that were pulled to this machine.")


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
    """Fetches models' published weights once, checks and converts them, and keeps them."""
    from boxyard_worker.weights.progress import show_progress
    from boxyard_worker.weights.pull import find_entry, import_file, pull
    from boxyard_worker.weights.settings import WeightsSettings

    if file and (mirror or len(names) > 1):
        raise typer.BadParameter("A file is of one model and comes from no mirror.")
    _warn_of_unknown_variables()
    settings = WeightsSettings()
    for entry in [find_entry(name) for name in names]:
        if file:
            record = import_file(entry, settings, file)
        else:
            with show_progress(entry.name) as progress:
                record = pull(entry, settings, mirror or [], progress)
        if not record.source_sha256.startswith(entry.weights_digest):
            typer.echo(f"{file} is not the file that is published for {entry.name}.", err=True)
        typer.echo(f"{record.name}  sha256:{record.sha256}")


@weights.callback(invoke_without_command=True)
def list_weights(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Lists the weights that were pulled to this machine."""
    _warn_of_unknown_variables()
    if context.invoked_subcommand is not None:
        return
    records = _open_cache().records()
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records]))
    elif records:
        typer.echo("\n".join(map(_describe, records)))
    else:
        typer.echo("No weights were pulled to this machine: boxyard models pull NAME", err=True)


@weights.command()
def remove(
    which: Annotated[
        str, typer.Argument(metavar="NAME|SHA256", help="A model, or how its sha256 begins.")
    ],
) -> None:
    """Removes pulled weights."""
    gone = _open_cache().remove(_resolve(which))
    if not gone:
        raise SetupError(f"No weights of {which!r} are here. boxyard-worker weights lists them.")
    for record in gone:
        typer.echo(f"removed {record.name}  sha256:{record.sha256}")


def _warn_of_unknown_variables() -> None:
    for warning in unknown_variables(os.environ):
        typer.echo(f"boxyard-worker: {warning}", err=True)


def _open_cache() -> Cache:
    from boxyard_worker.weights.cache import Cache
    from boxyard_worker.weights.settings import CacheSettings

    return Cache(CacheSettings().weights_dir)


def _resolve(which: str) -> str:
    from boxyard_schemas import resolve_model
    from boxyard_schemas.errors import UnknownModel

    try:
        return resolve_model(which)
    except UnknownModel:
        return which  # a sha256, or a model that the catalogue no longer knows


def _describe(record: Record) -> str:
    return (
        f"{record.name}\n  sha256:{record.sha256}  {record.size / 1e6:.1f} MB"
        f"  {record.at:%Y-%m-%d %H:%M} UTC\n  from {record.source}"
    )
