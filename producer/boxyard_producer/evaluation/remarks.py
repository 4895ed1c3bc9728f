"""What is wrong with an annotation file, and what was repaired, by kind and with the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boxyard_schemas.errors import InvalidRequest

_SHOWN = 3
_LONGEST = 80


class Malformed(ValueError):
    """A record cannot be used.

    Attributes:
        what: is wrong, in words that are the same for every record that has it.
        detail: of this record.
    """

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(what)
        self.what, self.detail = what, detail


@dataclass
class Remarks:
    """Collects faults and repairs while a file is read.

    Attributes:
        faults: the records by what is wrong with them; with one the file is refused.
        repairs: the records by what was done to them, or what is doubtful about them.
    """

    faults: dict[str, list[str]] = field(default_factory=dict)
    repairs: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, what: str, record: str) -> None:
        """Notes what is wrong with a record."""
        self.faults.setdefault(what, []).append(record)

    @contextmanager
    def faults_of(self, record: str) -> Iterator[None]:
        """Notes the fault that ends the reading of a record."""
        try:
            yield
        except Malformed as error:
            self.fault(error.what, f"{record}: {error.detail}" if error.detail else record)

    def repair(self, what: str, record: str) -> None:
        """Notes what was done to a record; once, however many of its values it concerns."""
        records = self.repairs.setdefault(what, [])
        if records[-1:] != [record]:
            records.append(record)

    def refuse(self, path: Path) -> None:
        """Ends the reading where there are faults.

        Raises:
            InvalidRequest: naming the faults, each with the first records that have it.
        """
        if self.faults:
            lines = _lines(self.faults)
            separator = "\n  " if len(lines) > 1 else " "
            raise InvalidRequest(f"{path} cannot be used:{separator}{separator.join(lines)}")

    def repaired(self) -> tuple[str, ...]:
        """The repairs, a sentence each."""
        return _lines(self.repairs)


def some_of(names: Sequence[object]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name) for name in names[:_SHOWN]) + more


def printable(name: object) -> str:
    """A name out of a file as a terminal may show it."""
    text = str(name)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _lines(kinds: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(f"{what}: {some_of(records)}." for what, records in kinds.items())


def repeated(names: Iterable[str]) -> list[str]:
    """Those that occur more than once, in the order of their second occurrence."""
    seen, twice = set[str](), dict[str, None]()
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)
