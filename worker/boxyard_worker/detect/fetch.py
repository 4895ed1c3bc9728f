"""A picture's source → its bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, assert_never

import structlog

from boxyard_ledger import BlobMissing, Ledger, upload_key
from boxyard_schemas import S3Image, StoredImage, UploadImage, UrlImage
from boxyard_schemas.errors import Permanent, Retryable, TooLarge, Unavailable
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.egress import Egress
from boxyard_worker.settings import DetectSettings

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Fetcher:
    """Gets pictures from where callers put them.

    What fails at the caller's end is tried a few times; when Boxyard's own blob store is away,
    that is no fault of the picture, and it is tried for longer.
    """

    def __init__(self, ledger: Ledger, egress: Egress, settings: DetectSettings) -> None:
        self._ledger = ledger
        self._egress = egress
        self._settings = settings

    def fetch(self, job: HeldJob, source: StoredImage) -> bytes:
        """Gets one picture.

        Raises:
            Permanent: `too-large`, `missing-upload`, `address-denied`, `bucket-denied`, …
            Retryable: it still failed after all attempts.
            Unavailable: the blob store is away.
        """
        try:
            return self._insist(job, lambda: self._get(job.record.tenant, source))
        except TooLarge as error:
            raise Permanent("too-large", error.detail) from error

    def _get(self, tenant: str, source: StoredImage) -> bytes:
        limit = self._settings.max_image_bytes
        match source:
            case UrlImage():
                deadline_s = self._settings.fetch_deadline_s
                return self._egress.fetch(str(source.url), max_bytes=limit, deadline_s=deadline_s)
            case S3Image():
                return self._ledger.buckets.get(source.s3, limit)
            case UploadImage():
                return self._upload(tenant, source.upload, limit)
        assert_never(source)

    def _upload(self, tenant: str, upload: str, limit: int) -> bytes:
        try:
            return with_patience(
                lambda: self._ledger.blobs.get(upload_key(tenant, upload), max_bytes=limit),
                self._settings.store_patience_s,
                give_up=lambda: False,
            )
        except BlobMissing as error:
            raise Permanent("missing-upload", f"There is no upload {upload}.") from error

    def _insist(self, job: HeldJob, get: Callable[[], T]) -> T:
        for attempt in range(1, self._settings.fetch_attempts):
            try:
                return get()
            except Retryable as error:
                job.log.info("image.fetch-again", reason=error.reason, detail=error.detail)
            if job.lost.wait(0.25 * 2**attempt):
                break
        return get()


def with_patience(get: Callable[[], T], patience_s: float, *, give_up: Callable[[], bool]) -> T:
    """Calls `get` until it no longer raises `Unavailable`.

    Args:
        get: what may be unavailable.
        patience_s: for how long, seconds; then the last error is raised.
        give_up: asked between attempts whether waiting has become pointless.
    """
    end, pause = time.monotonic() + patience_s, 0.1
    while True:
        try:
            return get()
        except Unavailable as error:
            if time.monotonic() + pause > end or give_up():
                raise
            log.warning("store.awaited", detail=error.detail, again_in_s=pause)
        time.sleep(pause)
        pause = min(pause * 2, 2.0)
