"""`boxyard blobs`: the store of uploads and results, for its operator."""

from __future__ import annotations

import os

import typer

from boxyard_schemas.errors import SetupError

from .ledger import open_ledger
from .terminal import note

blobs = typer.Typer(
    help="Look after the blob store of BOXYARD_BLOB_URL.",
    no_args_is_help=True,
)


@blobs.callback()
def _group() -> None:
    """Without it typer would make a lone command the group itself."""


@blobs.command()
def adopt() -> None:
    """Make what BOXYARD_BLOB_URL names the stack's blob store, in place of one that is lost.

    Jobs whose uploads or results were in the former store lose them. If its disk is only not
    mounted, mount it instead.
    """
    if not os.environ.get("BOXYARD_BLOB_URL"):
        raise SetupError("BOXYARD_BLOB_URL is not set: it names the store that is to be adopted.")
    with open_ledger() as ledger:
        ledger.adopt_blobs()
    note(f"{os.environ['BOXYARD_BLOB_URL']} is the stack's blob store now.")
