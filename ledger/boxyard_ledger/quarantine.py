"""Quarantine: what could not be read in Redis, out of the way and listed for an operator.

An entry of an index whose record cannot be read is moved out of the index; a key of a wrong type is
renamed; any other record that cannot be read stays in place, is skipped, and is listed once.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter

from boxyard_schemas.errors import BoxyardError, Unreadable

from . import keys
from .connection import Connection
from .status import from_ms

_log = structlog.get_logger(__name__)
_NEWER = "version-"
_KNOWN_VERSION = 1
"""Records of newer versions are put back once a process that reads them sweeps."""
_PAGE = 500
_MOST_NOTED = 10_000
_NOTED_S = 300.0
"""How long a process takes a place for listed, before it lists it again."""


class Quarantined(NamedTuple):
    """One place that could not be read.

    Attributes:
        place: what identifies it here.
        reason: `missing`, `unreadable`, `incomplete`, `wrong-type`, `version-2`, `not-queued`, …
        at: when it was found.
        source: the index or the key that it was moved from; "" when it stayed in place.
        member: the entry of the index, if it was one.
        score: the entry's score in the index.
    """

    place: str
    reason: str
    at: datetime
    source: str = ""
    member: str = ""
    score: str = ""

    @property
    def renamed(self) -> bool:
        """Whether it is a key of a wrong type, which has the place as its name now."""
        return bool(self.source) and self.place.startswith(f"{keys.QUARANTINE}:")


class Aside(NamedTuple):
    """An entry to move out of an index.

    Attributes:
        member: the entry.
        reason: why.
        record: the key of the hash behind it; "" for none. `missing` must still be so.
        states: that the index is for; an entry is moved only while the hash has none of them.
    """

    member: str
    reason: str
    record: str = ""
    states: tuple[str, ...] = ()

    @property
    def condition(self) -> str:
        """What `set_aside.lua` looks at once more."""
        if self.states:
            return f" {' '.join(self.states)} "
        return "missing" if self.record and self.reason == "missing" else ""


class Quarantine:
    """Keeps what cannot be read from failing whoever comes across it."""

    def __init__(self, connection: Connection, registry: CollectorRegistry | None = None) -> None:
        self._connection = connection
        self.moved = 0
        """Entries that this process moved out of an index."""
        self._count = Counter(
            "boxyard_unreadable_records",
            "Entries of Redis that could not be read and were skipped.",
            ["reason"],
            registry=registry,
        )
        self._noted = OrderedDict[str, float]()

    def set_aside(self, index: str, entries: Iterable[Aside]) -> int:
        """Moves entries out of an index; returns how many were still there."""
        found = list(entries)
        return sum(
            self._move(index, found[start : start + _PAGE]) for start in range(0, len(found), _PAGE)
        )

    @contextmanager
    def guarding(self, index: str, member: str, record: str = "") -> Iterator[None]:
        """Around a step with one entry: if the step cannot read something, the entry is moved.

        Args:
            index: that has the entry.
            member: the entry.
            record: the key of the data behind it; "" for none.
        """
        try:
            yield
        except Unreadable as error:
            self.set_aside(index, [Aside(member, str(error.data["cause"]), record)])

    def _move(self, index: str, entries: list[Aside]) -> int:
        words = [
            word for entry in entries for word in (entry.member, entry.reason, entry.condition)
        ]
        # A role may run no script with a key that it has no right to: "" is such a key.
        moved = self._connection.run(
            "set_aside", [index, *(entry.record or index for entry in entries)], words
        )
        chosen = [entries[number] for number in moved]
        self.report([(index, entry.member, entry.reason) for entry in chosen])
        return len(chosen)

    def report(self, moved: Iterable[Sequence[str]]) -> None:
        """Counts and logs what was moved out of indexes, a line for each index and reason.

        Args:
            moved: of each: the index, the entry and the reason.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        for index, member, reason in moved:
            groups.setdefault((index, reason), []).append(member)
        for (index, reason), members in groups.items():
            self.moved += len(members)
            self._count.labels(_kind(reason)).inc(len(members))
            _log.warning(
                "record.quarantined",
                index=index,
                reason=reason,
                count=len(members),
                member=members[0],
            )

    def note(self, place: str, reason: str) -> None:
        """Lists a record that stays in place; it is logged when it is listed first.

        It never fails its caller, who skips the record. Places that this process has listed lately
        cost no exchange with Redis.
        """
        self._count.labels(_kind(reason)).inc()
        now = time.monotonic()
        if now < self._noted.get(place, float("-inf")) + _NOTED_S:
            return
        try:
            fresh = self._connection.run("note", [keys.QUARANTINE], [place, reason])
        except BoxyardError:
            return
        self._noted[place] = now
        self._noted.move_to_end(place)
        with suppress(KeyError):  # another thread may be doing the same
            while len(self._noted) > _MOST_NOTED:
                self._noted.popitem(last=False)
        if fresh:
            _log.warning("record.unreadable", place=place, reason=reason)

    def keep_names(self, place: str, names: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
        """The members of a set that are names, sorted; each other one is noted.

        Args:
            place: the set.
            names: what it holds.
            pattern: what a name looks like.
        """
        found = sorted(names)
        for odd in (name for name in found if not pattern.fullmatch(name)):
            self.note(f"{place} {odd}", "unreadable")
        return [name for name in found if pattern.fullmatch(name)]

    def count(self) -> int:
        """How many places are listed."""
        found: int = self._connection.command("HLEN", keys.QUARANTINE)
        return found

    def all(self) -> list[Quarantined]:
        """Every place, the newest last."""
        return sorted(self._scan(), key=lambda each: each.at)

    def _scan(self) -> Iterator[Quarantined]:
        cursor: Any = 0
        while True:
            cursor, found = self._connection.command(
                "HSCAN", keys.QUARANTINE, cursor, "COUNT", _PAGE
            )
            yield from (_read(place, text) for place, text in found.items())
            if int(cursor) == 0:
                return

    def unlisted(self) -> int:
        """How often a place was not listed because the list was full."""
        found = self._connection.command("GET", keys.UNLISTED)
        return int(found) if found and found.isdecimal() else 0

    def restore(self, entry: Quarantined) -> bool:
        """Puts an entry back where it came from; False when it is gone or cannot be put back.

        A key that was renamed cannot be while it has the type for which it was, and if it is none
        of the ledger's: what the broker keeps are hints, which are sent again.
        """
        if entry.renamed and not keys.is_ours(entry.source):
            return False
        return self._release(entry, "restore")

    def delete(self, entry: Quarantined) -> bool:
        """Takes an entry off the list; a renamed key is deleted."""
        return self._release(entry, "delete")

    def unlist(self, places: Iterable[str]) -> None:
        """Takes places off the list and touches nothing else."""
        if found := list(places):
            self._connection.command("HDEL", keys.QUARANTINE, *found)

    def _release(self, entry: Quarantined, how: str) -> bool:
        names = [keys.QUARANTINE]
        if entry.source:  # deleting needs no right to it
            names.append(entry.source if how == "restore" else keys.QUARANTINE)
        if entry.renamed:
            names.append(entry.place)
        words = [how, entry.place, entry.member, entry.score]
        return bool(self._connection.run("release_quarantined", names, words))

    def restore_versions(self) -> int:
        """Puts back what a newer version wrote and this one can read; returns how many."""
        if not self.count():
            return 0
        return sum(self.restore(entry) for entry in self._scan() if _is_readable_now(entry.reason))


def _kind(reason: str) -> str:
    """The kinds of reasons, for a metric: there are few of them."""
    if reason.startswith(_NEWER):
        return "newer-version"
    if reason.startswith("not-"):
        return "wrong-state"
    return reason if reason in ("missing", "wrong-type") else "damaged"


def _is_readable_now(reason: str) -> bool:
    version = reason.removeprefix(_NEWER)
    return reason.startswith(_NEWER) and version.isdigit() and int(version) <= _KNOWN_VERSION


def _read(place: str, text: str) -> Quarantined:
    try:
        facts = json.loads(text)
        return Quarantined(
            place=place,
            reason=str(facts["reason"]),
            at=from_ms(facts["at"]),
            source=str(facts.get("index") or facts.get("key") or ""),
            member=str(facts.get("member") or ""),
            score=str(facts.get("score") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return Quarantined(place, "unreadable", from_ms(0))
