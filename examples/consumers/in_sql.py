"""Acting exactly once: the event's id is stored in the same transaction as what it causes.

Other databases do it with the same statement; there a second consumer waits for the first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from boxyard_producer.webhooks import EventInProgress, WebhookEvent

_TABLES = """
CREATE TABLE IF NOT EXISTS seen_events (
    id TEXT PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS endings (job TEXT NOT NULL, state TEXT NOT NULL);
"""


class SqlDeduplication:
    """Whoever enters is in a transaction, which ends with the act or undoes both.

    Args:
        connection: the one that the act writes by, of this thread alone.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def once(self, event_id: str) -> Iterator[bool]:
        """True for whom it is to act."""
        with self._connection:
            yield self._insert(event_id)

    def _insert(self, event_id: str) -> bool:
        statement = "INSERT INTO seen_events (id) VALUES (?) ON CONFLICT DO NOTHING"
        try:
            return self._connection.execute(statement, (event_id,)).rowcount == 1
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise EventInProgress("Another consumer is writing.") from error


def open_database(path: Path, *, patience_s: float = 5) -> sqlite3.Connection:
    """A connection for this thread; waits so long for the transactions of others."""
    connection = sqlite3.connect(path, timeout=patience_s)
    connection.executescript(_TABLES)
    return connection


def act(path: Path, event: WebhookEvent) -> bool:
    """Writes how a job ended, once; False when it was written before."""
    with closing(open_database(path)) as database, SqlDeduplication(database).once(event.id) as new:
        if new:
            row = (event.data.job.id, event.data.job.state)
            database.execute("INSERT INTO endings (job, state) VALUES (?, ?)", row)
        return new
