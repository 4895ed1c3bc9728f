"""From a request to a job that the ledger holds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta

import structlog

from boxyard_ledger import Idempotency, JobRecord, JobStatus, Ledger, upload_key
from boxyard_schemas import (
    Base64Image,
    Delivery,
    ImageSource,
    JobRequest,
    S3Image,
    StoredImage,
    UploadImage,
    UrlImage,
    new_id,
)
from boxyard_schemas.errors import IdempotencyConflict, NotFound, Permanent, UnknownUpload
from boxyard_schemas.words import utc_now

from .catalogue import resolve
from .problems import refuse
from .settings import ServerSettings

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_log = structlog.get_logger(__name__)


class Acceptance:
    """Checks what a caller asks for, puts inline pictures away, and has the job recorded."""

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._policy = settings.address_policy()

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
        self._check(tenant, request)
        images = tuple(self._stored(tenant, image) for image in request.images)
        record = _record(tenant, request, model, images).model_copy(
            update={"warnings": warnings, "traceparent": _trace_context(traceparent)}
        )
        idempotency = Idempotency(key, fingerprint(request)) if key else None
        try:
            status, created = self._ledger.jobs.accept(record, idempotency=idempotency)
        except IdempotencyConflict:
            self._discard(tenant, request, images)
            raise
        if not created:
            self._discard(tenant, request, images)
        _log.info("job.accepted", tenant=tenant, job=status.job.id, model=model, created=created)
        return status

    def store(self, tenant: str, data: bytes) -> tuple[str, str]:
        """Puts a picture away; returns the upload's id and its sha256."""
        upload_id = new_id("upl")
        stored = self._ledger.blobs.put(upload_key(tenant, upload_id), data)
        return upload_id, stored.sha256

    def check_callback(self, where: str, url: str) -> None:
        """Refuses a URL that plainly leads inside.

        Raises:
            InvalidRequest: naming the member.
        """
        _checked(where, self._policy.check_url, url)

    def _check(self, tenant: str, request: JobRequest) -> None:
        most = self._settings.max_images_per_job
        if len(request.images) > most:
            raise refuse(
                "images", f"{len(request.images)} pictures; a job holds at most {most}: split it"
            )
        for index, image in enumerate(request.images):
            self._check_image(tenant, f"images.{index}", image)
        self._check_delivery(tenant, request.delivery)

    def _check_image(self, tenant: str, where: str, image: ImageSource) -> None:
        match image:
            case UrlImage():
                self.check_callback(f"{where}.url", str(image.url))
            case S3Image():
                self._check_bucket(f"{where}.s3", image.s3)
            case Base64Image():
                self._check_size(f"{where}.base64", len(image.base64))
            case UploadImage():
                if not self._ledger.blobs.exists(upload_key(tenant, image.upload)):
                    raise UnknownUpload(f"{where}.upload: no upload has the id {image.upload}.")

    def _check_delivery(self, tenant: str, delivery: Delivery) -> None:
        if delivery.callback:
            self.check_callback("delivery.callback.url", str(delivery.callback.url))
        if delivery.s3:
            self._check_bucket("delivery.s3", delivery.s3)
        if delivery.endpoint:
            try:
                self._ledger.tenants.endpoint(tenant, delivery.endpoint)
            except NotFound as error:
                raise refuse("delivery.endpoint", error.detail) from error

    def _check_bucket(self, where: str, uri: str) -> None:
        bucket = uri.removeprefix("s3://").partition("/")[0]
        if bucket not in self._settings.allowed_buckets:
            raise refuse(where, f"bucket {bucket!r} is not in BOXYARD_ALLOWED_BUCKETS")

    def _check_size(self, where: str, size: int) -> None:
        most = self._settings.max_upload_bytes
        if not 0 < size <= most:
            raise refuse(where, f"{size} bytes; a picture has 1 to {most} bytes")

    def _stored(self, tenant: str, image: ImageSource) -> StoredImage:
        if not isinstance(image, Base64Image):
            return image
        upload_id, _ = self.store(tenant, image.base64)
        return UploadImage(upload=upload_id, reference=image.reference)

    def _discard(self, tenant: str, request: JobRequest, images: tuple[StoredImage, ...]) -> None:
        """Inline pictures that were stored for a job that is not made: nobody needs those."""
        for asked, stored in zip(request.images, images, strict=True):
            if isinstance(asked, Base64Image) and isinstance(stored, UploadImage):
                self._ledger.blobs.delete(upload_key(tenant, stored.upload))


def fingerprint(request: JobRequest) -> str:
    """What tells one body from another: sha256 of its canonical JSON."""
    canonical = json.dumps(
        request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _record(
    tenant: str, request: JobRequest, model: str, images: tuple[StoredImage, ...]
) -> JobRecord:
    now = utc_now()
    patience = request.expires_in_s
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


def _checked(where: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except Permanent as error:
        raise refuse(where, error.detail) from error
