"""What processes take of the machine's memory."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Self

_LOOK_S = 0.01


class Peak:
    """Watches a process and its descendants; `grown` is the most that they took since.

    Shared memory counts once for each process that maps it, so the figure errs upwards.

    Args:
        pid: the process.
        without: a descendant that is left out.
    """

    def __init__(self, pid: int, *, without: int = 0) -> None:
        self._pid, self._without = pid, without
        self._stop = Event()
        self._thread = Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._first = self._most = resident(self._pid, self._without)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """Bytes."""
        return self._most - self._first

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self._most = max(self._most, resident(self._pid, self._without))


def resident(pid: int, without: int = 0) -> int:
    """Resident bytes of a process and of those that it started."""
    if pid == without:
        return 0
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task").glob("*/children")
        below = [int(child) for file in children for child in file.read_text().split()]
    except (OSError, IndexError):  # it has ended
        return 0
    return pages * 4096 + sum(resident(child, without) for child in below)
