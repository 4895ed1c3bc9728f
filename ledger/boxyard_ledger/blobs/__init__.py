"""Blobs: uploads and results, in a directory or in S3."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from boxyard_schemas.errors import SetupError

from ..connection import Connection
from ..s3 import S3
from ..settings import LedgerSettings
from .bucket import BucketBlobs
from .directory import DirectoryBlobs
from .identity import StoreIdentity
from .store import BlobMissing, BlobStore, BlobUnreadable

__all__ = [
    "BlobMissing",
    "BlobStore",
    "BlobUnreadable",
    "BucketBlobs",
    "DirectoryBlobs",
    "StoreIdentity",
    "open_blobs",
]


def open_blobs(settings: LedgerSettings, s3: S3, connection: Connection) -> BlobStore:
    """The store behind `settings.blob_url`.

    Raises:
        SetupError: the URL is neither `file:///directory` nor `s3://bucket/prefix`.
    """
    identity = StoreIdentity(connection)
    parts = urlsplit(settings.blob_url)
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return DirectoryBlobs(Path(unquote(parts.path)), identity)
    if parts.scheme == "s3" and parts.netloc:
        return BucketBlobs(s3, parts.netloc, parts.path, identity)
    raise SetupError(
        f"BOXYARD_BLOB_URL is {settings.blob_url!r}; "
        "it must be file:///directory or s3://bucket/prefix."
    )
