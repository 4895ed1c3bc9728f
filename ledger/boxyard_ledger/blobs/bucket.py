"""Blobs as objects in a bucket of the stack's own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from boxyard_schemas.errors import Conflict, Unavailable

from ..records import ResultReference
from ..s3 import S3, AccessDenied, ObjectExists, ObjectMissing, StoreRefuses
from .identity import NAME, StoreIdentity, new_store_id
from .store import BlobMissing, BlobUnreadable, reference_to

_CONFIRMED_S = 5.0
"""A bucket is not made anew between two looks so close together."""


class BucketBlobs:
    """A blob store in a bucket, below a prefix.

    Its id is read before a blob is reported missing, and at most every `_CONFIRMED_S` seconds
    before a blob is written, removed or listed.
    """

    def __init__(self, s3: S3, bucket: str, prefix: str, identity: StoreIdentity) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".removeprefix("/")
        self._identity = identity
        self._confirmed = -_CONFIRMED_S

    def put(self, key: str, data: bytes, *, once: bool = False) -> ResultReference:
        """Stores bytes."""
        self._ensure()
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
        try:
            with _translated(key):
                return self._s3.get(self._bucket, self._prefix + key, max_bytes)
        except BlobMissing:
            self.check()
            raise
        except Unavailable as error:
            self.check()
            raise BlobUnreadable(key, error.detail) from error

    def delete(self, key: str) -> None:
        """Removes an object."""
        self._ensure()
        with _translated(key):
            self._s3.delete(self._bucket, self._prefix + key)

    def check(self) -> None:
        """Reads the store's id."""
        place = f"The bucket {self._bucket}"
        self._identity.confirm(self._find_id, self._create_id, place)
        self._confirmed = time.monotonic()

    def adopt(self, folders: Iterable[str] = ()) -> None:
        """Takes the bucket for the stack's as it is."""
        self._identity.replace(self._create_id())

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`."""
        self._ensure()
        with _translated(prefix):
            for key in self._s3.keys(self._bucket, self._prefix + prefix):
                if key != self._prefix + NAME:
                    yield key.removeprefix(self._prefix)

    def _ensure(self) -> None:
        if time.monotonic() - self._confirmed > _CONFIRMED_S:
            self.check()

    def _find_id(self) -> str | None:
        # Not by a HEAD, whose 404 is the same for an object and for a bucket that is not there.
        with _translated(NAME), suppress(ObjectMissing):
            found = self._s3.get(self._bucket, self._prefix + NAME, None)
            return found.decode(errors="replace").strip()
        return None

    def _create_id(self) -> str:
        """Puts an id into the bucket, unless it has one; returns the one that it has."""
        with _translated(NAME), suppress(ObjectExists):
            self._s3.put(self._bucket, self._prefix + NAME, new_store_id().encode(), once=True)
        return self._find_id() or ""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise BlobMissing(key) from error
    except AccessDenied as error:
        raise StoreRefuses(f"The blob store refuses: {error}", retry_after_s=60) from error
