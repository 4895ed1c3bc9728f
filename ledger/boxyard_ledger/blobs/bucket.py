"""Blobs as objects in a bucket of the stack's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from boxyard_schemas.errors import Conflict, Unavailable

from ..records import ResultReference
from ..s3 import S3, AccessDenied, ObjectExists, ObjectMissing, StoreRefuses
from .store import BlobMissing, reference_to


class BucketBlobs:
    """A blob store in a bucket, below a prefix."""

    def __init__(self, s3: S3, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".removeprefix("/")

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes."""
        with _translated(key):
            try:
                self._s3.put(self._bucket, self._prefix + key, data, once=once)
            except ObjectExists as error:
                self._compare(key, data, error)
        return reference_to(key, data)

    def _compare(self, key: str, data: bytes, error: ObjectExists) -> None:
        """A put that was sent again after a lost answer finds its own bytes."""
        try:
            same = self._s3.get(self._bucket, self._prefix + key, None) == data
        except ObjectMissing:
            raise Unavailable(f"{key} comes and goes.", retry_after_s=5) from error
        if not same:
            raise Conflict(f"{key} was stored before, with other bytes.") from error

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Reads bytes."""
        with _translated(key):
            return self._s3.get(self._bucket, self._prefix + key, max_bytes)

    def delete(self, key: str) -> None:
        """Removes an object."""
        with _translated(key):
            self._s3.delete(self._bucket, self._prefix + key)

    def check(self) -> None:
        """Reads what nobody stores."""
        # Not by a HEAD, whose 404 is the same for an object and for a bucket that is not there.
        with suppress(BlobMissing):
            self.get("is-this-store-open")

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`."""
        with _translated(prefix):
            for key in self._s3.keys(self._bucket, self._prefix + prefix):
                yield key.removeprefix(self._prefix)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise BlobMissing(key) from error
    except AccessDenied as error:
        raise StoreRefuses(f"The blob store refuses: {error}", retry_after_s=60) from error
