"""The way to S3: one client, its errors translated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from boxyard_schemas.errors import TooLarge, Unavailable

from .settings import LedgerSettings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MISSING = ("NoSuchKey", "404", "NotFound")
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_DENIED = ("AccessDenied", "403", "Forbidden", "AllAccessDisabled")
_NOT_OURS = (
    *("SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthorizationHeaderMalformed"),
    *("ExpiredToken", "InvalidToken", "InvalidSecurity", "RequestTimeTooSkewed"),
)
_TRIES, _CONNECT_S, _READ_S = 3, 5, 30
_CONNECTIONS = 100
"""Kept open: as many as a process has threads for pictures and results. One more is closed after
each use, with a warning."""


class ObjectMissing(Exception):
    """The bucket has no such object."""


class ObjectExists(Exception):
    """The object was there before."""


class AccessDenied(Exception):
    """The credentials may not do this, or there is no such bucket."""


class StoreRefuses(Unavailable):
    """It takes no work until the operator has mended its credentials, rights or clock."""


class S3:
    """Objects by bucket and key; thread-safe."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._settings = settings

    @cached_property
    def client(self) -> S3Client:
        """Made with the first call. Own endpoints get the bucket in the path, not the host."""
        settings, secret = self._settings, self._settings.s3_secret_access_key
        client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            region_name=settings.s3_region,
            config=Config(
                s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
                retries={"mode": "standard", "total_max_attempts": _TRIES},
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                max_pool_connections=_CONNECTIONS,
                # Servers other than Amazon's stumble over checksums that nobody asked for.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        return client

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        once: bool = False,
        content_type: str = "application/octet-stream",
    ) -> None:
        """Stores an object; `once`: raises `ObjectExists` when it is there."""
        with _translated():
            if once:
                self.client.put_object(
                    Bucket=bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*"
                )
            else:
                self.client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def get(self, bucket: str, key: str, max_bytes: int | None) -> bytes:
        """Reads an object of at most `max_bytes`, else raises `TooLarge`."""
        return self.get_encoded(bucket, key, max_bytes)[0]

    def get_encoded(self, bucket: str, key: str, max_bytes: int | None) -> tuple[bytes, str]:
        """Reads an object as `get` does, and what is said of its compression."""
        with _translated():
            answer = self.client.get_object(Bucket=bucket, Key=key)
            encoding = answer.get("ContentEncoding", "")
            with answer["Body"] as body:
                size = answer.get("ContentLength")  # some servers send objects in chunks
                if max_bytes is None or (size is not None and size <= max_bytes):
                    return body.read(), encoding
                if size is None and len(data := body.read(max_bytes + 1)) <= max_bytes:
                    return data, encoding
                raise TooLarge(f"s3://{bucket}/{key} has more than {max_bytes} bytes.")

    def delete(self, bucket: str, key: str) -> None:
        """Removes an object; one that is not there is no error."""
        with _translated():
            self.client.delete_object(Bucket=bucket, Key=key)

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`."""
        with _translated():
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", ()))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translate(error) from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"S3 is away: {error}", retry_after_s=5) from error


def _translate(error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code in _MISSING:
        return ObjectMissing(str(error))
    if code in _EXISTS:
        return ObjectExists(str(error))
    if code in _NOT_OURS:
        return StoreRefuses(
            f"S3 refuses Boxyard's credentials: {error}. Look at BOXYARD_S3_ACCESS_KEY_ID, "
            "BOXYARD_S3_SECRET_ACCESS_KEY, BOXYARD_S3_REGION and this machine's clock.",
            retry_after_s=60,
        )
    if code in (*_DENIED, "NoSuchBucket"):
        return AccessDenied(str(error))
    return Unavailable(f"S3 cannot take work now: {error}", retry_after_s=5)
