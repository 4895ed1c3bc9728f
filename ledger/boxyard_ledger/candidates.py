"""Ready jobs that a claim may try: the first ones, or the first of those whose turn it is."""

from __future__ import annotations

from collections.abc import Collection

from boxyard_schemas import Priority

from . import keys
from .connection import Connection

_PAGE, _PAGES = 1000, 10
"""Entries and pages of a ready index that one look passes over at most; the next goes on there."""


class Candidates:
    """Looks along the ready indexes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._starts: dict[str, int] = {}

    def find(self, model: str, limit: int, busy: Collection[str]) -> list[tuple[str, str]]:
        """At most `limit` pairs of `tenant/job` and ready key, by priority and then by age.

        Args:
            model: whose jobs.
            limit: at most so many.
            busy: tenants whose jobs are passed over.
        """
        names = [keys.ready(model, priority) for priority in Priority]
        if busy:
            pages = [self._behind(name, limit, busy) for name in names]
        else:
            pages = self._connection.commands(*(("ZRANGE", name, 0, limit - 1) for name in names))
        found = [(entry, name) for name, page in zip(names, pages, strict=True) for entry in page]
        return found[:limit]

    def _behind(self, name: str, limit: int, busy: Collection[str]) -> list[str]:
        """Entries of other tenants; a long row of the busy ones' is passed in several looks."""
        start, found = self._starts.get(name, 0), list[str]()
        from_head = start == 0
        for _ in range(_PAGES):
            page = self._connection.command("ZRANGE", name, start, start + _PAGE - 1)
            found += [entry for entry in page if keys.split(entry)[0] not in busy]
            if len(found) >= limit:
                break
            at_end = len(page) < _PAGE
            start = 0 if at_end else start + _PAGE
            if at_end and from_head:
                break
            from_head |= at_end  # what earlier looks passed over may be another tenant's by now
        self._starts[name] = start
        return found[:limit]
