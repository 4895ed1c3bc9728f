"""`boxyard doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..diagnosis import Finding, examine
from .terminal import err, out


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and finding.")
    ] = False,
) -> None:
    """Look at Python, the extras, torch, the operators, Redis, the blob store and the server."""
    with err.status("Looking"):
        findings = list(examine())
    if as_json:
        for finding in findings:
            out.out(finding.model_dump_json(), highlight=False)
    else:
        out.print(_tabulate(findings))
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def _tabulate(findings: list[Finding]) -> Table:
    table = Table("", "What", "Found", "How to mend it", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for finding in findings:
        mend = "" if finding.ok else finding.mend
        table.add_row(
            _mark(finding), finding.name, Text(finding.detail, overflow="fold"), Text(mend)
        )
    return table


def _mark(finding: Finding) -> Text:
    if finding.ok:
        return Text("ok", style="green")
    return Text("wrong", style="bold red") if finding.wrong else Text("not here", style="yellow")
