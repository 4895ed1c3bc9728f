"""Pictures that are read while they are sent, a piece at a time."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .files import shorten

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
            with _readable(self._place):
                self._place.seek(self._start)
        yield self._place

    def read(self, most: int) -> bytes | None:
        """All that is left of it; None where that is more, or shows only at the end.

        Args:
            most: bytes.

        Raises:
            OSError: it cannot be read, or has another length by now.
        """
        with self.opened() as file:
            length = measure(file)
            if length is None or length > most:
                return None
            return b"".join(pieces(file, length))


def measure(file: IO[bytes]) -> int | None:
    """Bytes from here to the end; none where that shows only at the end."""
    start = _position(file)
    if start is None:
        return None
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    return max(0, end - start)


def pieces(file: IO[bytes], length: int | None) -> Iterator[bytes]:
    """What is left of the file.

    Args:
        file: read to its end.
        length: bytes that were announced, if they were.

    Raises:
        OSError: it cannot be read, or has another length by now.
    """
    sent = 0
    while piece := _read(file):
        sent += len(piece)
        if length is not None and sent > length:
            break
        yield piece
    if length is not None and sent != length:
        raise OSError(
            errno.EIO,
            "its size changed while it was sent: submit it when it is complete",
            name_of(file),
        )


async def pieces_aside(file: IO[bytes], length: int | None) -> AsyncIterator[bytes]:
    """The same without holding up the event loop."""
    source = pieces(file, length)
    while piece := await asyncio.to_thread(next, source, b""):
        yield piece


def _read(file: IO[bytes]) -> bytes:
    with _readable(file):
        piece = file.read(PIECE)
    if isinstance(piece, str):
        raise OSError(errno.EINVAL, "is open as text: open images with mode 'rb'", name_of(file))
    return piece


@contextmanager
def _readable(file: IO[bytes]) -> Iterator[None]:
    """Inside, whatever a caller's file raises is an `OSError` that names the file."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename:
            raise
        said = f"{type(error).__name__}: {error}"
        raise OSError(errno.EIO, f"cannot be read ({said})", name_of(file)) from error


def name_of(file: IO[bytes]) -> str:
    """What an error calls an open file."""
    name = getattr(file, "name", None)
    return shorten(name) if name and isinstance(name, str) else f"the open {type(file).__name__}"


def _position(file: IO[bytes]) -> int | None:
    seekable = getattr(file, "seekable", None)  # some libraries' streams have `read` alone
    return file.tell() if seekable and seekable() else None
