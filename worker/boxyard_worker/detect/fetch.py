"""A picture's source → its bytes."""

from __future__ import annotations

from typing import assert_never

from boxyard_ledger import BlobMissing, BlobUnreadable, Ledger, upload_key
from boxyard_schemas import S3Image, UploadImage, UrlImage
from boxyard_schemas.errors import Permanent, Retryable, TooLarge, Unavailable
from boxyard_worker.compression import decompressed
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.patience import log_outage
from boxyard_worker.detect.retries import Retries
from boxyard_worker.egress import Egress
from boxyard_worker.settings import DetectSettings


class Fetcher:
    """Gets pictures from where callers put them.

    A failure of the source is retried until `fetch_deadline_s`; an outage of Boxyard's own blob
    store, which is no fault of the image, until `store_patience_s`.
    """

    def __init__(self, ledger: Ledger, egress: Egress, settings: DetectSettings) -> None:
        self._ledger = ledger
        self._egress = egress
        self._settings = settings

    def fetch(self, job: HeldJob, index: int) -> bytes:
        """Makes one attempt to get an image of a job.

        Raises:
            Permanent: `too-large`, `missing-upload`, `address-denied`, `bucket-denied`, …
            Later: it failed, and is to be tried again after a pause.
            Retryable: it failed, and its deadline leaves no time for another attempt.
            Unavailable: the blob store is away, and the time for its outages is over.
        """
        settings = self._settings
        retries = job.fetches.setdefault(
            index,
            Retries(deadline_s=settings.fetch_deadline_s, patience_s=settings.store_patience_s),
        )
        try:
            return self._get(job, index, retries.begin())
        except (Retryable, Unavailable) as error:
            later = retries.after(error)
            if isinstance(error, Unavailable):
                log_outage(error, later.pause_s)
            else:
                job.log.info("image.fetch-failed", reason=error.reason, detail=error.detail)
            raise later from error
        except TooLarge as error:
            raise Permanent("too-large", error.detail) from error

    def _get(self, job: HeldJob, index: int, seconds: float) -> bytes:
        source, limit = job.record.images[index], self._settings.max_image_bytes
        match source:
            case UrlImage():
                return self._egress.fetch(str(source.url), max_bytes=limit, deadline_s=seconds)
            case S3Image():
                stored, encoding = self._ledger.buckets.get(source.s3, limit)
                return decompressed(stored, limit, encoding)
            case UploadImage():
                return self._from_store(job, source.upload)
        assert_never(source)

    def _from_store(self, job: HeldJob, upload: str) -> bytes:
        tenant, limit = job.record.tenant, self._settings.max_image_bytes
        try:
            return self._ledger.blobs.get(upload_key(tenant, upload), max_bytes=limit)
        except BlobUnreadable as error:
            job.log.error("upload.unreadable", upload=upload, detail=error.detail)
            raise Retryable("unreadable-upload", error.detail) from error
        except BlobMissing as error:
            if self._ledger.uploads.recorded(tenant, upload):
                error.check_folder()
            raise Permanent("missing-upload", f"There is no upload {upload}.") from error
