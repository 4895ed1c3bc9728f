"""What every blob store does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from boxyard_schemas.errors import Permanent, Unavailable

from ..records import ResultReference


class BlobMissing(Permanent):
    """The store has no blob of that key.

    Attributes:
        folder: of the tenant's blobs of this kind, which is missing too though the store never
            removes it.
    """

    status, code, title = 404, "blob-missing", "Blob missing"

    def __init__(self, key: str, folder: str | None = None) -> None:
        super().__init__("blob-missing", f"No blob is called {key}.", key=key)
        self.folder = folder

    def check_folder(self) -> None:
        """For a blob that is recorded: its folder is missing because its disk is away.

        Raises:
            Unavailable: it is.
        """
        if self.folder:
            raise Unavailable(
                f"{self.data['key']} is recorded, and the blob store has no folder "
                f"{self.folder}. Is its disk mounted? Work waits until it is. If its contents are "
                "lost for good, create the folder anew.",
                retry_after_s=5,
            ) from self


class BlobUnreadable(Unavailable):
    """The store takes work, and cannot read this one blob."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(
            f"{key} cannot be read, and the rest of the blob store can: {reason}. The operator can "
            "restore it from a backup.",
            retry_after_s=60,
        )


class BlobStore(Protocol):
    """Bytes by key. Every method raises `Unavailable` when the store cannot take work.

    So it does when what is found in its place is not the store that the stack began with: a
    missing blob is always missing in the right store.
    """

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes, durably and whole.

        Raises:
            Conflict: `once`, and the key exists with other bytes.
        """

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Reads bytes.

        Raises:
            BlobMissing: there is no such key.
            BlobUnreadable: it cannot be read, and the store's id can.
            TooLarge: the blob has more than `max_bytes`.
        """

    def delete(self, key: str) -> None:
        """Removes a blob; one that is not there is no error."""

    def check(self) -> None:
        """Sees whether the stack's store is there and takes work.

        Raises:
            StoreRefuses: not until the operator has changed something.
        """

    def adopt(self, folders: Iterable[str] = ()) -> None:
        """Takes what is in the store's place for the stack's store, whatever it was before.

        Args:
            folders: whose recorded blobs are lost where they are missing, and not away.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`, in no order."""


def reference_to(key: str, data: bytes) -> ResultReference:
    """Where bytes were stored and what they are."""
    return ResultReference(key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
