"""A yard for each test: a Redis of its own, blobs, a sweeper, and workers that may be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from boxyard_ledger import EmbeddedRedis, JobRecord, JobStatus, Ledger, LedgerSettings, keys
from boxyard_schemas import JobResult, StoredImage, UploadImage, new_id
from boxyard_schemas.errors import Unavailable
from boxyard_schemas.words import utc_now
from leases import end_leases
from process import Process, await_true

MODEL = "rtmdet-ins_demo"


class WorkerProcess(Process):
    """`boxyard-worker detect` on the stand-in."""

    def __init__(self, environment: dict[str, str], folder: Path, name: str, *options: str) -> None:
        program = str(Path(sys.executable).with_name("boxyard-worker"))
        super().__init__(name, [program, "detect", *options], environment, folder)

    @property
    def child(self) -> int:
        """The process id of the model child."""
        return int(self.await_event("model.warm")["pid"])


class Yard:
    """Everything around the workers."""

    def __init__(self, folder: Path, server: EmbeddedRedis) -> None:
        self.redis = server
        self._folder = folder
        self._workers: list[WorkerProcess] = []
        self.settings = LedgerSettings(
            redis_url=server.url, blob_url=(folder / "blobs").as_uri(), redis_timeout_s=30
        )
        self.ledger = Ledger.open(self.settings)

    def worker(self, *options: str, ready: bool = True, **settings: object) -> WorkerProcess:
        """Starts a worker and waits until it is ready."""
        environment = {
            **os.environ,
            "BOXYARD_REDIS_URL": self.settings.redis_url,
            "BOXYARD_BLOB_URL": self.settings.blob_url,
            "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BOXYARD_ALLOWED_PORTS": "",
            "BOXYARD_DECODE_DEADLINE_S": "120",  # for slow machines: no picture here takes a second
            "BOXYARD_DETECTOR": "standin",
            "BOXYARD_LOG_LEVEL": "debug",
            **{f"BOXYARD_{name.upper()}": str(value) for name, value in settings.items()},
        }
        name = f"worker-{len(self._workers)}"
        started = WorkerProcess(environment, self._folder, name, *options)
        self._workers.append(started)
        if ready:
            started.await_alive(lambda: bool(started.events("worker.ready")))
        return started

    def upload(self, data: bytes) -> UploadImage:
        return UploadImage(upload=self.ledger.uploads.store("default", data).id)

    def accept(
        self, images: Sequence[StoredImage | bytes], model: str = MODEL, **fields: Any
    ) -> str:
        """Accepts a job; bytes are uploaded first. Returns its id."""
        sources = [self.upload(each) if isinstance(each, bytes) else each for each in images]
        job = JobRecord(
            id=new_id("job"),
            tenant="default",
            model=model,
            images=tuple(sources),
            created_at=utc_now(),
            **fields,
        )
        self.ledger.jobs.accept(job)
        return job.id

    def status(self, job: str) -> JobStatus:
        return self.ledger.jobs.get("default", job)

    def await_end(self, job: str) -> JobStatus:
        def ended() -> bool:
            try:
                return self.status(job).state.terminal
            except Unavailable:
                return False

        await_true(ended, f"the end of {job}", lambda: "\n".join(w.tail() for w in self._workers))
        return self.status(job)

    def held_until(self, job: str) -> float:
        """The end of a running job's lease, in milliseconds since 1970."""
        with redis.Redis.from_url(self.redis.url) as client:
            end = client.zscore(keys.LEASES, keys.member("default", job))
        assert isinstance(end, float)
        return end

    def end_leases(self) -> None:
        """Now, as if all who hold jobs had been silent for too long."""
        with redis.Redis.from_url(self.redis.url) as client:
            end_leases(client)

    def result(self, job: str) -> JobResult:
        """The recorded result of a job, once it has ended."""
        reference = self.await_end(job).result
        assert reference is not None
        return JobResult.model_validate_json(self.ledger.blobs.get(reference.key))

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.ledger.close()
