"""Workers: who serves what, by their heartbeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boxyard_schemas.errors import Unreadable

from . import keys
from .connection import Connection, Word
from .quarantine import Quarantine
from .records import WorkerRecord
from .status import readable

_LATELY_S = 90
"""Within this time a worker restarts, loads its model and warms up, on most machines."""


class Workers:
    """The detect workers that live."""

    def __init__(self, connection: Connection, quarantine: Quarantine) -> None:
        self._connection, self._quarantine = connection, quarantine

    def beat(self, worker: WorkerRecord, ttl_s: float) -> None:
        """Records that a worker lives, for `ttl_s` seconds."""
        record = worker.model_dump_json()
        commands: list[tuple[Word, ...]] = [
            ("SET", keys.worker(worker.id), record, "PX", int(ttl_s * 1000)),
            ("SADD", keys.WORKERS, worker.id),
        ]
        if worker.warm:  # see ServedModels
            commands += [
                ("SADD", keys.SERVED_MODELS, worker.model),
                ("SET", keys.served_lately(worker.model), 1, "EX", _LATELY_S),
            ]
        self._connection.commands(*commands, atomic=True)

    def leave(self, worker_id: str) -> None:
        """Says that a worker is gone."""
        self._connection.commands(
            ("DEL", keys.worker(worker_id)), ("SREM", keys.WORKERS, worker_id), atomic=True
        )

    def all(self) -> list[WorkerRecord]:
        """The workers that live, by id; those that fell silent are dropped from the index."""
        beats = self._beats(sorted(self._connection.command("SMEMBERS", keys.WORKERS)))
        if silent := [name for name, beat in beats.items() if beat is None]:
            self._drop(silent)
        return read_workers(self._quarantine, {name: beat for name, beat in beats.items() if beat})

    def _drop(self, silent: Sequence[str]) -> None:
        self._connection.command("SREM", keys.WORKERS, *silent)
        # One may have spoken again just before it was dropped, and be silent until its next beat.
        if back := [name for name, beat in self._beats(silent).items() if beat]:
            self._connection.command("SADD", keys.WORKERS, *back)

    def _beats(self, ids: Sequence[str]) -> dict[str, str | None]:
        found = self._connection.command("MGET", *map(keys.worker, ids)) if ids else []
        return dict(zip(ids, found, strict=True))


def read_workers(quarantine: Quarantine, beats: Mapping[str, str]) -> list[WorkerRecord]:
    """The workers whose heartbeats can be read, by id."""
    workers = []
    for name, beat in sorted(beats.items()):
        try:
            with readable(f"Worker {name}", beat):
                workers.append(WorkerRecord.model_validate_json(beat))
        except Unreadable as error:
            quarantine.note(keys.worker(name), error.data["cause"])
    return workers
