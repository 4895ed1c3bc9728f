"""A yard for each test: a Redis of its own, blobs, a sweeper, and workers that may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from boxyard_ledger import EmbeddedRedis, JobRecord, JobStatus, Ledger, LedgerSettings
from boxyard_schemas import JobResult, StoredImage, UploadImage, new_id
from boxyard_schemas.errors import Unavailable
from boxyard_schemas.words import utc_now

MODEL = "rtmdet-ins_demo"
PATIENCE_S = 60.0


class WorkerProcess:
    """`boxyard-worker detect` on the stand-in, its log read as it is written."""

    def __init__(self, environment: dict[str, str], log: Path, *options: str) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("boxyard-worker"), "detect", *options],
                env=environment,
                stderr=file,
            )

    def events(self, name: str, **fields: object) -> list[dict[str, Any]]:
        lines = self._log.read_text(errors="replace").splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.startswith("{") and line[-1] == "\n"]
        return [
            line
            for line in whole
            if line["event"] == name and all(line.get(key) == fields[key] for key in fields)
        ]

    def await_event(self, name: str, **fields: object) -> dict[str, Any]:
        await_true(lambda: bool(self.events(name, **fields)), name, self.tail)
        return self.events(name, **fields)[-1]

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    @property
    def child(self) -> int:
        """The process id of the model child."""
        return int(self.await_event("model.warm")["pid"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends it as an operator would; returns the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


class Yard:
    """Everything around the workers."""

    def __init__(self, folder: Path, redis: EmbeddedRedis) -> None:
        self.redis = redis
        self._folder = folder
        self._workers: list[WorkerProcess] = []
        self.settings = LedgerSettings(
            redis_url=redis.url, blob_url=(folder / "blobs").as_uri(), lease_s=2
        )
        self.ledger = Ledger.open(self.settings)

    def worker(self, *options: str, ready: bool = True, **settings: object) -> WorkerProcess:
        """Starts a worker and waits until it is ready."""
        environment = {
            **os.environ,
            "BOXYARD_REDIS_URL": self.settings.redis_url,
            "BOXYARD_BLOB_URL": self.settings.blob_url,
            "BOXYARD_LEASE_S": str(self.settings.lease_s),
            "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BOXYARD_ALLOWED_PORTS": "",
            "BOXYARD_DETECTOR": "standin",
            "BOXYARD_LOG_LEVEL": "debug",
            **{f"BOXYARD_{name.upper()}": str(value) for name, value in settings.items()},
        }
        log = self._folder / f"worker-{len(self._workers)}.log"
        started = WorkerProcess(environment, log, *options)
        self._workers.append(started)
        if ready:
            await_true(
                lambda: bool(started.events("worker.ready")) or started.process.poll() is not None,
                "a worker to be ready",
                started.tail,
            )
            assert started.process.poll() is None, started.tail()
        return started

    def upload(self, data: bytes) -> UploadImage:
        return UploadImage(upload=self.ledger.uploads.store("default", data).id)

    def accept(self, images: Sequence[StoredImage | bytes], **fields: Any) -> str:
        """Accepts a job; bytes are uploaded first. Returns its id."""
        sources = [self.upload(each) if isinstance(each, bytes) else each for each in images]
        job = JobRecord(
            id=new_id("job"),
            tenant="default",
            model=MODEL,
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

    def result(self, job: str) -> JobResult:
        """The recorded result of a job, once it has ended."""
        reference = self.await_end(job).result
        assert reference is not None
        return JobResult.model_validate_json(self.ledger.blobs.get(reference.key))

    def close(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.kill()
        self.ledger.close()


def await_true(condition: Callable[[], bool], what: str, log: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}\n{log()}"
        time.sleep(0.02)
