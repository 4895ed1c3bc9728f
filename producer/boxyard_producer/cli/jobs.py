"""`boxyard jobs`: list, show, cancel, replay and erase, and read results again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer
from rich.table import Table

from boxyard_schemas import Job, JobState
from boxyard_schemas.errors import Conflict, UnknownJob

from ..client import Client
from .connection import connect
from .tables import paint, tabulate_jobs, tabulate_predictions
from .terminal import out, say

jobs = typer.Typer(help="List, show, cancel, replay and erase jobs, and read their results.")

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="`job_…`")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="`job_…`")]
DeleteIds = Annotated[list[str], typer.Argument(metavar="ID...", help="`job_…`")]
Dead = Annotated[bool, typer.Option("--dead", help="All that are dead.")]
Json = Annotated[bool, typer.Option("--json", help="As the API gives it.")]
State = Annotated[JobState | None, typer.Option(help="Only jobs in this state.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many, newest first.")]


@jobs.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_jobs()


@jobs.command("list")
def list_jobs(state: State = None, limit: Limit = 20, as_json: Json = False) -> None:
    """Newest first."""
    with connect() as client:
        found = list(islice(client.iter_jobs(state), limit))
    if as_json:
        for job in found:
            out.out(job.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(tabulate_jobs(found))


@jobs.command()
def show(job_id: JobArgument, as_json: Json = False) -> None:
    """How a job stands."""
    with connect() as client:
        _print(client.job(job_id), as_json)


@jobs.command()
def cancel(job_id: JobArgument, as_json: Json = False) -> None:
    """Cancel a job that has not ended."""
    with connect() as client:
        _print(client.cancel(job_id), as_json)


@jobs.command()
def replay(ids: Ids = None, dead: Dead = False) -> None:
    """Enqueue dead jobs again, as if they had never been tried."""
    if bool(ids) == dead:
        raise typer.BadParameter("Name jobs, or give --dead.")
    with connect() as client:
        if dead:
            say(f"Enqueued again: {sum(_replay_dead(client))}.")
        for job_id in ids or ():
            say(f"{client.replay(job_id).id} is enqueued again.")


def _replay_dead(client: Client) -> Iterator[bool]:
    """Every dead job; what somebody else replays or erases meanwhile is left to them."""
    for job in client.iter_jobs(JobState.DEAD):
        try:
            client.replay(job.id)
        except (Conflict, UnknownJob):
            continue
        yield True


@jobs.command()
def delete(ids: DeleteIds) -> None:
    """Erase jobs with their results, deliveries and the pictures that they alone name."""
    with connect() as client:
        for job_id in ids:
            client.delete(job_id)
            say(f"{job_id} is erased.")


@jobs.command()
def result(job_id: JobArgument, as_json: Json = False) -> None:
    """What was found."""
    with connect() as client:
        found = client.result(job_id)
    if as_json:
        out.out(found.model_dump_json(exclude_none=True), highlight=False)
    else:
        names = [image.reference or f"image {number}" for number, image in enumerate(found.images)]
        out.print(tabulate_predictions(zip(names, found.images, strict=True)))


def _print(job: Job, as_json: bool) -> None:
    if as_json:
        out.out(job.model_dump_json(exclude_none=True), highlight=False)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in job.model_dump(mode="json", exclude_none=True).items():
        shown = paint(job.state) if name == "state" else _plain(value)
        table.add_row(name, shown)
    out.print(table)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {count}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
