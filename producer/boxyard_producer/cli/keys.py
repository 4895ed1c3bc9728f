"""`boxyard keys`: who may call, by the operator's hand."""

from __future__ import annotations

from typing import Annotated

import typer

from boxyard_schemas import MAX_OVERLAP_S, ApiKey, Scope

from .ledger import open_ledger
from .tables import tabulate_keys
from .terminal import note, out

_DAY_S = 86400

keys = typer.Typer(
    help="Make, list, rotate and revoke API keys on the Redis of BOXYARD_REDIS_URL.",
    no_args_is_help=True,
)

Tenant = Annotated[str, typer.Option(metavar="NAME", help="Whose: `boxyard tenants list`.")]
KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="`key_…`")]


@keys.command()
def create(
    *,
    tenant: Tenant,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; more than once for more.")],
    name: Annotated[str, typer.Option(help="What its owner calls it.")] = "by the operator",
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.001, help="Not good after so many days.")
    ] = None,
) -> None:
    """Make a key and print it, this once."""
    lives_s = expires_in_days * _DAY_S if expires_in_days else None
    with open_ledger() as ledger:
        key, text = ledger.api_keys.create(tenant, name=name, scopes=scope, expires_in_s=lives_s)
    _show(key, text)


@keys.command("list")
def list_keys(
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Every key, without its text."""
    with open_ledger() as ledger:
        tenants = [tenant] if tenant else ledger.tenants.names()
        found = [key for each in tenants for key in ledger.api_keys.list(each)]
    if as_json:
        for key in found:
            out.out(key.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(tabulate_keys(found))


@keys.command()
def rotate(
    key_id: KeyArgument,
    *,
    tenant: Tenant,
    overlap: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=MAX_OVERLAP_S,
            help="The old one is good so long; BOXYARD_SECRET_OVERLAP_S by default.",
        ),
    ] = None,
) -> None:
    """Make a key like this one and print it; the old one is good for a while."""
    with open_ledger() as ledger:
        lasts_s = ledger.settings.secret_overlap_s if overlap is None else overlap
        key, text = ledger.api_keys.rotate(tenant, key_id, lasts_s)
    _show(key, text)
    note(f"{key_id} is good for {lasts_s:.0f} s more.")


@keys.command()
def revoke(key_id: KeyArgument, *, tenant: Tenant) -> None:
    """Make a key no good from now on."""
    with open_ledger() as ledger:
        ledger.api_keys.revoke(tenant, key_id)
    note(f"{key_id} lets nobody in any more.")


@keys.command()
def reseal() -> None:
    """Seal all webhook secrets by the first of BOXYARD_SECRET_KEYS, so that others may go."""
    with open_ledger() as ledger:
        ledger.reseal()
    note("The first of BOXYARD_SECRET_KEYS seals everything now.")


def _show(key: ApiKey, text: str) -> None:
    out.out(text, highlight=False)
    ends = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "without an end"
    note(f"{key.id} of {key.tenant}, for {', '.join(key.scopes)}, {ends}. It is shown this once.")
