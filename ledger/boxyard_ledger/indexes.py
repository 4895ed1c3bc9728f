"""Reading the indexes: what is due by now, and pages of what is listed."""

from __future__ import annotations

from . import keys
from .connection import Connection


def read_until(connection: Connection, index: str, latest_ms: float, limit: int) -> list[str]:
    """At most `limit` entries of an index by time, up to a moment of Redis' clock; oldest first."""
    entries: list[str] = connection.command(
        "ZRANGE", index, "-inf", latest_ms, "BYSCORE", "LIMIT", 0, limit
    )
    return entries


def read_due(
    connection: Connection, index: str, limit: int, *, age_ms: int = 0
) -> list[dict[str, str]]:
    """The fields of jobs whose score in `index` is `age_ms` old or older, oldest first."""
    entries = read_until(connection, index, connection.now_ms() - age_ms, limit)
    found = connection.commands(*(("HGETALL", keys.job(*keys.split(entry))) for entry in entries))
    return [fields for fields in found if fields]


def read_page(
    connection: Connection, index: str, limit: int, after: str | None
) -> tuple[list[str], bool]:
    """Entries of an index by name, the last name first.

    Args:
        connection: to Redis.
        index: its entries all have the same score.
        limit: at most so many.
        after: the last entry of the page before.

    Returns:
        The entries, and whether more follow.
    """
    start = f"({after}" if after else "+"
    entries = connection.command("ZRANGE", index, start, "-", "BYLEX", "REV", "LIMIT", 0, limit + 1)
    return entries[:limit], len(entries) > limit
