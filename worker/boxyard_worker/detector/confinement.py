"""What a process that reads a stranger's file gives up before it does."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38


def leave_network() -> bool:
    """Moves this process, which has one thread yet, to where there is no network.

    Returns:
        False where the kernel does not let it.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Root needs no namespace of users, and others may not have the network's without it.
    return any(
        libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)
    )


def limit(*, memory: int, file: int, cpu_s: int) -> None:
    """Ends growth.

    Args:
        memory: bytes of address space beyond what there is now.
        file: bytes of a file that is written.
        cpu_s: seconds of a core from now on.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    for kind, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_CPU, spent + cpu_s),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def without_secrets() -> dict[str, str]:
    """The environment's harmless part: what finds programs and libraries."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
