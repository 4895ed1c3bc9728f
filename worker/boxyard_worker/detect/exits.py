"""What ended a child process: something in it, or something outside."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from boxyard_worker.signals import FAULTS


def ended_itself(status: int) -> bool:
    """Whether a process exited or crashed, by its exit status; negative for a signal.

    A child that ignores `FAULTS` dies of one only by its own fault.
    """
    return status >= 0 or -status in FAULTS


def count_oom_kills() -> int:
    """Processes that the kernel killed because memory ran out, of any, since the machine started.

    0 where the kernel does not say.
    """
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


class Usage(NamedTuple):
    """The state of a process as in proc(5), and its CPU time in seconds."""

    state: str
    cpu_s: float


def usage(pid: int) -> Usage:
    """What a child of this process uses; it has not been waited for yet."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
