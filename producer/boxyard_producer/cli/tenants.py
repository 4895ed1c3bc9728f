"""`boxyard tenants`: who shares a stack, and how much each may ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from .ledger import open_ledger
from .tables import tabulate_quotas
from .terminal import note, out

tenants = typer.Typer(
    help="Make and list tenants, and bound them, on the Redis of BOXYARD_REDIS_URL.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 63 of a-z, 0-9 and -.")]
Bound = Annotated[int | None, typer.Option(min=1)]


@tenants.command()
def create(name: Name) -> None:
    """Make a tenant and print the secret that signs its callbacks, this once."""
    with open_ledger() as ledger:
        secret = ledger.tenants.create(name)
    out.out(secret, highlight=False)
    note(f"Tenant {name} is there. Next: boxyard keys create --tenant {name} --scope admin")


@tenants.command("list")
def list_tenants(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Every tenant and its own bounds."""
    with open_ledger() as ledger:
        found = {name: ledger.tenants.quota(name).model_dump() for name in ledger.tenants.names()}
    if as_json:
        for name, bounds in found.items():
            out.print_json(data={"tenant": name, **bounds}, indent=None, highlight=False)
    else:
        out.print(tabulate_quotas(found))


@tenants.command()
def quota(
    name: Name,
    *,
    jobs_per_minute: Bound = None,
    queued_jobs: Bound = None,
    stored_bytes: Bound = None,
    queued_bytes: Bound = None,
    record_bytes: Bound = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="First forget all its own bounds.")
    ] = False,
) -> None:
    """Show a tenant's bounds, and change those that are named."""
    named = {
        "jobs_per_minute": jobs_per_minute,
        "queued_jobs": queued_jobs,
        "stored_bytes": stored_bytes,
        "queued_bytes": queued_bytes,
        "record_bytes": record_bytes,
    }
    wanted = {bound: value for bound, value in named.items() if value is not None}
    with open_ledger() as ledger:
        known = {} if reset else ledger.tenants.quota(name).model_dump()
        if wanted or reset:
            ledger.tenants.set_quota(name, **{**known, **wanted})
        now = ledger.tenants.quota(name)
    out.print(tabulate_quotas({name: now.model_dump()}))
