"""The global indexes: which jobs something is due for."""

from __future__ import annotations

from . import keys
from .connection import Connection


def read_due(
    connection: Connection, index: str, limit: int, *, age_ms: int = 0
) -> list[dict[str, str]]:
    """The fields of jobs whose score in `index` is `age_ms` old or older, oldest first."""
    latest = connection.now_ms() - age_ms
    entries = connection.command("ZRANGE", index, "-inf", latest, "BYSCORE", "LIMIT", 0, limit)
    found = connection.commands(*(("HGETALL", keys.job(*keys.split(entry))) for entry in entries))
    return [fields for fields in found if fields]
