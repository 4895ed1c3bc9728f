"""A Redis-compatible server as an operator would set it up: any options, any users, TLS."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Self

_START_S = 60.0


class Server:
    """Runs `command` with the data in `folder`, on a port of its own of 127.0.0.1.

    Args:
        command: the binary and its options, `{port}` where the port belongs.
    """

    def __init__(self, folder: Path, *command: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._log = folder / "server.log"
        self._command = [word.replace("{port}", str(self.port)) for word in command]
        self._folder = folder

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=log
            )
        end = time.monotonic() + _START_S
        while not self._listens():
            up = self._process.poll() is None and time.monotonic() < end
            assert up, self._log.read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
