"""How many CPUs this process may use, which in a container are often fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")


def count_cpus(cgroups: Path = _CGROUPS, of_process: Path = _SELF) -> int:
    """Whole CPUs by affinity and by the quotas of the process's cgroups, v1 or v2; at least 1.

    Args:
        cgroups: where cgroup file systems are mounted.
        of_process: which cgroups the process is in, as in cgroups(7).
    """
    allowed = float(len(os.sched_getaffinity(0)))
    return max(1, int(min([allowed, *_quotas(cgroups, of_process)])))


def count_model_threads(cpus: int) -> int:
    """Threads for a model on so many CPUs: a quarter, at least one CPU, is left to the decoders,
    the worker and its neighbours, which a batch waits for as well.
    """
    return max(1, cpus - max(1, cpus // 4))


def _quotas(cgroups: Path, of_process: Path) -> Iterator[float]:
    lines = list[str]()
    with suppress(OSError):
        lines = of_process.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for folder in _folders(cgroups, controllers.split(",")):
            group = folder / path.strip("/")
            # A parent's quota holds too. In a container the path may be the host's, which is not
            # there: then the mounted root is the container's own group.
            for each in (group, *group.parents):
                yield from _quota(each)
                if each == folder:
                    break


def _folders(cgroups: Path, controllers: list[str]) -> list[Path]:
    if controllers == [""]:  # v2, or beside v1 in a folder of its own
        return [cgroups, cgroups / "unified"]
    return [cgroups / ",".join(controllers), cgroups / "cpu"] if "cpu" in controllers else []


def _quota(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):  # "max" is no number: there is no quota
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
