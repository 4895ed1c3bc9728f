"""The server as operators run it: a process of its own, known by its address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from boxyard_ledger import LedgerSettings

PATIENCE_S = 60.0


class ServerProcess:
    """`python -m boxyard_producer.server` on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self._log = process, url, log
        self.port = httpx.URL(url).port or 80

    def client(self, key: str) -> httpx.Client:
        """A client that holds the key; the caller closes it."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def memory(self, name: str) -> int:
        """Bytes in memory: `VmRSS` now, `VmHWM` at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace")


@contextmanager
def serving_process(
    folder: Path, ledger: LedgerSettings, **settings: object
) -> Iterator[ServerProcess]:
    """A server over the ledger of these settings, up and answering."""
    environment = {
        **os.environ,
        "BOXYARD_REDIS_URL": ledger.redis_url,
        "BOXYARD_BLOB_URL": ledger.blob_url,
        "BOXYARD_REDIS_TIMEOUT_S": str(ledger.redis_timeout_s),
        **{f"BOXYARD_{name.upper()}": str(value) for name, value in settings.items()},
    }
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "boxyard_producer.server", "--port", "0"],
            env=environment,
            stderr=file,
        )
    try:
        yield ServerProcess(process, _address(process, log), log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"the server did not come up\n{log.read_text()}")
