"""The server as operators run it: a process of its own, known by its address."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from boxyard_ledger import LedgerSettings
from process import Process

_COMMAND = (sys.executable, "-m", "boxyard_producer.server", "--port", "0")
_RUNNING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class ServerProcess(Process):
    """`python -m boxyard_producer.server` on a port of its own; up when it is made."""

    def __init__(self, folder: Path, ledger: LedgerSettings, **settings: object) -> None:
        environment = {
            **os.environ,
            "BOXYARD_REDIS_URL": ledger.redis_url,
            "BOXYARD_BLOB_URL": ledger.blob_url,
            "BOXYARD_REDIS_TIMEOUT_S": str(ledger.redis_timeout_s),
            **{f"BOXYARD_{name.upper()}": str(value) for name, value in settings.items()},
        }
        super().__init__("server", _COMMAND, environment, folder)
        self.await_alive(lambda: _RUNNING.search(self.text()) is not None)

    @property
    def url(self) -> str:
        """Where it listens."""
        found = _RUNNING.search(self.text())
        assert found
        return found[1]

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return httpx.URL(self.url).port or 80

    def client(self, key: str) -> httpx.Client:
        """A client that holds the key; the caller closes it."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def memory(self, name: str) -> int:
        """Bytes in memory: `VmRSS` now, `VmHWM` at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@contextmanager
def serving_process(
    folder: Path, ledger: LedgerSettings, **settings: object
) -> Iterator[ServerProcess]:
    """A server over the ledger of these settings, up and answering."""
    server = ServerProcess(folder, ledger, **settings)
    try:
        yield server
    finally:
        server.close()
