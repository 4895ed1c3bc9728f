"""How many CPUs this process may use, which in a container are often fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from boxyard_ledger.cgroups import MOUNTS, OF_PROCESS, find_groups


def count_cpus(cgroups: Path = MOUNTS, of_process: Path = OF_PROCESS) -> int:
    """Whole CPUs by affinity and by the quotas of the process's cgroups, v1 or v2; at least 1.

    Args:
        cgroups: where cgroup file systems are mounted.
        of_process: which cgroups the process is in, as in cgroups(7).
    """
    groups = find_groups("cpu", cgroups, of_process)
    quotas = (quota for group in groups for quota in _quota(group))
    return max(1, int(min([float(len(os.sched_getaffinity(0))), *quotas])))


def count_model_threads(cpus: int) -> int:
    """Threads for a model on so many CPUs: a quarter, at least one CPU, is left to the decoders,
    the worker and its neighbours, which a batch waits for as well.
    """
    return max(1, cpus - max(1, cpus // 4))


def _quota(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):  # "max" is no number: there is no quota
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
