"""Small records of a tenant, a hash for each kind; a change is made from what was read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from boxyard_schemas.errors import Conflict, NotFound, Unreadable

from .connection import Connection
from .quarantine import Quarantine
from .records import Record
from .status import readable

RecordT = TypeVar("RecordT", bound=Record)

MOST = 100
"""Records on one shelf: a tenant cannot fill Redis with them."""


class Shelf(Generic[RecordT]):
    """Records of one kind; two who change the same one follow each other.

    Args:
        connection: to Redis.
        quarantine: lists the records that cannot be read.
        kind: the records' class.
        noun: what people call one.
    """

    def __init__(
        self, connection: Connection, quarantine: Quarantine, kind: type[RecordT], noun: str
    ) -> None:
        self._connection, self._quarantine = connection, quarantine
        self._kind, self._noun = kind, noun

    def get(self, shelf: str, name: str) -> RecordT:
        """One record.

        Raises:
            NotFound: there is none of this name.
            Unreadable: it cannot be read.
        """
        return self._parse(shelf, name, self._read(shelf, name))

    def list(self, shelf: str) -> list[RecordT]:
        """All records that can be read, in no order."""
        records = []
        for name, text in self._connection.command("HGETALL", shelf).items():
            with suppress(Unreadable):
                records.append(self._parse(shelf, name, text))
        return records

    def add(self, shelf: str, name: str, record: RecordT) -> None:
        """Puts a new record on the shelf.

        Raises:
            Conflict: the shelf is full.
        """
        if self._connection.command("HLEN", shelf) >= MOST:
            raise Conflict(f"There are {MOST} {self._noun}s already: remove one first.")
        self._connection.command("HSET", shelf, name, record.model_dump_json())

    def amend(self, shelf: str, name: str, change: Callable[[RecordT], RecordT]) -> RecordT:
        """Changes a record.

        Args:
            shelf: the hash.
            name: the record's.
            change: what becomes of it; called again when somebody else changed it meanwhile.

        Raises:
            NotFound: there is none of this name.
            Unreadable: it cannot be read.
        """
        while True:
            text = self._read(shelf, name)
            changed = change(self._parse(shelf, name, text))
            if self._connection.run("amend", [shelf], [name, text, changed.model_dump_json()]):
                return changed

    def remove(self, shelf: str, name: str) -> None:
        """Takes a record away.

        Raises:
            NotFound: there is none of this name.
        """
        if not self._connection.command("HDEL", shelf, name):
            raise self._missing(name)

    def _parse(self, shelf: str, name: str, text: str) -> RecordT:
        try:
            with readable(f"The {self._noun} {name[:64]}", text):
                return self._kind.model_validate_json(text)
        except Unreadable as error:
            self._quarantine.note(f"{shelf} {name}", error.data["cause"])
            raise

    def _read(self, shelf: str, name: str) -> str:
        found: str | None = self._connection.command("HGET", shelf, name)
        if found is None:
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"No {self._noun} has the id {name[:64]}.")
