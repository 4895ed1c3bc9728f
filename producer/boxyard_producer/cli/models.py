"""`boxyard models`: what jobs may name, and who serves it."""

from __future__ import annotations

from typing import Annotated

import typer

from boxyard_schemas import is_legacy
from boxyard_schemas.catalogue import Task

from .connection import connect
from .ledger import open_ledger
from .tables import describe_model, tabulate_models
from .terminal import note, out, warn

models = typer.Typer(help="List the models that jobs may name, and who serves them.")

Ap = Annotated[float | None, typer.Option(min=0, max=100, help="In percent, as published.")]


@models.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    *,
    task: Annotated[Task | None, typer.Option(help="What the model finds.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Words in the name, the family or the paper's title.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Such as `RTMDet`.")] = None,
    min_box_ap: Ap = None,
    min_mask_ap: Ap = None,
    max_size: Annotated[
        int | None, typer.Option(min=1, help="Longer side of the input, in pixels.")
    ] = None,
    served: Annotated[
        bool | None, typer.Option("--served/--not-served", help="Whether a worker serves it.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and model.")
    ] = False,
) -> None:
    """List the models that jobs may name, those first that workers serve."""
    if context.invoked_subcommand is not None:
        return
    with connect() as client:
        found = client.models(
            task=task,
            text=text,
            family=family,
            min_box_ap=min_box_ap,
            min_mask_ap=min_mask_ap,
            max_size=max_size,
            served=served,
        )
    if as_json:
        for model in found:
            out.out(model.model_dump_json(exclude_none=True), highlight=False)
    elif found:
        out.print(tabulate_models(found))
    else:
        note("No model fits all of that.")


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="Any name of the model.")],
    as_json: Annotated[bool, typer.Option("--json", help="As the API gives it.")] = False,
) -> None:
    """Everything that is known of one model."""
    with connect() as client:
        model = client.model(name)
    if is_legacy(name):
        warn(f"{name} is a deprecated name: use {model.name}.")
    if as_json:
        out.out(model.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(describe_model(model))


@models.command()
def forget(name: Annotated[str, typer.Argument(help="A model that no worker serves now.")]) -> None:
    """Forget a model of your own that is served no more; needs BOXYARD_REDIS_URL.

    A model that was served stays known, so that jobs wait while its worker restarts.
    """
    with open_ledger() as ledger:
        ledger.served_models.forget(name)
        waiting = ledger.jobs.ready(name)
    note(f"{name} is forgotten: jobs that name it are refused.")
    if waiting:
        warn(f"{waiting} jobs still wait for it. They run when a worker serves it again.")
