"""Logs that do not fill the disk, and that are there."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

_DELETED_BYTES = 1_000_000
"""A deleted log that a process still writes to is emptied beyond it."""


class Log:
    """What a process writes to its standard output, kept at a path and within a bound.

    The process keeps its file open. When that was removed or renamed, what comes is copied from it
    to a new file at the path: the deleted one could not be found, and would grow without a bound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = 0
        """Bytes of the process's file at the last look; those before are not copied."""

    def tend(self, pid: int | None, most: int) -> bool:
        """Has the file at the path, and one that it was renamed to, hold `most` bytes at most.

        Returns:
            Whether the file at the path was begun anew.
        """
        anew = False
        with suppress(OSError):  # the process has ended, or the disk is away
            anew = self._follow(Path(f"/proc/{pid}/fd/1"), most)
        return begin_anew(self.path, most) or anew

    def _follow(self, written: Path, most: int) -> bool:
        facts = written.stat()
        with suppress(FileNotFoundError):
            if os.path.samestat(facts, self.path.stat()):
                self._seen = facts.st_size
                return False
        anew = not self.path.exists()
        with written.open("rb") as file:
            file.seek(min(self._seen, facts.st_size))
            with suppress(OSError), self.path.open("ab") as log:  # a full disk, say
                shutil.copyfileobj(file, log)
            self._seen = file.tell()
        if facts.st_nlink == 0:
            if facts.st_size > _DELETED_BYTES:
                os.truncate(written, 0)
                self._seen = 0
        elif begin_anew(written.readlink(), most):
            self._seen = 0
        return anew


def begin_anew(log: Path, most: int) -> bool:
    """Moves what a log holds to `NAME.1` when that is more than `most` bytes; says whether it did.

    Who writes to the log keeps it open: so it is copied and emptied, and not renamed. A line that
    comes between the two is lost.
    """
    former = log.with_name(f"{log.name}.1")
    try:
        if log.stat().st_size <= most:
            return False
        with suppress(OSError):  # on a full disk, room is worth more than the log
            shutil.copyfile(log, former)
        os.truncate(log, 0)
    except OSError:  # it is gone, or its disk is away: there is nothing to shorten
        return False
    return True
