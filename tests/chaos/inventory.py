"""What the stores hold of some tenants in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from boxyard_ledger import BlobMissing, JobStatus, Ledger, keys
from boxyard_ledger.blobs.store import reference_to
from boxyard_schemas import JobResult
from chaos.callers import marker_of
from chaos.history import Due, History, Line, Orphan, Stands


def take_inventory(ledger: Ledger, redis: Any, tenants: Sequence[str], history: History) -> None:
    """Notes every job, callback and orphaned blob of the tenants."""
    for tenant in tenants:
        jobs = list(all_jobs(ledger, tenant))
        for job in jobs:
            history.note(_stands(ledger, job))
            for line in _due(ledger, job):
                history.note(line)
        recorded = {job.result.key for job in jobs if job.result}
        # A picture stands in the books as long as a job that names it.
        named = {keys.upload_key(tenant, upload) for upload in redis.hkeys(keys.uploads(tenant))}
        for orphan in _orphans(ledger, tenant, recorded | named):
            history.note(orphan)


def all_jobs(ledger: Ledger, tenant: str) -> Iterator[JobStatus]:
    page, cursor = ledger.jobs.list(tenant, limit=500)
    while True:
        for overview in page:
            yield ledger.jobs.get(tenant, overview.job.id)
        if not cursor:
            return
        page, cursor = ledger.jobs.list(tenant, limit=500, cursor=cursor)


def _stands(ledger: Ledger, status: JobStatus) -> Stands:
    job, marker = status.job, status.job.metadata.get("marker", "unmarked")
    stored, named = _stored(ledger, status)
    return Stands(
        tenant=job.tenant,
        job=job.id,
        marker=marker,
        state=status.state,
        attempts=status.attempts,
        keyed=status.idempotency == keys.digest(marker),
        recorded=status.result.sha256 if status.result else "",
        stored=stored,
        named=named,
    )


def _stored(ledger: Ledger, status: JobStatus) -> tuple[str, str]:
    """The sha256 of a job's blob, and the marker inside."""
    if status.result is None:
        return "", ""
    try:
        data = ledger.blobs.get(status.result.key)
    except BlobMissing:
        return "", ""
    sha256 = reference_to(status.result.key, data).sha256
    if sha256 != status.result.sha256:
        return sha256, ""  # damaged: it may say anything
    return sha256, marker_of(JobResult.model_validate_json(data))


def _due(ledger: Ledger, status: JobStatus) -> Iterator[Line]:
    job = status.job
    if job.delivery.callback or job.delivery.endpoint:
        for each in ledger.deliveries.list(job.tenant, job.id):
            yield Due(job.tenant, each.delivery.id, job.id, each.state)


def _orphans(ledger: Ledger, tenant: str, known: set[str]) -> Iterator[Line]:
    return (Orphan(tenant, key) for key in ledger.blobs.keys(f"{tenant}/") if key not in known)
