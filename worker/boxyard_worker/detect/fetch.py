"""A picture's source → its bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, assert_never

from boxyard_ledger import BlobMissing, Ledger, upload_key
from boxyard_schemas import S3Image, StoredImage, UploadImage, UrlImage
from boxyard_schemas.errors import Permanent, Retryable, TooLarge
from boxyard_worker.compression import decompressed
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.patience import with_patience
from boxyard_worker.egress import Egress
from boxyard_worker.settings import DetectSettings

T = TypeVar("T")


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
            Retryable: it still failed after all attempts, or the deadline came.
            Unavailable: the blob store is away.
        """
        try:
            match source:
                case UrlImage():
                    return self._from_url(job, str(source.url))
                case S3Image():
                    return self._from_bucket(job, source.s3)
                case UploadImage():
                    return self._from_store(job, source.upload)
        except TooLarge as error:
            raise Permanent("too-large", error.detail) from error
        assert_never(source)

    def _from_url(self, job: HeldJob, url: str) -> bytes:
        end = awake_s() + self._settings.fetch_deadline_s
        return self._insist(
            job,
            lambda: self._egress.fetch(
                url,
                max_bytes=self._settings.max_image_bytes,
                deadline_s=max(0.0, end - awake_s()),
            ),
            lambda: awake_s() > end,
        )

    def _from_bucket(self, job: HeldJob, uri: str) -> bytes:
        limit = self._settings.max_image_bytes

        def get() -> bytes:
            stored, encoding = self._patiently(job, lambda: self._ledger.buckets.get(uri, limit))
            return decompressed(stored, limit, encoding)

        return self._insist(job, get)

    def _from_store(self, job: HeldJob, upload: str) -> bytes:
        key, limit = upload_key(job.record.tenant, upload), self._settings.max_image_bytes
        try:
            return self._patiently(job, lambda: self._ledger.blobs.get(key, max_bytes=limit))
        except BlobMissing as error:
            raise Permanent("missing-upload", f"There is no upload {upload}.") from error

    def _patiently(self, job: HeldJob, get: Callable[[], T]) -> T:
        return with_patience(get, self._settings.store_patience_s, give_up=job.lost.is_set)

    def _insist(
        self, job: HeldJob, get: Callable[[], T], over: Callable[[], bool] = lambda: False
    ) -> T:
        attempt = 1
        while True:
            try:
                return get()
            except Retryable as error:
                job.log.info("image.fetch-failed", reason=error.reason, detail=error.detail)
                if attempt >= self._settings.fetch_attempts or over():
                    raise
                if job.lost.wait(0.25 * 2**attempt) or over():
                    raise
            attempt += 1
