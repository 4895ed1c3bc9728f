"""The body of a callback: the same bytes at every attempt."""

from __future__ import annotations

from boxyard_ledger import BlobStore, JobStatus, ResultReference
from boxyard_schemas import MAX_EVENT_BYTES, Event, EventData, EventType, JobResult

from .results import read_result


def write_event(status: JobStatus, blobs: BlobStore, public_url: str) -> bytes:
    """The event of a job that ended, with its result while that fits into 20 kB.

    Raises:
        Permanent: the recorded result is missing or damaged.
        Unavailable: the blob store is away.
    """
    thin = _event(status, public_url, None)
    if status.result is None or status.result.size > MAX_EVENT_BYTES:
        return _encode(thin)
    full = _encode(_event(status, public_url, _result(blobs, status.result)))
    return full if len(full) < MAX_EVENT_BYTES else _encode(thin)


def _event(status: JobStatus, public_url: str, result: JobResult | None) -> Event:
    url = f"{public_url.rstrip('/')}/v1/jobs/{status.job.id}/result" if status.result else None
    return Event(
        type=EventType(f"job.{status.state}"),
        timestamp=status.finished_at or status.job.created_at,
        data=EventData(job=status.view(), result_url=url, result=result),
    )


def _result(blobs: BlobStore, reference: ResultReference) -> JobResult:
    return JobResult.model_validate_json(read_result(blobs, reference))


def _encode(event: Event) -> bytes:
    return event.model_dump_json(exclude_none=True).encode()
