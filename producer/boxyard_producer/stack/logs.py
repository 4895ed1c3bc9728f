"""Logs that do not fill the disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


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
