"""From a request to a job that the ledger holds."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta

import structlog

from boxyard_ledger import Idempotency, JobRecord, JobStatus, Ledger
from boxyard_schemas import (
    Base64Image,
    ImageSource,
    JobRequest,
    StoredImage,
    Upload,
    UploadImage,
    new_id,
)
from boxyard_schemas.errors import IdempotencyConflict
from boxyard_schemas.words import utc_now

from .catalogue import resolve
from .checks import Checks

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_log = structlog.get_logger(__name__)


class Acceptance:
    """Has what a caller asks for checked, puts inline pictures away, and records the job."""

    def __init__(self, ledger: Ledger, checks: Checks) -> None:
        self._ledger, self._checks = ledger, checks

    def accept(
        self,
        tenant: str,
        request: JobRequest,
        *,
        key: str | None = None,
        traceparent: str | None = None,
    ) -> JobStatus:
        """Records a job; it is durable when this returns.

        Args:
            tenant: whose job it is.
            request: what the caller wrote.
            key: the caller's idempotency key.
            traceparent: W3C trace context of the request; anything else is dropped.

        Raises:
            UnknownModel: with near names.
            InvalidRequest: something is over a limit or leads where callers may not go.
            UnknownUpload: the tenant has no such upload.
            IdempotencyConflict: the key was used with another body.
            Unavailable: Redis or the blob store cannot take work.
        """
        model, warnings = resolve(self._ledger, request.model)
        self._checks.check(tenant, request)
        images = tuple(self._stored(tenant, image) for image in request.images)
        record = _record(tenant, request, model, images).model_copy(
            update={"warnings": warnings, "traceparent": _trace_context(traceparent)}
        )
        idempotency = Idempotency(key, fingerprint(request)) if key else None
        status = self._recorded(request, record, idempotency)
        _log.info("job.accepted", tenant=tenant, job=status.job.id, model=model)
        return status

    def store(self, tenant: str, data: bytes) -> Upload:
        """Puts a picture away."""
        return self._ledger.uploads.store(tenant, data)

    def _stored(self, tenant: str, image: ImageSource) -> StoredImage:
        if not isinstance(image, Base64Image):
            return image
        return UploadImage(upload=self.store(tenant, image.base64).id, reference=image.reference)

    def _recorded(
        self, request: JobRequest, record: JobRecord, idempotency: Idempotency | None
    ) -> JobStatus:
        try:
            status, created = self._ledger.jobs.accept(record, idempotency=idempotency)
        except IdempotencyConflict:
            self._discard(request, record)
            raise
        if not created:
            self._discard(request, record)
        return status

    def _discard(self, request: JobRequest, record: JobRecord) -> None:
        """Inline pictures that were stored for a job that is not made: nobody needs those."""
        for asked, stored in zip(request.images, record.images, strict=True):
            if isinstance(asked, Base64Image) and isinstance(stored, UploadImage):
                self._ledger.uploads.discard(record.tenant, stored.upload)


def fingerprint(request: JobRequest) -> str:
    """What tells one body from another: sha256 of its canonical JSON."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _record(
    tenant: str, request: JobRequest, model: str, images: tuple[StoredImage, ...]
) -> JobRecord:
    now, patience = utc_now(), request.expires_in_s
    return JobRecord(
        id=new_id("job"),
        tenant=tenant,
        model=model,
        images=images,
        parameters=request.parameters,
        delivery=request.delivery,
        priority=request.priority,
        created_at=now,
        expires_at=now + timedelta(seconds=patience) if patience else None,
        metadata=request.metadata,
    )


def _trace_context(traceparent: str | None) -> str | None:
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None
