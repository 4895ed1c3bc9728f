"""Workers: who serves what, by their heartbeats."""

from __future__ import annotations

from . import keys
from .connection import Connection
from .records import WorkerRecord


class Workers:
    """The detect workers that live."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, worker: WorkerRecord, ttl_s: float) -> None:
        """Says that a worker lives, for `ttl_s` seconds."""
        record = worker.model_dump_json()
        self._connection.commands(
            ("SET", keys.worker(worker.id), record, "PX", int(ttl_s * 1000)),
            ("SADD", keys.WORKERS, worker.id),
            atomic=True,
        )

    def leave(self, worker_id: str) -> None:
        """Says that a worker is gone."""
        self._connection.commands(
            ("DEL", keys.worker(worker_id)), ("SREM", keys.WORKERS, worker_id), atomic=True
        )

    def all(self) -> list[WorkerRecord]:
        """The workers that live, by id; those that fell silent are dropped from the index."""
        ids = sorted(self._connection.command("SMEMBERS", keys.WORKERS))
        if not ids:
            return []
        found = self._connection.command("MGET", *(keys.worker(name) for name in ids))
        silent = [name for name, record in zip(ids, found, strict=True) if record is None]
        if silent:
            self._connection.command("SREM", keys.WORKERS, *silent)
        return [WorkerRecord.model_validate_json(record) for record in found if record]
