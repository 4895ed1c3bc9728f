"""Disks that can be unmounted, for tests that may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


class Tmpfs:
    """A file system in memory at a mount point; each mount begins empty."""

    def __init__(self, place: Path, size: str) -> None:
        self._place, self._size = place, size

    def mount(self) -> None:
        _run("mount", "-t", "tmpfs", "-o", f"size={self._size}", "boxyard-test", str(self._place))

    def remount(self, options: str) -> None:
        _run("mount", "-o", f"remount,{options}", str(self._place))

    def unmount(self) -> None:
        _run("umount", str(self._place))


@contextmanager
def tmpfs(place: Path, size: str = "16m") -> Iterator[Tmpfs]:
    """A disk that is mounted at `place`; whatever is mounted there in the end is unmounted."""
    disk = Tmpfs(place, size)
    disk.mount()
    try:
        yield disk
    finally:
        while os.path.ismount(place):
            disk.unmount()


@cache
def _may_mount() -> bool:
    with TemporaryDirectory() as folder:
        try:
            with tmpfs(Path(folder)):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


needs_mounts = pytest.mark.skipif(not _may_mount(), reason="mounting needs root")
