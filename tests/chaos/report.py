"""Writes docs/reliability.md from what the faults and the soak measured.

`python -m chaos.report RESULTS REPORT`: the folder of `faults.jsonl` and `soak.jsonl`, the page.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Run = dict[str, Any]
_INTRODUCTION = """\
# Reliability: what was done to Boxyard, and what held

Written by `make chaos` and `make soak`; a run writes this page anew.

The promise is in one sentence: **after 202 a job reaches exactly one end, with one result of its
own, and nothing crosses tenants.** Each row below is a fault done to a whole stack on one machine:
the server, Redis with its append-only file, detect workers on the stand-in detector, the deliverer
and the sweeper, as processes of their own, under load from two tenants with a receiver each.

One judge checks every row. It compares what clients were answered (each submission, each state
and result that was read, each erasure), what receivers got (verified by the official Standard
Webhooks library), and what Redis and the blob store hold in the end. It looks for jobs that are
lost, stuck, ended twice or without a tenant; results that are missing, damaged, of another job or
recorded twice; anything of one tenant that another got; callbacks that are missing or forged; and
blobs that would never be erased. `tests/chaos/test_judge.py` shows that it finds each of these.

Leases are shortened to 2 s, sweeps to every 0.2 s and Redis' time limit to 2 s, so times to recover
are those of these settings; with the defaults (30 s, 1 s, 5 s) a killed worker's jobs start again
after about half a minute.
"""
_LIMITS = """\
## What this does not show

- The cut of power (11) is done to the file: Redis starts on the file as it was when a moment's
  jobs had been acknowledged, torn at a random byte after that. Whether a disk keeps what it said
  it had written, its own cache included, is not tested here.
- One machine, one Redis: the loss of Redis' disk, and writes lost in a failover, are not promised.
"""


def main(results: Path, report: Path) -> None:
    runs, soaks = _read(results / "faults.jsonl"), _read(results / "soak.jsonl")
    parts = [_INTRODUCTION]
    if runs:
        parts += ["## Faults\n", _when(runs), _sizes(runs), _table(runs)]
    if soaks:
        parts += ["## Soak\n", _when(soaks[-1:]), _soak(soaks[-1])]
    report.write_text("\n".join([*parts, _LIMITS]))


def _read(file: Path) -> list[Run]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _when(runs: Sequence[Run]) -> str:
    day = datetime.fromtimestamp(max(run["at"] for run in runs), UTC).date()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{day}, {platform.system()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GB of memory, Python {platform.python_version()}.\n"
    )


def _sizes(runs: Sequence[Run]) -> str:
    if all(run["size"] == "full" for run in runs):
        return "All of them in full.\n"
    return (
        "**Not all in full:** rows of the size `slice` were done as the tests of every change do "
        "them, with a few kills and seconds in the place of hundreds.\n"
    )


def _table(runs: Sequence[Run]) -> str:
    by_fault: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_fault[run["fault"]].append(run)
    head = (
        "| # | fault | what was done | size | held | figures | seconds |\n"
        "|---|---|---|---|---|---|---|"
    )
    rows = [_row(number, by_fault[number]) for number in sorted(by_fault)]
    return "\n".join([head, *rows]) + "\n"


def _row(number: int, runs: Sequence[Run]) -> str:
    seconds = sum(run["seconds"] for run in runs)
    done = "; ".join(dict.fromkeys(" ".join(run["done"].split()) for run in runs))
    figures = ", ".join(f"{name}: {figure}" for name, figure in _merged(runs).items())
    size = " and ".join(sorted({run["size"] for run in runs}))
    cells = (number, runs[0]["name"], done, size, _held(runs), figures, f"{seconds:.0f}")
    return f"| {' | '.join(map(str, cells))} |"


def _held(runs: Iterable[Run]) -> str:
    outcomes = {run["outcome"] for run in runs}
    if "failed" in outcomes:
        return "**no**"
    return "yes" if outcomes == {"passed"} else "in part: some were skipped"


def _merged(runs: Iterable[Run]) -> dict[str, Any]:
    """The figures of a fault's tests: counts are added up, of measures stands the largest."""
    merged: dict[str, Any] = {}
    for run in runs:
        for name, figure in run["figures"].items():
            if name != "seed":
                merged[name] = _join(name, merged[name], figure) if name in merged else figure
    return merged


def _join(name: str, one: Any, other: Any) -> Any:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers:
        counts = isinstance(one, int) and isinstance(other, int) and not _is_measure(name)
        return one + other if counts else max(one, other)
    return one if one == other else f"{one}; {other}"


def _is_measure(name: str) -> bool:
    return name.endswith((" s", " ms", " MB", " a job"))


def _soak(run: Run) -> str:
    figures = "\n".join(f"- {name}: {figure}" for name, figure in run["figures"].items())
    held = "Everything held." if run["held"] else "**It did not hold.**"
    return f"Submitted over HTTP, with kills at random moments meanwhile. {held}\n\n{figures}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
