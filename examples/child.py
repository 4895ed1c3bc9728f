"""A program that runs beside the demo, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Self

_STOP_S = 40.0


class Child:
    """A Python program as a child process; its lines are kept, and echoed when wanted.

    Args:
        words: of `python …`.
        environment: beside this process's own.
        echo: also print every line.
    """

    def __init__(
        self, words: Sequence[str], *, environment: dict[str, str] | None = None, echo: bool = False
    ) -> None:
        self.lines: list[str] = []
        self._echo = echo
        self._process = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, word: str, limit_s: float) -> str:
        """The first line that holds a word.

        Raises:
            SystemExit: the program ended, or the time did, before it came.
        """
        deadline = time.monotonic() + limit_s
        while True:
            over = not self._reader.is_alive() or time.monotonic() > deadline
            found = next((line for line in self.lines if word in line), None)
            if found or over:
                break
            time.sleep(0.05)
        if found:
            return found
        sys.exit(f"no {word!r} came; the last lines were:\n" + "\n".join(self.lines[-20:]))

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if self._echo and line.strip():
                print(f"  {line.rstrip()}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
