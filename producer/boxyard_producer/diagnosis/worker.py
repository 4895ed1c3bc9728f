"""What the worker says of itself: torch, the operators, the weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from .finding import Finding

_PATIENCE_S = 180
_FINDINGS = TypeAdapter(list[Finding])
_CHECK = (sys.executable, "-P", "-m", "boxyard_worker.cli", "check", "--json")


def examine_worker(command: Sequence[str] = _CHECK) -> list[Finding]:
    """Ask in a process of its own: a broken torch must not take the doctor with it."""
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        return _FINDINGS.validate_json(said.stdout)
    except subprocess.TimeoutExpired:
        return [_broken(f"no answer after {_PATIENCE_S} s")]
    except ValidationError:
        return [_broken((said.stderr.strip().splitlines() or ["it said nothing"])[-1])]


def _broken(detail: str) -> Finding:
    return Finding(
        name="worker",
        ok=False,
        detail=detail,
        mend="Run `boxyard-worker check` and read what it says.",
    )
