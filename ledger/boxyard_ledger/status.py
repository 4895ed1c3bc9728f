"""From a job's hash in Redis to its status, and the moments between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from boxyard_schemas import JobState

from .records import Claim, JobRecord, JobStatus, ResultReference


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def from_ms(milliseconds: str | float) -> datetime:
    """A moment in UTC."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def read_strikes(text: str | None, images: int) -> tuple[int, ...]:
    """Strikes per image; none were counted when nothing was written."""
    return tuple(json.loads(text)) if text else (0,) * images


def read_claim(fields: Mapping[str, str]) -> Claim:
    """The latest claim of a job from the fields of its hash."""
    job = JobRecord.model_validate_json(fields["record"])
    return Claim(
        job=job,
        token=int(fields["token"]),
        attempt=int(fields["attempts"]),
        strikes=read_strikes(fields.get("strikes"), len(job.images)),
    )


def read_status(fields: Mapping[str, str]) -> JobStatus:
    """A job's status from the fields of its hash."""
    job = JobRecord.model_validate_json(fields["record"])
    started, finished, result = (
        fields.get(name) for name in ("started_at", "finished_at", "result")
    )
    return JobStatus(
        job=job,
        state=JobState(fields["state"]),
        attempts=int(fields["attempts"]),
        strikes=read_strikes(fields.get("strikes"), len(job.images)),
        started_at=from_ms(started) if started else None,
        finished_at=from_ms(finished) if finished else None,
        succeeded=int(fields.get("succeeded", 0)),
        failed=int(fields.get("failed", 0)),
        reason=fields.get("reason") or None,
        result=ResultReference.model_validate_json(result) if result else None,
        idempotency=fields.get("idempotency"),
    )
