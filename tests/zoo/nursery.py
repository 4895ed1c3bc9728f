"""A process an entry, each forked from this one, so that torch and mmdet are imported once.

What crashes, hangs or takes too much memory ends its own process alone, and that is its outcome.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from boxyard_worker.detector.confinement import leave_network
from zoo.outcomes import Outcome, Task

_FORK = multiprocessing.get_context("fork")
_LOOK_S = 0.2

Try = Callable[[Task], Outcome]


@dataclass(frozen=True)
class Limits:
    """Of one process.

    Attributes:
        seconds: from its start to its end.
        mib: of memory.
    """

    seconds: float = 900.0
    mib: int = 8192


def raise_outcomes(
    tasks: Iterable[Task], attempt: Try, *, jobs: int, limits: Limits
) -> Iterator[Outcome]:
    """Yields outcomes as they come, `jobs` tasks at a time."""
    waiting, running = list(tasks)[::-1], list[_Child]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Child(waiting.pop(), attempt, limits))
            wait([child.listening for child in running], _LOOK_S)
            for child in list(running):
                if outcome := child.look():
                    running.remove(child)
                    yield outcome
    finally:
        for child in running:
            child.end()


class _Child:
    """A process that tries one entry."""

    def __init__(self, task: Task, attempt: Try, limits: Limits) -> None:
        self._task, self._limits = task, limits
        self._begun = time.monotonic()
        self.listening, telling = _FORK.Pipe(duplex=False)
        self._process: BaseProcess = _FORK.Process(target=_live, args=(task, attempt, telling))
        self._process.start()
        telling.close()

    def look(self) -> Outcome | None:
        """What became of it, once that is known."""
        if self.listening.poll():
            return self._hear()
        if time.monotonic() - self._begun > self._limits.seconds:
            return self._give_up(f"took longer than {self._limits.seconds:.0f} s")
        if resident_mib(self._process.pid) > self._limits.mib:
            return self._give_up(f"took more than {self._limits.mib} MiB of memory")
        return None

    def end(self) -> None:
        """Kills it, should it still run."""
        self._process.kill()
        self._process.join()
        self.listening.close()

    def _hear(self) -> Outcome:
        try:
            outcome: Outcome = self.listening.recv()
        except EOFError:
            self._process.join()
            return self._give_up(f"its process ended by {_name_end(self._process.exitcode)}")
        self.end()
        return outcome

    def _give_up(self, reason: str) -> Outcome:
        self.end()
        took = time.monotonic() - self._begun
        return Outcome(self._task, reason=reason, load_s=took, at=time.time())


def _live(task: Task, attempt: Try, telling: Connection) -> None:
    with open(os.devnull, "w") as nowhere:  # what libraries print is nobody's news here
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    leave_network()  # whatever would be fetched fails instead
    telling.send(attempt(task))


def resident_mib(pid: int | None) -> int:
    """Memory that a process holds; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _name_end(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
