"""News of jobs that end, so that nobody needs to poll for each."""

from __future__ import annotations

from . import keys
from .connection import Connection
from .refusals import translated


class FinishedFeed:
    """One subscription to the ends of all jobs; one thread may read it."""

    def __init__(self, connection: Connection) -> None:
        self._feed = connection.subscribe(keys.FINISHED)

    def next(self, timeout: float) -> tuple[str, str] | None:
        """The tenant and the id of a job that ended; None when none did in `timeout` seconds.

        News may be missed while Redis is away, so a reader also looks now and then.

        Raises:
            Unavailable: Redis is away; the next call connects again.
        """
        with translated():
            message = self._feed.get_message(timeout=timeout)
        return keys.split(message["data"]) if message else None

    def close(self) -> None:
        """Gives the connection back."""
        self._feed.close()

    def __enter__(self) -> FinishedFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
