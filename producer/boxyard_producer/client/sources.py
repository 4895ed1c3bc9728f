"""Pictures that are read while they are sent, a piece at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PIECE = 64 * 1024


class Source:
    """A file by its path, or one that the caller has opened; never whole in memory.

    Args:
        place: the path, or the file, which is read from where it stands and is left open.
    """

    def __init__(self, place: Path | IO[bytes]) -> None:
        self._place = place
        self._start = 0 if isinstance(place, Path) else _position(place)

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again: a pipe cannot."""
        return self._start is not None

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file, at its beginning.

        Raises:
            OSError: it cannot be opened.
        """
        if isinstance(self._place, Path):
            with self._place.open("rb") as file:
                yield file
            return
        if self._start is not None:
            self._place.seek(self._start)
        yield self._place


def measure(file: IO[bytes]) -> int | None:
    """Bytes from here to the end; none where that shows only at the end."""
    start = _position(file)
    if start is None:
        return None
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    return max(0, end - start)


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of the file."""
    while piece := file.read(PIECE):
        yield piece


async def pieces_aside(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The same without holding up the event loop."""
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


def _position(file: IO[bytes]) -> int | None:
    seekable = getattr(file, "seekable", None)  # some libraries' streams have `read` alone
    return file.tell() if seekable and seekable() else None
