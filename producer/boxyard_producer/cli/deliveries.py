"""`boxyard deliveries`: what was told, what was given up, and once more."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from .connection import connect
from .tables import tabulate_deliveries
from .terminal import out, say

deliveries = typer.Typer(help="List deliveries that were given up, and make them again.")

JobOption = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="A job's deliveries, however they ended.")
]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, newest first.")]
Json = Annotated[bool, typer.Option("--json", help="As the API gives it.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="`dlv_…`")]
Exhausted = Annotated[bool, typer.Option("--exhausted", help="All that were given up.")]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", metavar="ENDPOINT", help="With --exhausted: only its.")
]


@deliveries.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_deliveries()


@deliveries.command("list")
def list_deliveries(job: JobOption = None, limit: Limit = 20, as_json: Json = False) -> None:
    """Those that were given up, or all of one job."""
    with connect() as client:
        found = client.deliveries(job) if job else tuple(islice(client.exhausted(), limit))
    if as_json:
        for delivery in found:
            out.out(delivery.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(tabulate_deliveries(found))


@deliveries.command()
def replay(ids: Ids = None, exhausted: Exhausted = False, endpoint: EndpointOption = None) -> None:
    """Make deliveries that have ended once more, under their old ids."""
    if bool(ids) == exhausted or (endpoint and not exhausted):
        raise typer.BadParameter("Name deliveries, or give --exhausted.")
    with connect() as client:
        if exhausted:
            say(f"Due again: {client.replay_exhausted(endpoint)}.")
        for delivery_id in ids or ():
            say(f"{client.replay_delivery(delivery_id).id} is due again.")
