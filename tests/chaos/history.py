"""What clients were told, what receivers heard, and what the stores held in the end.

A job's marker is its submission's idempotency key, and stands in its metadata and in the
reference of each of its pictures: so whatever somebody is told betrays whose job it is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened to `tenant`: to who holds its key, its receiver or its stores."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Asked(Line):
    """A submission was sent, for the first time or again."""

    marker: str
    pictures: tuple[str, ...] = ()
    """The pictures' sha256; '' for one that nobody knows before."""
    callbacks: int = 0
    """How many receivers must hear of its end."""


@dataclass(frozen=True, slots=True)
class Marked(Line):
    """Somebody was told of a job, or has it; `marker` is the one that came with it."""

    job: str
    marker: str


@dataclass(frozen=True, slots=True)
class Stated(Marked):
    """And how it stands."""

    state: str


@dataclass(frozen=True, slots=True)
class Accepted(Marked):
    """The answer to a submission: 202."""


@dataclass(frozen=True, slots=True)
class Refused(Line):
    """The answer to a submission: something else, or none (0)."""

    marker: str
    status: int


@dataclass(frozen=True, slots=True)
class Blunder(Line):
    """An answer that no server should give: a 500, or a 503 or 429 that does not say until when."""

    answer: str


@dataclass(frozen=True, slots=True)
class Told(Stated):
    """An answer of the server; moments in seconds of the monotonic clock."""

    asked: float
    answered: float


@dataclass(frozen=True, slots=True)
class Missing(Line):
    """404 for a job."""

    job: str


@dataclass(frozen=True, slots=True)
class Result(Marked):
    """A result, as it was read."""

    named: str
    """The job that the result itself names."""
    pictures: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Erasing(Line):
    """A job's erasure was asked for; `told`: 204 came."""

    job: str
    told: bool = False


@dataclass(frozen=True, slots=True)
class Replaying(Line):
    """The replay of a dead job was asked for."""

    job: str


@dataclass(frozen=True, slots=True)
class Heard(Stated):
    """A receiver was called back."""

    delivery: str
    verified: bool
    result: str = ""
    """The marker of the result inside, if there is one."""


@dataclass(frozen=True, slots=True)
class Stands(Stated):
    """A job in the ledger, in the end, and the blob that it names."""

    attempts: int = 1
    keyed: bool = True
    """Whether it came with its marker as its idempotency key."""
    recorded: str = ""
    """The result's sha256 by the ledger; '' when there is none."""
    stored: str = ""
    """And by the blob itself; '' when it is not there."""
    named: str = ""
    """The marker inside the result."""


@dataclass(frozen=True, slots=True)
class Due(Line):
    """A callback in the ledger, in the end."""

    delivery: str
    job: str
    state: str


@dataclass(frozen=True, slots=True)
class Orphan(Line):
    """A blob that no record names, in the end."""

    key: str


LineT = TypeVar("LineT", bound=Line)


class History:
    """Lines in the order in which they came to be known. Thread-safe.

    Args:
        lines: to begin with.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = list(lines)
        self._lock = Lock()

    def note(self, line: Line) -> None:
        with self._lock:
            self._lines.append(line)

    def of(self, kind: type[LineT]) -> Iterator[LineT]:
        """All lines of a kind."""
        return (line for line in list(self._lines) if isinstance(line, kind))

    def __iter__(self) -> Iterator[Line]:
        return iter(list(self._lines))

    def write(self, file: Path) -> None:
        """As JSON lines, for whoever wants to know what happened."""
        with file.open("w") as out:
            for line in self:
                out.write(json.dumps({"kind": type(line).__name__, **asdict(line)}) + "\n")
