"""What every blob store does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from boxyard_schemas.errors import Permanent

from ..records import ResultReference


class BlobMissing(Permanent):
    """The store has no blob of that key."""

    status, code, title = 404, "blob-missing", "Blob missing"

    def __init__(self, key: str) -> None:
        super().__init__("blob-missing", f"No blob is called {key}.", key=key)


class BlobStore(Protocol):
    """Bytes by key. Every method raises `Unavailable` when the store cannot take work."""

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes, durably and whole.

        Raises:
            Conflict: `once`, and the key exists with other bytes.
        """

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Reads bytes.

        Raises:
            BlobMissing: there is no such key.
            TooLarge: the blob has more than `max_bytes`.
        """

    def delete(self, key: str) -> None:
        """Removes a blob; one that is not there is no error."""

    def check(self) -> None:
        """Sees whether the store is there and open to us.

        Raises:
            StoreRefuses: not until the operator has mended something.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`, in no order."""


def reference_to(key: str, data: bytes) -> ResultReference:
    """Where bytes were stored and what they are."""
    return ResultReference(key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
