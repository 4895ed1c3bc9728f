"""The cgroups of this process, which in a container allow it less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOUNTS = Path("/sys/fs/cgroup")
OF_PROCESS = Path("/proc/self/cgroup")


def find_groups(
    controller: str, mounts: Path = MOUNTS, of_process: Path = OF_PROCESS
) -> Iterator[Path]:
    """Folders of the process's cgroups of a controller and of their parents, whose limits hold too.

    Args:
        controller: such as `cpu`.
        mounts: where cgroup file systems are mounted, v1 or v2.
        of_process: which cgroups the process is in, as in cgroups(7).
    """
    lines = list[str]()
    with suppress(OSError):
        lines = of_process.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for folder in _folders(controller, mounts, controllers.split(",")):
            group = folder / path.strip("/")
            # In a container the path may be the host's, which is not there: then the mounted root
            # is the container's own group.
            for each in (group, *group.parents):
                yield each
                if each == folder:
                    break


def find_memory(mounts: Path = MOUNTS, of_process: Path = OF_PROCESS) -> int:
    """Bytes of memory that this process and its neighbours in its cgroups may use."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for group in find_groups("memory", mounts, of_process):
        for name in ("memory.max", "memory.limit_in_bytes"):  # v2, v1
            with suppress(OSError, ValueError):  # "max" is no number: there is no limit
                limits.append(int((group / name).read_text()))
    return min(limits)


def _folders(controller: str, mounts: Path, controllers: list[str]) -> list[Path]:
    if controllers == [""]:  # v2, or beside v1 in a folder of its own
        return [mounts, mounts / "unified"]
    if controller in controllers:
        return [mounts / ",".join(controllers), mounts / controller]
    return []
