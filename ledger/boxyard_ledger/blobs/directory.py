"""Blobs as files, for a stack on one machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from boxyard_schemas.errors import Conflict, TooLarge, Unavailable

from ..records import ResultReference
from .identity import NAME, StoreIdentity, new_store_id
from .store import BlobMissing, BlobUnreadable, reference_to

_DRAFTS = ".unfinished"
_DRAFT_S = 3600.0
"""A file that was begun so long ago is no longer being written: its writer died."""
_TRIES = 5


class DirectoryBlobs:
    """A blob store in a directory; a key's slashes are folders.

    Every operation opens the directory, compares its id, and then goes through what it opened: so
    it stays in that directory, even if another one is mounted or renamed to its place meanwhile.
    """

    def __init__(self, root: Path, identity: StoreIdentity) -> None:
        self._root = root.absolute()
        self._identity = identity
        self._place = f"The blob directory {self._root}"
        self._tidied = -_DRAFT_S

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes: a reader sees all of them or none, and so does a crash."""
        with self._open() as root:
            path, draft = _locate(root, key), root / _DRAFTS / token_hex(8)
            self._tidy(root / _DRAFTS)
            try:
                _write(draft, data)
                _publish(draft, path, data if once else None)
            finally:
                draft.unlink(missing_ok=True)
            _sync(path.parent, root)
        return reference_to(key, data)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Reads bytes."""
        with self._open() as root:
            try:
                data = _read(_locate(root, key), max_bytes)
            except OSError as error:
                raise _explain(root, key, error) from error
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(f"{key} has more than {max_bytes} bytes.")
        return data

    def delete(self, key: str) -> None:
        """Removes a file, and its folder with the last one, unless that is a lasting one."""
        with self._open() as root:
            path = _locate(root, key)
            path.unlink(missing_ok=True)
            if path.parent != root / _lasting(key):
                with suppress(OSError):
                    path.parent.rmdir()

    def check(self) -> None:
        """Sees whether this is the stack's directory and files may be made in it."""
        with self._open() as root:
            self._confirm(lambda: _read_id(root))
            if not os.access(root, os.W_OK | os.X_OK):
                raise Unavailable(f"{self._place} is not writable.", retry_after_s=5)

    def adopt(self, folders: Iterable[str] = ()) -> None:
        """Takes the directory for the stack's as it is."""
        with self._translated():
            store_id = self._create_id()
            for folder in folders:
                (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._identity.replace(store_id)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`."""
        with self._open() as root:
            top = _locate(root, prefix.rpartition("/")[0] or ".")
            for folder, folders, names in os.walk(top, onerror=_raise_unless_gone):
                if Path(folder) == root:
                    folders[:] = [name for name in folders if name != _DRAFTS]
                for name in names:
                    key = Path(folder, name).relative_to(root).as_posix()
                    if key.startswith(prefix) and not key.startswith(NAME):
                        yield key

    @contextmanager
    def _open(self) -> Iterator[Path]:
        """The directory, known to be the stack's, by a path that leads nowhere else."""
        with self._translated():
            if not self._identity.settled:
                self._confirm(self._find_id)
            with _opened(self._root) as root:
                if _read_id(root) != self._identity.known:
                    self._confirm(lambda: _read_id(root))
                yield root

    def _confirm(self, find: Callable[[], str | None]) -> None:
        self._identity.confirm(find, self._create_id, self._place)

    def _find_id(self) -> str | None:
        try:
            return _read_id(self._root)
        except NotADirectoryError:
            return None

    def _create_id(self) -> str:
        """Makes the directory the store of this id, if it has none; returns the id that it has."""
        self._root.mkdir(parents=True, exist_ok=True)
        with _opened(self._root) as root:
            draft = root / f"{NAME}.{token_hex(8)}"
            try:
                _write(draft, new_store_id().encode())
                with suppress(FileExistsError):
                    (root / NAME).hardlink_to(draft)
                if not _read_id(root):
                    draft.replace(root / NAME)  # an empty file was there
            finally:
                draft.unlink(missing_ok=True)
            _sync(root, root)
            return _read_id(root) or ""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"{self._place} fails: {error.strerror or error}. Is its disk mounted and whole?",
                retry_after_s=5,
            ) from error

    def _tidy(self, drafts: Path) -> None:
        """Now and then, takes away what a crash left unfinished."""
        if time.monotonic() - self._tidied < _DRAFT_S:
            return
        self._tidied = time.monotonic()
        if not drafts.exists():
            return
        os.utime(drafts)
        now = drafts.stat().st_mtime  # by the clock that dates drafts, whatever ours says
        for draft in drafts.glob("*"):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < now - _DRAFT_S:
                    draft.unlink()


@contextmanager
def _opened(root: Path) -> Iterator[Path]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _read_id(root: Path) -> str | None:
    try:
        return (root / NAME).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def _locate(root: Path, key: str) -> Path:
    path = Path(os.path.normpath(root / key))
    if not path.is_relative_to(root):
        raise BlobMissing(key)
    return path


def _lasting(key: str) -> Path:
    """The folder of a tenant's blobs of one kind, which stays when they are gone.

    A missing one says that its disk is away.
    """
    return Path(*Path(key).parent.parts[:2])


def _sync(folder: Path, root: Path) -> None:
    """Makes the names of a new file and of the folders above it durable."""
    for level in (folder, *folder.parents):
        descriptor = os.open(level, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if level == root:
            break


def _read(path: Path, max_bytes: int | None) -> bytes:
    with path.open("rb") as file:
        return file.read() if max_bytes is None else file.read(max_bytes + 1)


def _explain(root: Path, key: str, error: OSError) -> Exception:
    """What it means that a blob cannot be read: `error` itself, when the disk is at fault."""
    _read_id(root)
    folder = _lasting(key)
    gone = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    try:
        with os.scandir(root / folder):
            return BlobMissing(key) if gone else BlobUnreadable(key, error.strerror or str(error))
    except OSError:
        return BlobMissing(key, folder.as_posix()) if gone else error


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
