"""Blobs as files, for a stack on one machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from boxyard_schemas.errors import Conflict, TooLarge, Unavailable

from ..records import ResultReference
from .store import BlobMissing, reference_to

_DRAFTS = ".unfinished"
_DRAFT_S = 3600.0
"""A file that was begun so long ago is no longer being written: its writer died."""
_TRIES = 5


class DirectoryBlobs:
    """A blob store in a directory; a key's slashes are folders."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._drafts = self._root / _DRAFTS
        self._tidied = -_DRAFT_S

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes: a reader sees all of them or none, and so does a crash."""
        path, draft = self._path(key), self._drafts / token_hex(8)
        with _translated():
            self._tidy()
            try:
                _write(draft, data)
                _publish(draft, path, data if once else None)
            finally:
                draft.unlink(missing_ok=True)
            self._sync(path.parent)
        return reference_to(key, data)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Reads bytes."""
        with _translated():
            try:
                data = _read(self._path(key), max_bytes)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise BlobMissing(key) from error
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(f"{key} has more than {max_bytes} bytes.")
        return data

    def delete(self, key: str) -> None:
        """Removes a file, and its folder with the last one."""
        path = self._path(key)
        with _translated():
            path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def check(self) -> None:
        """Sees whether files may be made in the directory."""
        with _translated():
            self._root.mkdir(parents=True, exist_ok=True)
        if not os.access(self._root, os.W_OK | os.X_OK):
            raise Unavailable(f"The blob directory {self._root} is not writable.", retry_after_s=5)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`."""
        top = self._path(prefix.rpartition("/")[0] or ".")
        with _translated():
            for folder, folders, names in os.walk(top, onerror=_raise_unless_gone):
                if Path(folder) == self._root:
                    folders[:] = [name for name in folders if name != _DRAFTS]
                for name in names:
                    key = Path(folder, name).relative_to(self._root).as_posix()
                    if key.startswith(prefix):
                        yield key

    def _tidy(self) -> None:
        """Now and then, takes away what a crash left unfinished."""
        if time.monotonic() - self._tidied < _DRAFT_S:
            return
        self._tidied = time.monotonic()
        if not self._drafts.exists():
            return
        os.utime(self._drafts)
        now = self._drafts.stat().st_mtime  # by the clock that dates drafts, whatever ours says
        for draft in self._drafts.glob("*"):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < now - _DRAFT_S:
                    draft.unlink()

    def _sync(self, folder: Path) -> None:
        """Makes the names of a new file and of the folders above it durable."""
        for level in (folder, *folder.parents):
            descriptor = os.open(level, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if level == self._root:
                break

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self._root / key))
        if not path.is_relative_to(self._root):
            raise BlobMissing(key)
        return path


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The blob directory fails: {error}", retry_after_s=5) from error


def _read(path: Path, max_bytes: int | None) -> bytes:
    with path.open("rb") as file:
        return file.read() if max_bytes is None else file.read(max_bytes + 1)


def _raise_unless_gone(error: OSError) -> None:
    # Another eraser may be faster.
    if not isinstance(error, FileNotFoundError):
        raise error


def _write(draft: Path, data: bytes) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _publish(draft: Path, path: Path, once: bytes | None) -> None:
    # A delete may take the empty folder away before the file is in it.
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            _name(draft, path, once)
            return
    raise Unavailable(f"The folder {path.parent} comes and goes.", retry_after_s=5)


def _name(draft: Path, path: Path, once: bytes | None) -> None:
    if once is None:
        draft.replace(path)
        return
    try:
        path.hardlink_to(draft)
    except FileExistsError as error:
        if path.read_bytes() != once:
            raise Conflict(f"{path.name} was stored before, with other bytes.") from error
