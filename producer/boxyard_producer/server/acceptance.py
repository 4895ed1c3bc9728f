"""From a request to a job that the ledger holds."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import structlog

from boxyard_ledger import Idempotency, JobRecord, JobStatus, Ledger
from boxyard_schemas import (
    Base64Image,
    ImageSource,
    JobRequest,
    StoredImage,
    UploadImage,
    new_id,
)
from boxyard_schemas.errors import Unavailable
from boxyard_schemas.words import changed, utc_now

from .catalogue import Resolver
from .checks import Checks
from .prompts import check_prompt

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_log = structlog.get_logger(__name__)


class Acceptance:
    """Has what a caller asks for checked, puts inline pictures away, and records the job."""

    def __init__(self, ledger: Ledger, checks: Checks) -> None:
        self._ledger, self._checks = ledger, checks
        self.models = Resolver(ledger)

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
            TooManyRequests: a bound or a quota is reached; `limit` names it.
            Unavailable: Redis or the blob store cannot take work.
        """
        idempotency = Idempotency(key, fingerprint(request)) if key else None
        # First of all: a twin costs no quota, stores no picture and is refused nothing.
        if idempotency and (known := self._ledger.jobs.find(tenant, idempotency)):
            return known
        model, warnings = self.models.resolve(request.model)
        check_prompt(model, request.parameters)
        self._checks.check(tenant, request)
        with ExitStack() as unneeded:
            images = tuple(self._stored(tenant, image, unneeded) for image in request.images)
            record = changed(
                _record(tenant, request, model, images),
                warnings=warnings,
                traceparent=_trace_context(traceparent),
            )
            status, made = self._ledger.jobs.accept(record, idempotency=idempotency)
            if made:
                unneeded.pop_all()
        _log.info("job.accepted", tenant=tenant, job=status.job.id, model=model)
        return status

    def _stored(self, tenant: str, image: ImageSource, unneeded: ExitStack) -> StoredImage:
        """Puts an inline picture away; unless a job is made of it, it goes again."""
        if not isinstance(image, Base64Image):
            return image
        upload = self._ledger.uploads.store(tenant, image.base64).id
        unneeded.callback(self._discard, tenant, upload)
        return UploadImage(upload=upload, reference=image.reference)

    def _discard(self, tenant: str, upload: str) -> None:
        # After an answer that was lost the job may stand: then it names the upload, which stays.
        with suppress(Unavailable):  # the sweeper finds what no job names
            self._ledger.uploads.discard(tenant, upload)


def fingerprint(request: JobRequest) -> str:
    """What tells one body from another: sha256 of its canonical JSON, pictures by their own."""
    said = request.model_dump(mode="json", exclude={"images"})
    said["images"] = [_essence(image) for image in request.images]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _essence(image: ImageSource) -> dict[str, Any]:
    if isinstance(image, Base64Image):
        digest = hashlib.sha256(image.base64).hexdigest()
        return {"base64_sha256": digest, "reference": image.reference}
    return image.model_dump(mode="json")


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
