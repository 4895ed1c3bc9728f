"""Admission: which submissions become jobs, and what the others are told."""

from __future__ import annotations

from typing import NamedTuple

from boxyard_schemas import Priority
from boxyard_schemas.errors import (
    BoxyardError,
    IdempotencyConflict,
    TooManyRequests,
    UnknownUpload,
)

from . import keys
from .connection import Connection, Word
from .outbox import measure_deliveries
from .records import JobRecord
from .settings import LedgerSettings
from .status import to_ms
from .uploads import uploads_of

_BOUNDS = {
    "queued-per-model": "Too many jobs wait for this model",
    "queued-per-tenant": "Too many of your jobs wait",
    "jobs-per-minute": "You submit more jobs a minute than your quota allows",
    "queued-bytes": "Your jobs that have not ended take up your quota of bytes",
    "record-bytes": "Your jobs, ended ones included, take up your quota of bytes: "
    "delete jobs that you no longer need",
}


class Idempotency(NamedTuple):
    """A caller's key for one submission, and the hash of what it submitted."""

    key: str
    fingerprint: str


class Admission:
    """Takes jobs in, within the bounds of their model and their tenant."""

    def __init__(self, connection: Connection, settings: LedgerSettings) -> None:
        self._connection = connection
        self._settings = settings

    def find(self, tenant: str, idempotency: Idempotency) -> str | None:
        """The id of the job that an idempotency key stands for.

        Raises:
            IdempotencyConflict: the key was used with another fingerprint.
        """
        name = keys.idempotency(tenant, keys.digest(idempotency.key))
        fingerprint, job_id = self._connection.command("HMGET", name, "fingerprint", "job")
        if fingerprint not in (None, idempotency.fingerprint):
            raise _refusal("conflict", job_id)
        found: str | None = job_id
        return found

    def admit(self, job: JobRecord, idempotency: Idempotency | None) -> str:
        """Writes a job down, durably; returns the id of the job that stands.

        Raises:
            IdempotencyConflict: the key was used with another fingerprint.
            TooManyRequests: a bound is reached; `limit` names it.
            UnknownUpload: the tenant has not one of the uploads, or no longer.
        """
        verdict, detail = self._connection.run(
            "accept", _keys(job, idempotency), self._words(job, idempotency)
        )
        if verdict in ("accepted", "twin"):
            return str(detail)
        raise _refusal(verdict, detail)

    def forget(self, tenant: str, idempotency: Idempotency | None, job_id: str) -> None:
        """Removes an idempotency key that stands for a job which is not there."""
        if idempotency:
            name = keys.idempotency(tenant, keys.digest(idempotency.key))
            names = [name, keys.job(tenant, job_id)]
            self._connection.run("forget_idempotency", names, [job_id])

    def _words(self, job: JobRecord, idempotency: Idempotency | None) -> list[Word]:
        settings = self._settings
        record = job.model_dump_json()
        head = job.head(len(record.encode())).model_dump_json()
        words: list[Word] = [keys.member(job.tenant, job.id), job.id, record]
        words += [len(job.images), to_ms(job.created_at)]
        words += [_patience_ms(job), job.model]
        words += (
            [idempotency.fingerprint, keys.digest(idempotency.key)] if idempotency else ["", ""]
        )
        words += [settings.max_queued_per_model, settings.max_queued_per_tenant]
        words.append(settings.max_jobs_per_minute)
        words += [settings.max_queued_bytes, settings.max_record_bytes, head]
        words += measure_deliveries(job)
        for upload in uploads_of(job):
            words += [keys.member(job.tenant, upload), upload]
        return words


def _keys(job: JobRecord, idempotency: Idempotency | None) -> list[str]:
    tenant = job.tenant
    record_key, ready_key, _, expiries, queued, _ = keys.live(job)
    names = [record_key, ready_key, expiries, keys.listed(tenant), queued, keys.MODELS]
    names.append(keys.idempotency(tenant, keys.digest(idempotency.key) if idempotency else ""))
    names += [keys.tenant_facts(tenant), keys.submissions(tenant)]
    names += [keys.drained(job.model), keys.drained_by(tenant)]
    names += [keys.uploads(tenant), keys.LOOSE_UPLOADS]
    names += [keys.ready(job.model, priority) for priority in Priority]
    names.append(keys.record_bytes(tenant))
    return names + [keys.referents(tenant, upload) for upload in uploads_of(job)]


def _patience_ms(job: JobRecord) -> int | str:
    """How long a job may wait, '' for ever. Redis' clock measures it: the server's may be off."""
    return to_ms(job.expires_at) - to_ms(job.created_at) if job.expires_at else ""


def _refusal(verdict: str, detail: str | int) -> BoxyardError:
    if verdict == "conflict":
        return IdempotencyConflict(
            f"This Idempotency-Key was used for job {detail}, with another body."
        )
    if verdict == "unknown-upload":
        return UnknownUpload(
            f"No upload has the id {detail}. One that no job names is kept for a limited time: "
            "send the picture again.",
            upload=detail,
        )
    return TooManyRequests(
        f"{_BOUNDS[verdict]}. Try again in {detail} s.", retry_after_s=detail, limit=verdict
    )
