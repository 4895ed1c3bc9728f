"""Shared memory that pictures cross in: anonymous files, which end with the last process."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager

from boxyard_worker.detector.contract import Pixels


class Slots:
    """A fixed number of memfd slots; a larger picture makes its slot grow while it is there.

    Args:
        count: how many.
        keep_bytes: a slot that grew beyond this is cut back once it is free.
    """

    def __init__(self, count: int, keep_bytes: int) -> None:
        self.files = tuple(os.memfd_create(f"boxyard-slot-{n}") for n in range(count))
        self._keep_bytes = keep_bytes
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(count):
            self._free.put(index)

    @contextmanager
    def hold(self, pixels: Pixels) -> Iterator[int]:
        """Waits for a free slot and puts the pixels into it; yields its index."""
        index = self._free.get()
        try:
            self._write(self.files[index], pixels)
            yield index
        finally:
            if pixels.nbytes > self._keep_bytes:
                os.ftruncate(self.files[index], self._keep_bytes)
            self._free.put(index)

    def close(self) -> None:
        """Gives the memory back; no picture may be in a slot."""
        for file in self.files:
            os.close(file)

    @staticmethod
    def _write(file: int, pixels: Pixels) -> None:
        left = pixels.reshape(-1).data
        offset = 0
        while left:
            written = os.pwrite(file, left, offset)
            offset, left = offset + written, left[written:]
