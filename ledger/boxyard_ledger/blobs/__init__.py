"""Blobs: uploads and results, in a directory or in S3."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from boxyard_schemas.errors import SetupError

from ..settings import LedgerSettings
from .directory import DirectoryBlobs
from .store import BlobMissing, BlobStore

__all__ = ["BlobMissing", "BlobStore", "DirectoryBlobs", "open_blobs"]


def open_blobs(settings: LedgerSettings) -> BlobStore:
    """The store behind `settings.blob_url`.

    Raises:
        SetupError: the URL is neither `file:///directory` nor `s3://bucket/prefix`.
    """
    parts = urlsplit(settings.blob_url)
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return DirectoryBlobs(Path(unquote(parts.path)))
    raise SetupError(
        f"BOXYARD_BLOB_URL is {settings.blob_url!r}; "
        "it must be file:///directory or s3://bucket/prefix."
    )
