"""Erasures: blobs that must go, written down by the step that decided so.

Each is erased twice: at once, and an hour later, when no worker that was fenced out can still be
storing what it made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from boxyard_schemas import JobState
from boxyard_schemas.errors import BoxyardError, Unavailable, Unreadable

from . import keys
from .blobs import BlobStore
from .connection import Connection
from .indexes import read_until
from .quarantine import Quarantine
from .records import ResultReference
from .status import readable

_PATIENCE_S = 2.0
"""No further blob is begun when a round took so long."""
_HANDS = 16
_POSTPONE_MS = 60_000
_FIRST = "first"
_ERASABLE = re.compile(r"[a-z0-9][a-z0-9-]*/(uploads/upl_[0-9a-f]{32}|results/job_[0-9a-f]{32}/)")

_log = structlog.get_logger(__name__)


class Erasures:
    """Erases blobs; one that resists is put off, and delays no other."""

    def __init__(self, connection: Connection, blobs: BlobStore, quarantine: Quarantine) -> None:
        self._connection = connection
        self._quarantine = quarantine
        self._blobs = blobs

    def apply(self, limit: int) -> int:
        """Carries out at most `limit` erasures that are due; returns how many.

        Raises:
            Unavailable: Redis is away. A blob store that is away only delays.
        """
        now = self._connection.now_ms()
        return self._carry_out(read_until(self._connection, keys.ERASURES, now, limit))

    def carry_out(self, blobs: Iterable[str]) -> int:
        """Erases what was written down just now, or leaves it to the sweeper."""
        try:
            return self._carry_out(f"{_FIRST} {blob}" for blob in blobs)
        except Unavailable as error:
            _log.warning("blobs-not-erased", error=error.detail)
            return 0

    def _carry_out(self, entries: Iterable[str]) -> int:
        end = time.monotonic() + _PATIENCE_S
        with ThreadPoolExecutor(_HANDS) as pool:
            return sum(pool.map(lambda entry: self._carry_out_one(entry, end), entries))

    def _carry_out_one(self, entry: str, end: float) -> int:
        if time.monotonic() > end:
            return 0
        blob = entry.partition(" ")[2]
        try:
            with self._quarantine.guarding(keys.ERASURES, entry, _record_behind(blob)):
                for key in self._found(blob):
                    self._blobs.delete(key)
        except BoxyardError as error:
            _log.warning("blob-not-erased", blob=blob, error=error.detail)
            later = self._connection.now_ms() + _POSTPONE_MS
            self._connection.command("ZADD", keys.ERASURES, "XX", later, entry)
            return 0
        return int(self._connection.command("ZREM", keys.ERASURES, entry))

    def _found(self, blob: str) -> list[str]:
        """The blobs that must go. Of a job that still stands: the results that it did not record.

        The job is looked at last. What was stored before and is not recorded by a job that has
        ended can be recorded no more: were it replayed, its next claim had a new token.
        """
        if not _ERASABLE.fullmatch(blob):
            raise Unreadable(f"{blob!r} names no blob.", cause="unreadable")
        record = _record_behind(blob)
        if not record:
            return [blob]
        found = list(self._blobs.keys(blob))
        state, result = self._connection.command("HMGET", record, "state", "result")
        with readable(f"The job of {blob}"):
            if state and not JobState(state).terminal:
                return []
            recorded = ResultReference.model_validate_json(result).key if result else None
        return [key for key in found if key != recorded]


def _record_behind(blob: str) -> str:
    """The key of the job whose results these are; "" for an upload, or what names no blob."""
    if _ERASABLE.fullmatch(blob) and blob.endswith("/"):
        return keys.job(*keys.job_of_results(blob))
    return ""
