"""A whole Boxyard on this machine: every process real, each to be killed, frozen or started again.

The detectors are stand-ins; the rest is what an operator runs.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from ports import hold_port
from process import Process

MODEL = "rtmdet-ins_demo"
_QUICK = {
    "redis_timeout_s": 2,
    "lease_s": 6,
    "delivery_lease_s": 15,
    "delivery_deadline_s": 5,
    "delivery_schedule_s": "[0.2, 0.5, 1, 1, 2, 2, 3, 3, 5, 5, 5, 5]",
    "delivery_poll_s": 0.1,
    "sweep_interval_s": 0.2,
    "heartbeat_s": 1,
    "detector": "standin",
    "decoders": 1,
    "decode_deadline_s": 120,
    "max_wait_ms": 2,
    "allowed_networks": "127.0.0.0/8",
    "allowed_ports": "",
}
"""An operator's figures, shortened: a test cannot wait for half a minute's lease."""


class Stack:
    """Redis and a ledger on it from the start; the parts as they are asked for.

    Each part takes settings of its own, by the names of `BOXYARD_…` in lower case, and `prefix`:
    words before its command.

    Args:
        folder: for everything that is kept.
        settings: of all parts, and of the ledger here.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.redis = EmbeddedRedis(folder / "redis")
        self.settings: dict[str, object] = {
            **_QUICK,
            "blob_url": (folder / "blobs").as_uri(),
            **settings,
        }
        self.parts: list[Process] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        self.redis.start()
        self.settings.setdefault("redis_url", self.redis.url)
        known: dict[str, Any] = {name: self.settings[name] for name in self._ledger_names()}
        # The test itself is patient; only the parts hear of a stall soon.
        self.ledger = Ledger.open(LedgerSettings(**{**known, "redis_timeout_s": 30}))
        self.client: Any = redis.Redis.from_url(self.redis.url, decode_responses=True)
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts:
            part.close()
        self.client.close()
        self.ledger.close()
        self.redis.close()

    def start(self, *, detectors: int = 2) -> None:
        """All parts, at once, until they are ready."""
        self.serve(ready=False)
        for _ in range(detectors):
            self.detect(ready=False)
        self.deliver()
        self.sweep()
        self.await_server(self.server)
        for detector in self.detectors:
            await_ready(detector)

    @property
    def redis_port(self) -> int:
        return int(self.redis.url.rpartition(":")[2].partition("/")[0])

    @property
    def server(self) -> Process:
        return self._named("server")[0]

    @property
    def detectors(self) -> list[Process]:
        return self._named("detect")

    @property
    def deliverer(self) -> Process:
        return self._named("deliver")[0]

    @property
    def sweeper(self) -> Process:
        return self._named("sweep")[0]

    def serve(self, *, ready: bool = True, port: int = 0, **settings: Any) -> Process:
        self.port = port or hold_port()
        self.url = f"http://127.0.0.1:{self.port}"
        words = [sys.executable, "-m", "boxyard_producer.server", "--port", str(self.port)]
        server = self._part("server", words, **settings)
        if ready:
            self.await_server(server)
        return server

    def detect(self, *options: str, ready: bool = True, **settings: Any) -> Process:
        words = ["detect", "--model", MODEL, *options]
        detector = self._part("detect", _worker(*words), **settings)
        if ready:
            await_ready(detector)
        return detector

    def deliver(self, **settings: Any) -> Process:
        return self._part("deliver", _worker("deliver"), public_url=self.url, **settings)

    def sweep(self, **settings: Any) -> Process:
        return self._part("sweep", _worker("sweep"), **settings)

    def await_server(self, server: Process) -> None:
        """Until it answers; whether Redis does is another question."""
        server.await_alive(lambda: _answers(self.url))

    def mend(self) -> None:
        """Whatever a test left dead or frozen runs again."""
        if not self.redis.alive:
            self.redis.start()
        for part in self.parts:
            if part.alive:
                part.thaw()
            else:
                part.start()
        self.await_server(self.server)
        for detector in self.detectors:
            await_ready(detector)

    def remove(self, part: Process) -> None:
        """Ends a part that is not wanted back."""
        self.parts.remove(part)
        part.close()

    @contextmanager
    def further(self, part: Process) -> Iterator[Process]:
        """A part for a while."""
        try:
            yield part
        finally:
            self.remove(part)

    def _part(
        self, name: str, command: Sequence[str], *, prefix: Sequence[str] = (), **settings: Any
    ) -> Process:
        environment = {**os.environ, **variables({**self.settings, **settings})}
        words = [*prefix, *command]
        part = Process(f"{name}-{next(self._numbers)}", words, environment, self.folder)
        self.parts.append(part)
        return part

    def _named(self, name: str) -> list[Process]:
        return [part for part in self.parts if part.name.startswith(name)]

    def _ledger_names(self) -> list[str]:
        return [name for name in self.settings if name in LedgerSettings.model_fields]


def variables(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as the environment gives them; names in capitals go as they are."""
    return {
        name if name.isupper() else f"BOXYARD_{name.upper()}": str(value)
        for name, value in settings.items()
    }


def await_ready(detector: Process) -> None:
    detector.await_alive(lambda: bool(detector.events("worker.ready")))


def _worker(*words: str) -> list[str]:
    return [sys.executable, "-m", "boxyard_worker.cli", *words]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
