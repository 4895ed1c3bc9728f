"""What became of an entry: one JSON line of a file that a later run goes on with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """What to try.

    Attributes:
        name: of the catalogue's entry.
        whole: at the size of its own test pipeline, not at the smallest that it takes.
    """

    name: str
    whole: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes:
        task: what was tried.
        reason: why it gave no answer, or "".
        trace: where that happened.
        found: instances in the answer.
        width: of the picture as the model saw it, pixels, padding left out.
        height: likewise.
        operators: of `mmcv._ext` that were called.
        plan: whether the worker's parent resizes, or the model child runs the whole pipeline.
        load_s: seconds to build, fill and warm the model up.
        detect_s: seconds for the picture.
        cpu_s: seconds of all cores in all.
        peak_mib: of memory, what was imported before included.
        at: when it ended, seconds since 1970.
    """

    task: Task
    reason: str = ""
    trace: str = ""
    found: int = 0
    width: int = 0
    height: int = 0
    operators: tuple[str, ...] = ()
    plan: bool = False
    load_s: float = 0.0
    detect_s: float = 0.0
    cpu_s: float = 0.0
    peak_mib: int = 0
    at: float = 0.0

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Outcome:
        """What `to_line` wrote."""
        fields = json.loads(line)
        fields |= {"task": Task(**fields["task"]), "operators": tuple(fields["operators"])}
        return cls(**fields)


def read_outcomes(path: Path) -> dict[Task, Outcome]:
    """The last outcome of each task; a line that a kill tore is nobody's."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    outcomes = [Outcome.from_line(line) for line in lines if line.endswith("}\n")]
    return {outcome.task: outcome for outcome in outcomes}


def append_outcome(path: Path, outcome: Outcome) -> None:
    """Writes it behind the others."""
    held = path.read_bytes() if path.exists() else b""
    with path.open("a") as file:
        file.write(("\n" if held and not held.endswith(b"\n") else "") + outcome.to_line())


def choose(tasks: Iterable[Task], done: dict[Task, Outcome], *, retry: bool) -> list[Task]:
    """Those without an outcome and, at will, those without an answer."""
    return [task for task in tasks if task not in done or (retry and done[task].reason)]
