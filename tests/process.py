"""Processes that tests start, kill, freeze and read the logs of."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0
"""For anything that comes sooner or later: a slow machine is no fault."""


class Process:
    """A process and what it logs; it may be started again after its end.

    Args:
        name: what the log is called.
        command: what to run.
        environment: all of it.
        folder: for the log.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self._command, self._environment = list(command), dict(environment)
        self._log = folder / f"{name}.log"
        self._begins = 0
        self.start()

    def start(self) -> None:
        """Starts it; events of former lives are forgotten."""
        with self._log.open("ab") as file:
            self._begins = file.tell()
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """What it logged in this life, by the event's name and fields."""
        named = (line for line in self.lines() if line.startswith("{") and name in line)
        return [
            line
            for line in map(json.loads, named)
            if line["event"] == name and all(line.get(key) == fields[key] for key in fields)
        ]

    def await_event(self, name: str, **fields: object) -> dict[str, Any]:
        await_true(lambda: bool(self.events(name, **fields)), f"{self.name}: {name}", self.tail)
        return self.events(name, **fields)[-1]

    def await_alive(self, sign: Callable[[], bool]) -> None:
        """Until there is a sign of life; an end instead is an error."""
        await_true(lambda: sign() or not self.alive, f"{self.name} to be ready", self.tail)
        assert self.alive, self.tail()

    def lines(self) -> list[str]:
        """Of this life; not the one that is being written."""
        return self.text().split("\n")[:-1]

    def text(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._begins)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        return self.text()[-3000:]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends it as an operator would; returns the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Ends it, however it is."""
        if self.alive:
            self.kill()


def await_true(
    condition: Callable[[], bool],
    what: str,
    log: Callable[[], str] = str,
    patience_s: float = PATIENCE_S,
) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}\n{log()}"
        time.sleep(0.02)
