"""Quarantine: what could not be read in Redis, out of the way and listed for an operator.

An entry of an index whose record cannot be read is moved out of the index; a key of a wrong type is
renamed; any other record that cannot be read stays in place, is skipped, and is listed once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


class Aside(NamedTuple):
    """An entry to move out of an index.

    Attributes:
        member: the entry.
        reason: why.
        record: the key of the hash behind it, to look at once more; "" for none.
        states: that the index is for; an entry is moved only while the hash has none of them.
    """

    member: str
    reason: str
    record: str = ""
    states: tuple[str, ...] = ()


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

    def set_aside(self, index: str, entries: Iterable[Aside]) -> int:
        """Moves entries out of an index; returns how many were still there."""
        found = list(entries)
        return sum(
            self._move(index, found[start : start + _PAGE]) for start in range(0, len(found), _PAGE)
        )

    @contextmanager
    def guarding(self, index: str, member: str) -> Iterator[None]:
        """Around a step with one entry: if the step cannot read something, the entry is moved."""
        try:
            yield
        except Unreadable as error:
            self.set_aside(index, [Aside(member, str(error.data["cause"]))])

    def _move(self, index: str, entries: list[Aside]) -> int:
        words = [
            word
            for entry in entries
            for word in (
                entry.member,
                entry.reason,
                f" {' '.join(entry.states)} " if entry.states else "",
            )
        ]
        moved: int = self._connection.run(
            "set_aside", [index, *(entry.record for entry in entries)], words
        )
        if moved:
            self.log(index, entries[0].reason, moved, member=entries[0].member)
        return moved

    def log(self, index: str, reason: str, count: int = 1, **facts: object) -> None:
        """Counts and logs what was moved out of an index, and so is found once.

        Args:
            index: the index, or what names several.
            reason: of the first one.
            count: how many were moved.
            facts: more for the log.
        """
        self.moved += count
        self._count.labels(reason.partition("-")[0]).inc(count)
        _log.warning("record.quarantined", index=index, reason=reason, count=count, **facts)

    def note(self, place: str, reason: str) -> None:
        """Lists a record that stays in place; it is logged when it is listed first.

        It never fails its caller, who skips the record.
        """
        self._count.labels(reason.partition("-")[0]).inc()
        try:
            facts = {"reason": reason, "at": self._connection.now_ms()}
            fresh = self._connection.command("HSETNX", keys.QUARANTINE, place, json.dumps(facts))
        except BoxyardError:
            return
        if fresh:
            _log.warning("record.unreadable", place=place, reason=reason)

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

    def restore(self, entry: Quarantined) -> bool:
        """Puts an entry back where it came from; False when it is gone or cannot be put back."""
        return self._release(entry, "restore")

    def delete(self, entry: Quarantined) -> bool:
        """Forgets an entry: a renamed key is deleted, an entry of an index stays out of it."""
        return self._release(entry, "delete")

    def _release(self, entry: Quarantined, how: str) -> bool:
        released = self._connection.run(
            "release_quarantined",
            [keys.QUARANTINE, entry.place, entry.source],
            [how, entry.member, entry.score],
        )
        return bool(released)

    def restore_versions(self) -> int:
        """Puts back what a newer version wrote and this one can read; returns how many."""
        if not self.count():
            return 0
        return sum(self.restore(entry) for entry in self._scan() if _is_readable_now(entry.reason))


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
