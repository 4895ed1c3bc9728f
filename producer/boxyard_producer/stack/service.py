"""One process of a stack: started, watched, stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .logs import Log

_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STEADY_S = 60.0
"""A process that lived so long has earned a quick restart."""
_libc = ctypes.CDLL(None)


class Service:
    """A child process that ends with its parent and leads a process group of its own.

    Args:
        name: what people call it, and its log.
        command: what to run.
        environment: the child's, whole.
        log: where its output is appended.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        self._command, self._environment = list(command), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._log_began = 0
        self._kept_log = Log(log)
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; from the main thread, because it ends with the thread that started it."""
        self.log.parent.mkdir(exist_ok=True)  # logs may be removed at any time
        with self.log.open("ab") as log:
            self._log_began = log.tell()
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call into libc, which takes no lock
            )
        self._started = time.monotonic()

    def ended(self) -> int | None:
        """Its exit status as `subprocess` gives it, or none while it runs."""
        return self._process.poll() if self._process else None

    def bury(self) -> float:
        """Forget a process that ended; say how many seconds to wait before the next start."""
        self.kill()
        return self.pause()

    def pause(self) -> float:
        """Seconds to wait before the next start; they grow while it fails soon after each."""
        steady = time.monotonic() - self._started > _STEADY_S
        self._quick_deaths = 0 if steady else self._quick_deaths + 1
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** max(0, self._quick_deaths - 1))

    def ask_to_stop(self) -> None:
        """SIGTERM to the process; its own children are its to end."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait(self, deadline: float) -> bool:
        """Whether it ended before a moment of `time.monotonic`."""
        try:
            if self._process:
                self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the process and to what it left in its group."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def tend_log(self, most: int) -> None:
        """Begin the log anew when it was removed or has more than `most` bytes."""
        with suppress(OSError):  # the data directory is away
            self.log.parent.mkdir(exist_ok=True)
        if self._kept_log.tend(self.pid, most):
            self._log_began = 0

    def last_words(self, lines: int = 12) -> str:
        """The end of what it wrote to its log since its start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            said = log.read().decode(errors="replace")
        return "\n".join(said.splitlines()[-lines:])


def describe_exit(status: int) -> str:
    """`exit code 3`, or `signal SIGKILL`."""
    return f"exit code {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


def _end_with_parent() -> None:
    # SIGKILL: the parent died without a word and Redis dies with it, so there is nothing left
    # that a worker could finish with; what it held comes back when its lease ends.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
