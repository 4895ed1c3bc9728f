"""The callers' buckets: pictures come from them and results go there, where it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from boxyard_schemas.errors import Permanent, Retryable, TooLarge, Unavailable

from .s3 import S3, AccessDenied, ObjectMissing, StoreRefuses
from .settings import LedgerSettings


class Buckets:
    """Objects by `s3://bucket/key`, in the buckets of `allowed_buckets` alone."""

    def __init__(self, s3: S3, settings: LedgerSettings) -> None:
        self._s3 = s3
        self._allowed = settings.allowed_buckets

    def get(self, uri: str, max_bytes: int) -> tuple[bytes, str]:
        """Reads an object: its bytes as they are stored, and its `Content-Encoding`.

        Raises:
            Permanent: `bucket-denied`, `object-missing` or `too-large`.
            Retryable: `bucket-unavailable`.
            StoreRefuses: the credentials are at fault, and not the picture.
        """
        bucket, key = self._split(uri)
        with _translated(uri):
            return self._s3.get_encoded(bucket, key, max_bytes)

    def put(self, uri: str, data: bytes, content_type: str) -> None:
        """Writes an object, over one that is there.

        Raises:
            Permanent: `bucket-denied`.
            Retryable: `bucket-unavailable`.
            StoreRefuses: the credentials are at fault, and not the bucket.
        """
        bucket, key = self._split(uri)
        with _translated(uri):
            self._s3.put(bucket, key, data, content_type=content_type)

    def _split(self, uri: str) -> tuple[str, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if urlsplit(uri).scheme != "s3" or not key or bucket not in self._allowed:
            raise Permanent(
                "bucket-denied",
                f"{uri} is in no allowed bucket. The operator allows one by "
                "BOXYARD_ALLOWED_BUCKETS.",
            )
        return bucket, key


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise Permanent("object-missing", f"There is no {uri}.") from error
    except AccessDenied as error:
        raise Permanent("bucket-denied", f"The bucket of {uri} refuses: {error}") from error
    except TooLarge as error:
        raise Permanent("too-large", error.detail) from error
    except StoreRefuses:
        raise
    except Unavailable as error:
        raise Retryable("bucket-unavailable", error.detail) from error
