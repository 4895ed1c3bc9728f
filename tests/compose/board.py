"""The board held to a Prometheus that watches a stack: which panels would be blank.

`python tests/compose/board.py URL` prints them.
"""

from __future__ import annotations

import json
import math
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

BOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "boards" / "boxyard.json"
CHOSEN = {"$model": ".*", "$__rate_interval": "1m"}
"""What Grafana puts in a query's variables, every model chosen."""

Json = dict[str, Any]


def blank_panels(prometheus: str, minutes: float = 5) -> list[str]:
    """Titles of panels with a query that fails, or that has no number in the last minutes.

    A panel that says `none` while nothing bad has happened may be without numbers.

    Args:
        prometheus: its base URL.
        minutes: how far back to look.
    """
    return [
        panel["title"]
        for panel in read_panels()
        if not all(_shows(prometheus, panel, expr, minutes * 60) for expr in queries_of(panel))
    ]


def read_panels() -> list[Json]:
    """Those of the shipped board that ask something."""
    return [panel for panel in json.loads(BOARD.read_text())["panels"] if panel.get("targets")]


def queries_of(panel: Json) -> list[str]:
    """Its PromQL, all variables filled in."""
    return [_fill_in(target["expr"]) for target in panel["targets"]]


def _fill_in(query: str) -> str:
    for name, value in CHOSEN.items():
        query = query.replace(name, value)
    return query


def _shows(prometheus: str, panel: Json, query: str, seconds: float) -> bool:
    now = time.time()
    asked = {"query": query, "start": now - seconds, "end": now, "step": 15}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            series = json.load(answer)["data"]["result"]
    except OSError:  # also what Prometheus answers to a query that it cannot read
        return False
    may_be_blank = "noValue" in panel["fieldConfig"]["defaults"]
    return may_be_blank or any(
        math.isfinite(float(value)) for each in series for _, value in each["values"]
    )


if __name__ == "__main__":
    print("\n".join(blank_panels(sys.argv[1])))
