"""`boxyard quarantine`: what could not be read in Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from boxyard_schemas.errors import NotFound
from boxyard_schemas.words import printable

from .ledger import open_ledger
from .tables import tabulate_quarantined
from .terminal import out, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxyard_ledger import Ledger, Quarantined

quarantine = typer.Typer(
    help="List what could not be read in the Redis of BOXYARD_REDIS_URL, put it back or delete it.",
)

_AT_ONCE = 32

Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE]...", help="As it is listed, escapes such as \\xe9 included."),
]
All = Annotated[bool, typer.Option("--all", help="Every place.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document a line.")]


@quarantine.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_quarantined()


@quarantine.command("list")
def list_quarantined(as_json: Json = False) -> None:
    """Every place that could not be read, why, and since when; the newest last."""
    with open_ledger() as ledger:
        found, unlisted = ledger.quarantine_review.all(), ledger.quarantine.unlisted()
    if as_json:
        for each in found:
            data = {name: printable(str(fact)) for name, fact in each._asdict().items()}
            data["at"] = each.at.isoformat()
            out.print_json(data=data, indent=None, highlight=False)
    else:
        out.print(tabulate_quarantined(found))
    if unlisted:
        say(f"More were found while the list was full, and not listed: {unlisted}.")


@quarantine.command()
def restore(places: Places = None, everything: All = False) -> None:
    """Put entries back where they were; what still cannot be read is quarantined again."""
    with open_ledger() as ledger:
        chosen = _choose(ledger, places, everything)
        restored = _count(ledger.quarantine.restore, chosen)
    say(f"Put back: {restored}.")
    if restored < len(chosen):
        say(
            f"Left: {len(chosen) - restored}. The key that they came from is in use, or it cannot "
            "have their type: repair or `delete` those."
        )


@quarantine.command()
def delete(places: Places = None, everything: All = False) -> None:
    """Delete jobs that cannot be read, with all that is theirs, and renamed keys.

    Of anything else the entry alone is deleted: it stays out of its index, and a record stays in
    its place.
    """
    with open_ledger() as ledger:
        deleted = _count(ledger.quarantine_review.delete, _choose(ledger, places, everything))
    say(f"Deleted: {deleted}.")


def _count(step: Callable[[Quarantined], bool], chosen: list[Quarantined]) -> int:
    """How many entries a step succeeded with."""
    # Together, because Redis writes what comes together to its disk once.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(pool.map(step, chosen))


def _choose(ledger: Ledger, places: list[str] | None, everything: bool) -> list[Quarantined]:
    if bool(places) == everything:
        raise typer.BadParameter("Name places, or give --all.")
    found = ledger.quarantine.all()
    # A place is meant as it is listed; only a text that is listed nowhere is the place itself.
    known = {each.place: each for each in found} | {printable(each.place): each for each in found}
    if unknown := set(places or ()) - known.keys():
        raise NotFound(f"The quarantine has no {min(unknown)}: see `boxyard quarantine`.")
    return [known[place] for place in places] if places else list(known.values())
