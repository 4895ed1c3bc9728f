"""`boxyard consumer-test`: does a team's own endpoint do what a consumer must?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..conformance import Case, Finding, Trial, make_cases
from .terminal import err, out
from .webhook_secrets import find_secrets


def consumer_test(
    url: Annotated[str, typer.Argument(help="Where your consumer takes callbacks.")],
    *,
    secret: Annotated[
        str | None,
        typer.Option(help="That your consumer verifies with. Else as `boxyard listen` finds it."),
    ] = None,
    old_secret: Annotated[
        list[str] | None, typer.Option(help="That it takes too, while secrets rotate.")
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Answers differently after each act on a job that succeeded, such as a count of "
            "rows: shows that a repeated event is acted on once, and a forged one never.",
        ),
    ] = None,
    result_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Of a result that your consumer can read (`…/v1/jobs/ID/result`), "
            "for an event that links it, as those of most jobs do.",
        ),
    ] = None,
    limit: Annotated[float, typer.Option(min=0.1, help="Seconds for each answer.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document a line.")] = False,
) -> None:
    """Send genuine, repeated, old, forged and future callbacks, and judge the answers.

    The events are about jobs that do not exist, of the model `consumer-test`.
    """
    (first, *_) = find_secrets([secret] if secret else None)
    old = find_secrets(old_secret) if old_secret else []
    cases = make_cases(first, old, result_url)
    with err.status("Calling"):
        findings = asyncio.run(_collect(Trial(url, limit_s=limit, probe=probe), cases))
    if as_json:
        for finding in findings:
            out.out(finding.model_dump_json(), highlight=False)
    else:
        out.print(_tabulate(findings))
        for advice in _advise(findings):
            out.print(advice, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _collect(trial: Trial, cases: Iterable[Case]) -> list[Finding]:
    return [finding async for finding in trial.run(cases)]


def _advise(findings: list[Finding]) -> list[Text]:
    """Each piece of advice once, behind what it is about."""
    named: dict[str, list[str]] = {}
    for finding in findings:
        if finding.advice:
            named.setdefault(finding.advice, []).append(finding.name)
    return [Text(f"\n{', '.join(names)}:\n  {advice}") for advice, names in named.items()]


def _tabulate(findings: list[Finding]) -> Table:
    table = Table("", "What was sent", "Wanted", "Found", "Time", box=None, pad_edge=False)
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("wrong", style="bold red")
        time = f"{finding.seconds * 1000:.0f} ms"
        table.add_row(mark, finding.name, finding.wanted, Text(finding.found), time)
    return table
