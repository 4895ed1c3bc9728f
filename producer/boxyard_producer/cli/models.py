"""`boxyard models`: what jobs may name, and who serves it."""

from __future__ import annotations

from typing import Annotated

import typer

from .connection import connect
from .tables import tabulate_models
from .terminal import out

models = typer.Typer(help="List the models that jobs may name, and who serves them.")


@models.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and model.")
    ] = False,
) -> None:
    """List the models and the workers that serve them."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        found = client.models()
    if as_json:
        for model in found:
            out.out(model.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(tabulate_models(found))
