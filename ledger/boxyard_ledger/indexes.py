"""Reading the indexes: what is due by now, and pages of what is listed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from boxyard_schemas import JobState
from boxyard_schemas.errors import Unreadable

from . import keys
from .connection import Connection
from .quarantine import Aside, Quarantine

T = TypeVar("T")
_PAGES = 20
"""Pages on which nothing can be read that one call passes; the next call goes on."""


def read_until(connection: Connection, index: str, latest_ms: float, limit: int) -> list[str]:
    """At most `limit` entries of an index by time, up to a moment of Redis' clock; oldest first."""
    entries: list[str] = connection.command(
        "ZRANGE", index, "-inf", latest_ms, "BYSCORE", "LIMIT", 0, limit
    )
    return entries


class JobIndexes:
    """Jobs by the indexes that name them; what cannot be read is moved out of the index."""

    def __init__(self, connection: Connection, quarantine: Quarantine) -> None:
        self._connection, self._quarantine = connection, quarantine

    def due(
        self,
        index: str,
        limit: int,
        *,
        states: Sequence[JobState],
        read: Callable[[str, Mapping[str, str]], T],
        age_ms: int = 0,
    ) -> list[T]:
        """Jobs whose score in `index` is `age_ms` old or older, oldest first.

        Args:
            index: its entries are `tenant/job`.
            limit: at most so many.
            states: that the index is for: one, or those of ended jobs.
            read: makes something of an entry and the fields of its hash, or raises `Unreadable`.
            age_ms: in milliseconds.
        """
        due: list[T] = []
        for _ in range(_PAGES):
            entries = read_until(self._connection, index, self._connection.now_ms() - age_ms, limit)
            due, aside = self._split(entries, states, read)
            if not aside:
                break
            self._quarantine.set_aside(index, aside)
            if due:
                break
        return due

    def _split(
        self,
        entries: list[str],
        states: Sequence[JobState],
        read: Callable[[str, Mapping[str, str]], T],
    ) -> tuple[list[T], list[Aside]]:
        due, aside = [], []
        for entry, fields in zip(entries, self.read_fields(entries), strict=True):
            fault = _find_fault(fields, states)
            try:
                if not fault:
                    due.append(read(entry, fields))
            except Unreadable as error:
                fault = error.data["cause"]
            if fault:
                expected = tuple(states) if fault.startswith("not-") else ()
                aside.append(Aside(entry, fault, keys.job(*keys.split(entry)), expected))
        return due, aside

    def read_fields(self, entries: Collection[str]) -> list[dict[str, str]]:
        """The hashes of jobs `tenant/job`; an empty one where there is none."""
        return self._connection.commands(
            *(("HGETALL", keys.job(*keys.split(entry))) for entry in entries)
        )


def _find_fault(fields: Mapping[str, str], states: Sequence[JobState]) -> str | None:
    if not fields:
        return "missing"
    state = fields.get("state")
    if state in states:
        return None
    return f"not-{states[0]}" if len(states) == 1 else "not-ended"


def read_page(
    connection: Connection,
    quarantine: Quarantine,
    index: str,
    limit: int,
    after: str | None,
    *,
    names: re.Pattern[str],
) -> tuple[list[str], bool]:
    """Entries of an index by name, the last name first.

    Args:
        connection: to Redis.
        quarantine: where entries go that are no names.
        index: its entries all have the same score.
        limit: at most so many.
        after: the last entry of the page before.
        names: what an entry looks like.

    Returns:
        The entries, and whether more follow.
    """
    start = f"({after}" if after else "+"
    while True:
        entries = connection.command(
            "ZRANGE", index, start, "-", "BYLEX", "REV", "LIMIT", 0, limit + 1
        )
        odd = [entry for entry in entries if not names.fullmatch(entry)]
        if not odd:
            return entries[:limit], len(entries) > limit
        quarantine.set_aside(index, (Aside(entry, "unreadable") for entry in odd))
